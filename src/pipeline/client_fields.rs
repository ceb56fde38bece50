//! What a client may not send: fields that the gateway writes or removes, in every spelling under which a backend would
//! read them, in the head and in trailers. One list, applied once, before routing.
//!
//! CGI, WSGI, Rack and PHP read `X_User_Id` and `X-User-Id` as one name, so a name with underscores is compared as if it
//! were written with dashes.

use super::{
    body::Framing,
    error::{ErrorCode, GatewayError},
    field_names::{FieldNames, with_dashes},
    grpc,
    head::{Head, KnownHeader, KnownHeaders},
    trailer_filter::TrailerFilter,
};
use crate::{
    base::bytes::comma_list,
    telemetry::{RemovalMetrics, Removed},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// What is done with fields whose name contains an underscore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum UnderscoresInHeaders {
    /// They are forwarded, unless the name with dashes is one that the gateway writes or removes, or that of another field.
    #[default]
    Allow,
    Drop,
    Reject,
}

/// The fields that `KnownHeader::is_reserved` or `is_proxy_provided` names.
const RESTRICTED: KnownHeaders = KnownHeaders::of(&[
    KnownHeader::ProxyProvided,
    KnownHeader::XForwardedFor,
    KnownHeader::XForwardedHost,
    KnownHeader::XForwardedProto,
    KnownHeader::Forwarded,
    KnownHeader::ClientCert,
    KnownHeader::ClientCertChain,
    KnownHeader::XClientCertificate,
]);

/// Maximum number of trailer fields that a request may announce; further ones are not forwarded.
const MAX_ANNOUNCED_TRAILERS: usize = 128;

/// Which trailer fields of requests are forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RequestTrailers {
    /// Those of gRPC, and those that the `Trailer` field of the request lists.
    #[default]
    Announced,
    Drop,
    All,
}

/// The rules of a plan.
#[derive(Debug)]
pub struct ClientFieldRules {
    pub underscores: UnderscoresInHeaders,
    pub trailers: RequestTrailers,
    /// Names that routes write, with dashes.
    route_fields: FieldNames,
    /// Names that untrusted clients may send nevertheless.
    allowed: FieldNames,
    /// Fields of proxies are forwarded as they are, also from untrusted clients (Ocelot).
    pub is_proxy_transparent: bool,
    metrics: Arc<RemovalMetrics>,
}

impl ClientFieldRules {
    /// `route_fields` are the names that routes write, `allowed` those that untrusted clients may send nevertheless.
    pub fn new<'n>(
        route_fields: impl Iterator<Item = &'n str>,
        allowed: impl Iterator<Item = &'n str>,
        metrics: Arc<RemovalMetrics>,
    ) -> ClientFieldRules {
        ClientFieldRules {
            underscores: UnderscoresInHeaders::default(),
            trailers: RequestTrailers::default(),
            route_fields: FieldNames::with_dashes(route_fields.map(str::as_bytes)),
            allowed: FieldNames::new(allowed.map(str::as_bytes)),
            is_proxy_transparent: false,
            metrics,
        }
    }

    /// Removes from a request what its client may not send; `believed` are the fields that a trusted proxy may send.
    ///
    /// # Errors
    ///
    /// `request.field_name` for a name with an underscore, if the rules reject them.
    pub fn apply(
        &self,
        head: &mut Head,
        worker: usize,
        believed: impl Fn(KnownHeader) -> bool,
    ) -> Result<(), GatewayError> {
        if head.may_have(RESTRICTED) {
            self.remove_restricted(head, worker, believed);
        }
        match memchr::memchr(b'_', head.bytes()) {
            Some(_) => self.apply_to_underscores(head, worker),
            None => Ok(()),
        }
    }

    fn remove_restricted(&self, head: &mut Head, worker: usize, believed: impl Fn(KnownHeader) -> bool) {
        let mut removed = [0; 2];
        head.remove_if(|known, name| match known {
            KnownHeader::Other => false,
            known if known.is_reserved() => count(&mut removed[0]),
            known if known.is_proxy_provided() && !believed(known) => {
                !self.is_proxy_transparent && !self.is_allowed(name) && count(&mut removed[1])
            }
            _ => false,
        });
        for (n, what) in removed.into_iter().zip([Removed::ReservedField, Removed::ProxyField]) {
            self.count(worker, what, n);
        }
    }

    #[cold]
    fn apply_to_underscores(&self, head: &mut Head, worker: usize) -> Result<(), GatewayError> {
        let refused: Vec<Vec<u8>> = head
            .fields()
            .filter(|(_, name, _)| name.contains(&b'_') && !self.is_allowed(name))
            .map(|(_, name, _)| name)
            .filter(|name| self.underscores != UnderscoresInHeaders::Allow || self.is_forgery(name, head))
            .map(<[u8]>::to_vec)
            .collect();
        match refused.first() {
            None => return Ok(()),
            Some(name) if self.underscores == UnderscoresInHeaders::Reject => {
                let detail =
                    format!("the field name {} contains an underscore", String::from_utf8_lossy(name));
                return Err(GatewayError::new(ErrorCode::RequestFieldName, detail));
            }
            Some(_) => {}
        }
        self.count(worker, Removed::UnderscoreField, refused.len() as u64);
        refused.iter().for_each(|name| {
            head.remove(name);
        });
        Ok(())
    }

    /// Whether a backend could take the field for another one: one that the gateway writes or removes, or one that the
    /// request has as well.
    fn is_forgery(&self, name: &[u8], head: &Head) -> bool {
        let plain = with_dashes(name);
        let known = KnownHeader::of(&plain);
        let is_known =
            known != KnownHeader::Other && !(known.is_proxy_provided() && self.is_proxy_transparent);
        is_known || self.route_fields.contains(&plain) || head.get(&plain).is_some()
    }

    fn is_allowed(&self, name: &[u8]) -> bool {
        !self.allowed.is_empty() && self.allowed.contains(&name.to_ascii_lowercase())
    }

    fn count(&self, worker: usize, what: Removed, n: u64) {
        if n > 0 {
            self.metrics.count(worker, what, n);
        }
    }

    /// Which trailers of this request are forwarded; `None`: none of them.
    pub fn trailer_filter(&self, head: &Head, framing: Framing) -> Option<Box<TrailerFilter>> {
        if framing == Framing::None || self.trailers == RequestTrailers::Drop {
            return None;
        }
        let is_complete = self.trailers == RequestTrailers::All || grpc::is_grpc(head);
        let lines = head.get_all_known(KnownHeader::Trailer);
        let listed = lines.flat_map(comma_list).take(MAX_ANNOUNCED_TRAILERS);
        let announced = FieldNames::new(listed);
        (is_complete || !announced.is_empty()).then(|| {
            let route_fields = self.route_fields.clone();
            Box::new(TrailerFilter { route_fields, announced: (!is_complete).then_some(announced) })
        })
    }
}

/// Counts one more; true, for use in a condition.
fn count(n: &mut u64) -> bool {
    *n += 1;
    true
}

#[cfg(test)]
#[path = "client_fields_tests.rs"]
mod tests;
