//! Errors of calls to the administration API, each with a cure.

use crate::cli::Exit;
use serde_json::Value;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientError {
    /// The command line, a variable or a file of credentials.
    Usage(String),
    /// No response.
    Unreachable(String),
    /// A problem response.
    Problem { status: u16, problem: Value },
    /// A response that is not what the API sends.
    Unexpected(String),
    /// The operator declined.
    Declined,
}

impl ClientError {
    /// The error of a response with this status and body.
    pub fn from_response(status: u16, body: &[u8]) -> ClientError {
        let problem = serde_json::from_slice(body).unwrap_or(Value::Null);
        ClientError::Problem { status, problem }
    }

    /// The exit code: 2 for an invalid configuration, 64 for invalid usage, else 1.
    pub fn exit(&self) -> Exit {
        match self {
            ClientError::Usage(_) => Exit::Usage,
            ClientError::Problem { status: 422, .. } => Exit::Invalid,
            _ => Exit::Failed,
        }
    }

    /// The message and its cure, in one or two lines.
    pub fn message(&self) -> String {
        match self {
            ClientError::Usage(message) | ClientError::Unreachable(message) => message.clone(),
            ClientError::Unexpected(message) => {
                format!("{message}\n  = help: --admin must be the administration address of a margay gateway")
            }
            ClientError::Declined => "nothing was changed".to_owned(),
            ClientError::Problem { status, problem } => {
                let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
                let detail = if text("detail").is_empty() { text("title") } else { text("detail") };
                let code =
                    if text("code").is_empty() { String::new() } else { format!(" ({})", text("code")) };
                let help = cure(*status, text("code"), detail)
                    .map_or(String::new(), |help| format!("\n  = help: {help}"));
                format!("the gateway responded {status}{code}: {detail}{help}")
            }
        }
    }
}

/// What the operator can do about a response.
fn cure(status: u16, code: &str, detail: &str) -> Option<&'static str> {
    match (status, code) {
        (401, _) => {
            Some("set MARGAY_ADMIN_TOKEN or pass --token-file; the tokens are in Administration.Tokens")
        }
        (403, "admin.role") => {
            Some("the token has the role read; changes require a token with the role write")
        }
        (403, "admin.host") => {
            Some("add the host to Administration.AllowedHosts, or connect to a loopback address")
        }
        (403, _) => Some(
            "the address or the credentials do not allow this; see Administration in docs/configuration.md",
        ),
        (404, _) if code.is_empty() || detail.starts_with("no such page") => {
            Some("the gateway does not have this page; compare `margay --version` with `margay status`")
        }
        (409, "admin.watching") => Some("wait for the end of the watch, or end it with `margay rollback`"),
        (412, _) => Some("the active configuration changed meanwhile; compare again with `margay apply`"),
        (413, _) => Some("the document is larger than the administration accepts"),
        (503, _) => Some("the gateway is starting or shutting down; try again"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_its_detail_its_code_and_a_cure() {
        let body = br#"{ "status": 401, "code": "admin.token", "detail": "unknown token" }"#;
        let error = ClientError::from_response(401, body);
        assert_eq!(
            error.message(),
            "the gateway responded 401 (admin.token): unknown token\n  = help: set MARGAY_ADMIN_TOKEN or pass --token-file; the \
             tokens are in Administration.Tokens"
        );
        assert_eq!(error.exit(), Exit::Failed);
        assert_eq!(ClientError::from_response(422, b"{}").exit(), Exit::Invalid);
        assert_eq!(ClientError::from_response(502, b"<html>").message(), "the gateway responded 502: ");
    }
}
