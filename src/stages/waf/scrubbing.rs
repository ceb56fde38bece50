//! Values that the log contains as `***`.

use crate::waf::policy::exclusion::Exclusion;
use crate::waf::request::parts::{Kind, Request, Value};

/// What is written instead.
pub const MASK: &str = "***";

/// Parts of argument names whose values are secrets.
const SECRET_NAMES: [&str; 11] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "card",
    "cvv",
];

/// The rules of one policy.
#[derive(Debug, Default)]
pub struct Scrubbing {
    /// Parts that the policy names.
    pub parts: Vec<Exclusion>,
    /// Whether addresses of clients are masked.
    pub hides_address: bool,
}

impl Scrubbing {
    /// Whether a value of the request is masked. Values that repeat others, such as the query or the body, are masked
    /// as a whole when they contain a name of a secret.
    pub fn is_secret(&self, request: &Request, value: &Value) -> bool {
        let name = request.bytes(value.name);
        match value.kind {
            Kind::CookieValue => true,
            Kind::HeaderValue => {
                is_secret_field(name)
                    || is_secret_name(name)
                    || self.parts.iter().any(|part| part.is_naming(request, value))
            }
            Kind::ResponseHeaderValue => name.eq_ignore_ascii_case(b"set-cookie") || is_secret_name(name),
            Kind::QueryValue | Kind::BodyValue => {
                is_secret_name(name)
                    || is_secret_name(request.bytes(value.path))
                    || self.parts.iter().any(|part| part.is_naming(request, value))
            }
            Kind::Line
            | Kind::Uri
            | Kind::RawUri
            | Kind::QueryString
            | Kind::Body
            | Kind::XmlText
            | Kind::XmlAttribute => is_secret_name(request.bytes(value.value)) || !self.parts.is_empty(),
            _ => self.parts.iter().any(|part| part.is_naming(request, value)),
        }
    }
}

fn is_secret_field(name: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"authorization", b"proxy-authorization", b"cookie"];
    names.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

/// Whether a text contains a name of secrets.
pub fn is_secret_name(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| crate::waf::bytes::contains(&name, secret.as_bytes()))
}
