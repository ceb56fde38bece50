//! Paths within a service, and their queries.

use crate::base::percent::percent_decoded;
use std::borrow::Cow;

/// What a path within a service leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePath {
    /// The handshake of a client; the hub is decoded.
    Client {
        hub: Result<String, PathError>,
    },
    /// The data plane.
    Api,
    Unknown,
}

/// Why a client path has no hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    Missing,
    Repeated,
}

/// The pairs of a query, decoded, in their order.
pub type QueryPairs = Vec<(String, String)>;

impl ServicePath {
    /// Reads a path without its query.
    pub fn parse(path: &str, query: &QueryPairs) -> ServicePath {
        let Some(rest) = path.strip_prefix("/client") else {
            return if path.starts_with("/api/") { ServicePath::Api } else { ServicePath::Unknown };
        };
        match rest {
            "" | "/" => ServicePath::Client { hub: hub_parameter(query) },
            rest => match rest.strip_prefix("/hubs/") {
                Some("") => ServicePath::Client { hub: Err(PathError::Missing) },
                Some(hub) if !hub.contains('/') => ServicePath::Client { hub: Ok(decoded(hub, false)) },
                _ if rest == "/hubs" => ServicePath::Client { hub: Err(PathError::Missing) },
                _ => ServicePath::Unknown,
            },
        }
    }
}

/// The hub of the legacy form.
fn hub_parameter(query: &QueryPairs) -> Result<String, PathError> {
    let mut hubs = query.iter().filter(|(name, _)| name == "hub").map(|(_, value)| value);
    match (hubs.next(), hubs.next()) {
        (Some(hub), None) if !hub.is_empty() => Ok(hub.clone()),
        (_, Some(_)) => Err(PathError::Repeated),
        _ => Err(PathError::Missing),
    }
}

/// The pairs of a query; without `=` the value is empty.
pub fn query_pairs(query: &str) -> QueryPairs {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name, true), decoded(value, true))
    };
    query.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

/// The first value of a parameter.
pub fn parameter<'q>(query: &'q QueryPairs, name: &str) -> Option<&'q str> {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn decoded(text: &str, in_query: bool) -> String {
    match String::from_utf8_lossy(&percent_decoded(text.as_bytes(), in_query)) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str) -> ServicePath {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        ServicePath::parse(path, &query_pairs(query))
    }

    fn client(hub: &str) -> ServicePath {
        ServicePath::Client { hub: Ok(hub.to_owned()) }
    }

    #[test]
    fn both_forms_of_client_paths_name_a_hub() {
        for target in
            ["/client/hubs/chat", "/client/?hub=chat", "/client?x=1&hub=chat", "/client/hubs/ch%61t"]
        {
            assert_eq!(parse(target), client("chat"), "{target}");
        }
        let without = [("/client", PathError::Missing), ("/client/?hub=", PathError::Missing)];
        for (target, error) in without.into_iter().chain([("/client/?hub=a&hub=b", PathError::Repeated)]) {
            assert_eq!(parse(target), ServicePath::Client { hub: Err(error) }, "{target}");
        }
    }

    #[test]
    fn other_paths_are_the_data_plane_or_unknown() {
        assert_eq!(parse("/api/hubs/chat/:send"), ServicePath::Api);
        for target in ["/clients/mqtt/hubs/a", "/clients/socketio/hubs/a", "/client/hubs/a/b", "/", "/api"] {
            assert_eq!(parse(target), ServicePath::Unknown, "{target}");
        }
    }

    #[test]
    fn a_query_is_decoded_once() {
        assert_eq!(
            query_pairs("x=1&x=2&y=a%20b+c&z"),
            [("x", "1"), ("x", "2"), ("y", "a b c"), ("z", "")].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }
}
