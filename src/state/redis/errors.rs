//! Errors of Redis: what they mean for a caller, and the cure for the operator.

use super::super::contract::StateError;
use ::redis::{ErrorKind, RedisError};

/// The error of a command.
pub(in crate::state) fn command_error(error: &RedisError) -> StateError {
    if error.is_io_error() || error.is_connection_dropped() {
        return StateError::Lost;
    }
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => StateError::Reply(error.to_string()),
        _ => StateError::Server(server_text(error)),
    }
}

/// Code and text of an error reply.
fn server_text(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}

/// Whether the server cannot be used for writes any more, so that the connection is replaced.
pub(in crate::state) fn must_reconnect(error: &StateError) -> bool {
    let StateError::Server(text) = error else { return false };
    ["READONLY", "MASTERDOWN"].iter().any(|code| text.starts_with(code))
}

/// What an operator can do, by the code of an error reply or the text of a failed connection.
pub(in crate::state) fn cure(text: &str) -> &'static str {
    const CURES: [(&str, &str); 17] = [
        ("WRONGPASS", "check SharedState.User and SharedState.Password"),
        ("uthentication failed", "check SharedState.User and SharedState.Password"),
        ("NOAUTH", "set SharedState.Password, and SharedState.User if the server has users"),
        (
            "NOPERM",
            "grant the user the keys and channels of SharedState.Prefix, and the commands in docs/shared-state.md",
        ),
        ("OOM", "raise maxmemory, or set maxmemory-policy to volatile-ttl: all keys of the gateway expire"),
        ("MISCONF", "the server refuses writes because it cannot save: see its log"),
        ("MOVED", "the server belongs to a cluster: set SharedState.Mode to \"cluster\""),
        ("CROSSSLOT", "the server belongs to a cluster: set SharedState.Mode to \"cluster\""),
        ("CLUSTERDOWN", "the cluster does not serve all slots: see CLUSTER INFO"),
        ("READONLY", "the server is a replica: set SharedState.Mode to \"sentinel\", or Url to the primary"),
        ("MASTERDOWN", "the primary of the server is down: see INFO replication"),
        ("LOADING", "the server is loading its data: it will be used when it has finished"),
        ("WRONGTYPE", "another program writes keys under SharedState.Prefix: set another Prefix"),
        (
            "FORMAT",
            "another version of the gateway wrote the value: complete the update, or set another SharedState.Prefix",
        ),
        ("parse", "the address does not belong to a Redis server: check SharedState.Url"),
        (
            "CertificateRequired",
            "the server requires a client certificate: set SharedState.Tls.CertificateFile and KeyFile",
        ),
        ("ertificate", "check SharedState.Tls: CaFile and ServerName"),
    ];
    let found = CURES.iter().find(|(code, _)| text.contains(code));
    found.map_or("check SharedState.Url, and that the server is running", |(_, cure)| cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_error_has_its_cure() {
        for (text, expected) in [
            ("WRONGPASS invalid username-password pair", "Password"),
            ("Password authentication failed - AuthenticationFailed", "Password"),
            ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
            ("MOVED 3999 127.0.0.1:6381", "cluster"),
            ("READONLY You can't write against a read only replica.", "sentinel"),
            ("received fatal alert: CertificateRequired", "KeyFile"),
            ("invalid peer certificate: UnknownIssuer", "CaFile"),
            ("Connection refused", "Url"),
        ] {
            assert!(cure(text).contains(expected), "{text}: {}", cure(text));
        }
        assert!(must_reconnect(&StateError::Server("READONLY You can't".to_owned())));
        assert!(!must_reconnect(&StateError::Server("OOM".to_owned())) && !must_reconnect(&StateError::Lost));
    }
}
