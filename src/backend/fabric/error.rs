//! The errors of requests to services: problems with the codes of Service Fabric, which are also the reason phrases.

use crate::pipeline::error::{ErrorCode, GatewayError};

/// The codes of Service Fabric.
pub mod fabric_code {
    /// A parameter or a setting of the address is invalid.
    pub const INVALID_ARGUMENT: &str = "E_INVALIDARG";
    /// The address does not contain a name.
    pub const INVALID_NAME_URI: &str = "FABRIC_E_INVALID_NAME_URI";
    /// The service does not have the key.
    pub const INVALID_PARTITION_KEY: &str = "FABRIC_E_INVALID_PARTITION_KEY";
    /// No service has the name.
    pub const SERVICE_DOES_NOT_EXIST: &str = "FABRIC_E_SERVICE_DOES_NOT_EXIST";
    /// The replica does not have the listener.
    pub const ENDPOINT_NOT_FOUND: &str = "FABRIC_E_ENDPOINT_NOT_FOUND";
    /// The partition does not exist.
    pub const PARTITION_NOT_FOUND: &str = "FABRIC_E_PARTITION_NOT_FOUND";
    /// The partition does not have a replica that accepts connections.
    pub const SERVICE_OFFLINE: &str = "FABRIC_E_SERVICE_OFFLINE";
    /// The cluster does not respond.
    pub const GATEWAY_NOT_REACHABLE: &str = "FABRIC_E_GATEWAY_NOT_REACHABLE";
    /// The time of the request has ended.
    pub const TIMEOUT: &str = "FABRIC_E_TIMEOUT";
}

/// Why a name and a key do not lead to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    ServiceMissing,
    PartitionMissing,
    BadKey,
    /// The partition has no replica now.
    Offline,
    /// Nothing is known, and the cluster does not respond.
    Unreachable,
}

impl ResolveError {
    /// Whether the same look-up may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, ResolveError::Offline | ResolveError::Unreachable | ResolveError::PartitionMissing)
    }

    /// The error code and the code of Service Fabric.
    pub fn codes(&self) -> (ErrorCode, &'static str) {
        match self {
            ResolveError::ServiceMissing => (ErrorCode::FabricService, fabric_code::SERVICE_DOES_NOT_EXIST),
            ResolveError::PartitionMissing => (ErrorCode::FabricPartition, fabric_code::PARTITION_NOT_FOUND),
            ResolveError::BadKey => (ErrorCode::FabricKey, fabric_code::INVALID_PARTITION_KEY),
            ResolveError::Offline => (ErrorCode::FabricOffline, fabric_code::SERVICE_OFFLINE),
            ResolveError::Unreachable => (ErrorCode::FabricNaming, fabric_code::GATEWAY_NOT_REACHABLE),
        }
    }
}

/// The response of an error; `is_bare`: without a body, as the original has it.
pub fn fabric_error(
    (code, fabric_code): (ErrorCode, &'static str),
    detail: impl Into<std::borrow::Cow<'static, str>>,
    is_bare: bool,
) -> GatewayError {
    GatewayError::new(code, detail).with_details(|details| {
        details.reason = Some(fabric_code.to_owned());
        details.members.push(("fabricCode", fabric_code));
        details.plain_body = is_bare.then(String::new);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{body::Body, response::rescue};

    #[test]
    fn a_problem_has_the_code_of_service_fabric_as_a_member_and_as_reason_phrase() {
        let error = fabric_error(ResolveError::BadKey.codes(), "no such key", false);
        let response = rescue(&error, b"/", b"", false);
        assert_eq!(
            (response.status(), response.head.reason()),
            (400, &b"FABRIC_E_INVALID_PARTITION_KEY"[..])
        );
        let Body::Bytes(body) = &response.body else { panic!("a problem has a body") };
        let problem: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(problem["fabricCode"], "FABRIC_E_INVALID_PARTITION_KEY");
        assert_eq!(problem["code"], "fabric.key");
    }

    #[test]
    fn a_bare_error_has_no_body() {
        let error = fabric_error(ResolveError::ServiceMissing.codes(), "x", true);
        let response = rescue(&error, b"/", b"", false);
        assert_eq!((response.body.length(), response.head.get(b"content-type")), (Some(0), None));
    }
}
