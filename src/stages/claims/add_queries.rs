//! `AddQueriesToRequest`: sets query parameters from claims.
//!
//! Existing parameters keep their spelling; new values are escaped, so that they cannot add parameters.

use super::mapping::{ClaimMapping, describe, in_dotnet_order};
use crate::stages::feature::ConfiguredStage;
use crate::{
    base::percent::{is_unescaped_query_byte, percent_decoded, put_percent},
    pipeline::{
        error::GatewayError,
        exchange::Exchange,
        stage::{Stage, Step},
    },
};

use smallvec::SmallVec;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "claims-to-queries";

/// Sets parameters: in place if the request has them, otherwise appended.
#[derive(Clone, Debug)]
pub struct AddQueries {
    entries: Box<[ClaimMapping]>,
    /// As Ocelot: existing parameters are decoded and encoded again, `flag` becomes `flag=`.
    ocelot: bool,
}

impl AddQueries {
    /// The entries apply in the order of their names, as in .NET.
    pub fn new(entries: Vec<ClaimMapping>, ocelot: bool) -> AddQueries {
        AddQueries { entries: in_dotnet_order(entries), ocelot }
    }

    /// Writes the new query, with its `?`, to `out`; `value` is a scratch buffer.
    fn write(
        &self,
        exchange: &Exchange,
        value: &mut Vec<u8>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), GatewayError> {
        let query = match exchange.routing.query.get(1..) {
            Some(changed) => changed,
            None => exchange.request.target().get(exchange.routing.path_len + 1..).unwrap_or_default(),
        };
        let mut seen: SmallVec<[bool; 8]> = SmallVec::from_elem(false, self.entries.len());
        for param in query.split(|b| *b == b'&').filter(|param| !param.is_empty()) {
            let name = param.split(|b| *b == b'=').next().unwrap_or_default();
            let name = percent_decoded(name, true);
            match self.entries.iter().position(|(entry, _)| entry.as_bytes() == &*name) {
                None => self.push_existing(param, buffer),
                Some(index) if !std::mem::replace(&mut seen[index], true) => {
                    push_param(&self.entries[index], exchange, value, buffer)?;
                }
                Some(_) => {}
            }
        }
        for (entry, _) in self.entries.iter().zip(seen).filter(|(_, seen)| !seen) {
            push_param(entry, exchange, value, buffer)?;
        }
        Ok(())
    }

    fn push_existing(&self, param: &[u8], buffer: &mut Vec<u8>) {
        buffer.push(separator(buffer));
        if !self.ocelot {
            return buffer.extend_from_slice(param);
        }
        let mut sides = param.splitn(2, |b| *b == b'=');
        push_encoded(&percent_decoded(sides.next().unwrap_or_default(), true), true, buffer);
        buffer.push(b'=');
        push_encoded(&percent_decoded(sides.next().unwrap_or_default(), true), false, buffer);
    }
}

fn separator(buffer: &[u8]) -> u8 {
    if buffer.is_empty() { b'?' } else { b'&' }
}

fn push_param(
    (name, source): &ClaimMapping,
    exchange: &Exchange,
    value: &mut Vec<u8>,
    buffer: &mut Vec<u8>,
) -> Result<(), GatewayError> {
    value.clear();
    source.write(exchange.client.user.as_deref(), value)?;
    buffer.push(separator(buffer));
    push_encoded(name.as_bytes(), true, buffer);
    buffer.push(b'=');
    push_encoded(value, false, buffer);
    Ok(())
}

/// Appends a name or a value, percent-encoded.
fn push_encoded(text: &[u8], is_name: bool, buffer: &mut Vec<u8>) {
    for byte in text {
        match is_unescaped_query_byte(*byte) && !(is_name && *byte == b'=') {
            true => buffer.push(*byte),
            false => put_percent(*byte, buffer),
        }
    }
}

impl ConfiguredStage for AddQueries {}

impl Stage for AddQueries {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let (mut query, mut value) = (Vec::new(), std::mem::take(&mut exchange.scratch));
        let result = self.write(exchange, &mut value, &mut query);
        (exchange.routing.query, exchange.scratch) = (query, value);
        match result {
            Ok(()) => Step::Next,
            Err(cause) => Step::Fail(cause),
        }
    }

    fn describe(&self) -> String {
        describe(&self.entries)
    }
}
