//! A compiled limit, and the errors of the requests that it rejects.

use super::{Fields, Limit, format, response_headers::LimitHeader, store::CounterStore};
use crate::{
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
    },
    stages::partition_key::{KeyBuilder, KeyPart, client_id},
};
use std::collections::HashSet;

/// Client IDs.
type ClientIds = HashSet<Box<[u8]>>;

/// A compiled limit.
#[derive(Debug)]
pub struct Rule {
    /// Its index among the limits of the route.
    pub index: u16,
    pub limit: Limit,
    pub key_builder: KeyBuilder,
    /// The client ID header and the exempt clients, if there are any.
    exempt: Option<(Box<str>, ClientIds)>,
    pub header: LimitHeader,
}

impl Rule {
    /// Compiles a limit; `index` is its place among those of the route.
    pub fn new(limit: &Limit, index: u16, store: &CounterStore) -> Rule {
        let header = limit.parts.iter().find_map(|part| match part {
            KeyPart::ClientId(header) if !limit.exempt_clients.is_empty() => Some(header.clone()),
            _ => None,
        });
        let exempt_ids = || limit.exempt_clients.iter().map(|id| id.as_bytes().into()).collect();
        Rule {
            index,
            key_builder: store.keys.builder(&limit.counter, &limit.parts),
            exempt: header.map(|header| (header, exempt_ids())),
            header: LimitHeader::new(&limit.name, limit.policy),
            limit: limit.clone(),
        }
    }

    /// Whether some clients are exempt.
    pub fn has_exempt_clients(&self) -> bool {
        self.exempt.is_some()
    }

    /// Whether the client of a request is exempt.
    pub fn is_exempt(&self, exchange: &Exchange) -> bool {
        self.exempt
            .as_ref()
            .is_some_and(|(header, ids)| client_id(exchange, header).is_some_and(|id| ids.contains(id)))
    }

    /// The error of a request without a client ID.
    pub fn missing_client_id(&self, is_ocelot: bool, fields: Fields) -> GatewayError {
        let text = &self.limit.on_missing_client_id;
        let cause = GatewayError::new(ErrorCode::RateLimitClientIdMissing, text.clone());
        if !is_ocelot {
            return cause;
        }
        cause.with_details(|details| {
            details.plain_body = Some(text.clone());
            if fields != Fields::None {
                details.headers.push(("Retry-After".into(), "-1".into()));
            }
        })
    }

    /// The error of a request that the limit rejects.
    pub fn exceeded(&self, retry_after_ns: u64, is_ocelot: bool, fields: Fields) -> GatewayError {
        let limit = &self.limit;
        GatewayError::new(ErrorCode::RateLimitExceeded, limit.message.clone()).with_details(|details| {
            details.status = Some(limit.status);
            details.plain_body = is_ocelot.then(|| limit.message.clone());
            match fields {
                Fields::None => {}
                Fields::Ocelot => {
                    details.headers.push(("Retry-After".into(), format::seconds_as_double(retry_after_ns)));
                }
                Fields::Both => {
                    let seconds = format::whole_seconds(retry_after_ns).to_string();
                    details.headers.push(("Retry-After".into(), seconds));
                    details.headers.extend(self.header.exhausted(retry_after_ns));
                }
            }
        })
    }
}
