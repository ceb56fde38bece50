//! The decision of an authorizer, and its effect on the exchange.

use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
    identity::Identity,
};
use bytes::Bytes;
use std::sync::Arc;

/// What an authorizer decided.
#[derive(Clone, Debug)]
pub enum Decision {
    Allow(Allowance),
    Deny(Denial),
}

/// How a field of the request is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldAction {
    Set,
    Append,
    AddIfAbsent,
    ReplaceIfPresent,
    Remove,
}

/// The changes of an allowed request.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    /// Changes of fields of the request to the backend.
    pub request: Vec<(FieldAction, String, Vec<u8>)>,
    /// Fields that are added to the response for the client.
    pub response: Vec<(String, Vec<u8>)>,
    /// Claims of the caller.
    pub claims: Vec<(String, String)>,
}

/// The response to a denied request.
#[derive(Clone, Debug)]
pub struct Denial {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub media_type: String,
    pub body: Bytes,
}

impl Decision {
    /// Bytes of memory that it uses.
    pub fn weight(&self) -> u32 {
        let bytes = match self {
            Decision::Allow(allowance) => {
                let request = allowance.request.iter().map(|(_, name, value)| name.len() + value.len() + 64);
                let response = allowance.response.iter().map(|(name, value)| name.len() + value.len() + 64);
                let claims = allowance.claims.iter().map(|(name, value)| name.len() + value.len() + 64);
                request.chain(response).chain(claims).sum()
            }
            Decision::Deny(denial) => {
                let headers = denial.headers.iter().map(|(name, value)| name.len() + value.len() + 64);
                headers.sum::<usize>() + denial.body.len()
            }
        };
        u32::try_from(bytes + 256).unwrap_or(u32::MAX)
    }

    /// Applies an allowing decision of this scheme; a denying one is the error.
    pub fn apply(&self, scheme: &Arc<str>, exchange: &mut Exchange) -> Result<(), GatewayError> {
        match self {
            Decision::Allow(allowance) => {
                allowance.apply(scheme, exchange);
                Ok(())
            }
            Decision::Deny(denial) => Err(denial.to_error(scheme)),
        }
    }
}

impl Allowance {
    fn apply(&self, scheme: &Arc<str>, exchange: &mut Exchange) {
        for (action, name, value) in &self.request {
            let (request, name) = (&mut exchange.request, name.as_bytes());
            match action {
                FieldAction::Set => request.set(name, value),
                FieldAction::Append => request.append(name, value),
                FieldAction::AddIfAbsent if request.get(name).is_none() => request.append(name, value),
                FieldAction::ReplaceIfPresent if request.get(name).is_some() => request.set(name, value),
                FieldAction::Remove => {
                    request.remove(name);
                }
                FieldAction::AddIfAbsent | FieldAction::ReplaceIfPresent => {}
            }
        }
        let fields = self.response.iter().map(|(name, value)| (name.as_str().into(), value.clone()));
        exchange.response.fields.extend(fields);
        if self.claims.is_empty() {
            return;
        }
        let known = exchange.client.user.as_deref().cloned();
        let mut user = known.unwrap_or_else(|| Identity::new(scheme.clone()));
        self.claims.iter().for_each(|(name, value)| user.replace(name, value));
        exchange.client.user = Some(Arc::new(user));
    }
}

impl Denial {
    /// The error whose response is that of the authorizer.
    fn to_error(&self, scheme: &str) -> GatewayError {
        let detail = format!("{scheme} denied the request with the status {}", self.status);
        GatewayError::new(ErrorCode::AccessExternal, detail).with_details(|details| {
            details.status = Some(self.status);
            let headers = self.headers.iter().map(|(name, value)| (name.clone().into(), value.clone()));
            details.headers.extend(headers);
            details.body = Some((self.media_type.clone(), self.body.clone()));
        })
    }
}
