//! The parameter `id` of a request: the connection token, with the tag of an endpoint behind `~`.

use crate::{
    base::percent::percent_decoded,
    pipeline::affinity::{Affinity, EndpointTag},
};

/// The ids of a query.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConnectionIds {
    /// What the first one requires; `None`: the query has no id.
    pub first: Option<Affinity>,
    /// The query without tags, with its `?`; `None`: it has none.
    pub query: Option<Vec<u8>>,
}

/// Reads the ids of a query; `decode` returns the tag of a text that is one.
pub fn read_ids(query: &[u8], decode: impl Fn(&[u8]) -> Option<EndpointTag>) -> ConnectionIds {
    let mut ids = ConnectionIds::default();
    let mut written = vec![b'?'];
    let mut has_tag = false;
    for (at, parameter) in query.split(|byte| *byte == b'&').enumerate() {
        if at > 0 {
            written.push(b'&');
        }
        let Some(value) = id_value(parameter) else {
            written.extend_from_slice(parameter);
            continue;
        };
        let split = last_tilde(value);
        let tag = split.and_then(|(_, behind)| decode(&percent_decoded(&value[behind..], true)));
        ids.first.get_or_insert(match (split, tag) {
            (_, Some(tag)) => Affinity::Endpoint(tag),
            (Some(_), None) => Affinity::InvalidTag,
            (None, None) => Affinity::MissingTag,
        });
        let kept = match (split, tag) {
            (Some((start, _)), Some(_)) => {
                has_tag = true;
                parameter.len() - value.len() + start
            }
            _ => parameter.len(),
        };
        written.extend_from_slice(&parameter[..kept]);
    }
    ids.query = has_tag.then_some(written);
    ids
}

/// The undecoded value, if the parameter is an id.
fn id_value(parameter: &[u8]) -> Option<&[u8]> {
    let end = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
    let is_id = percent_decoded(&parameter[..end], true).eq_ignore_ascii_case(b"id");
    is_id.then(|| parameter.get(end + 1..).unwrap_or_default())
}

/// Start and end of the last `~`, which may be percent-encoded.
fn last_tilde(value: &[u8]) -> Option<(usize, usize)> {
    (0..value.len()).rev().find_map(|at| match &value[at..] {
        [b'~', ..] => Some((at, at + 1)),
        [b'%', b'7', b'E' | b'e', ..] => Some((at, at + 3)),
        _ => None,
    })
}
