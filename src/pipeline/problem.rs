//! Problem details (RFC 9457): the one form of all error bodies, those of the proxy and those of internal services.

use serde_json::{Value, json};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One problem body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Problem<'p> {
    pub status: u16,
    /// The stable error code, `area.reason`.
    pub code: &'p str,
    /// A short summary, the same for all problems of the code.
    pub title: &'p str,
    pub detail: &'p str,
    /// The path of the request.
    pub instance: Option<&'p [u8]>,
    /// The request id; empty: absent.
    pub request_id: &'p [u8],
}

impl Problem<'_> {
    /// The JSON body as text.
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    /// The JSON body, to which a service may add members (RFC 9457 3.2).
    pub fn to_value(&self) -> Value {
        let mut problem = json!({
            "type": format!("urn:margay:problem:{}", self.code),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        });
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
        if let Some(instance) = self.instance {
            problem["instance"] = text(instance);
        }
        if !self.request_id.is_empty() {
            problem["requestId"] = text(self.request_id);
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_members_are_left_out() {
        let problem = Problem { status: 404, code: "route.none", title: "No route", ..Problem::default() };
        assert_eq!(
            problem.to_json(),
            r#"{"type":"urn:margay:problem:route.none","title":"No route","status":404,"detail":"","code":"route.none"}"#
        );
        assert!(
            Problem { instance: Some(b"/a"), request_id: b"7", ..problem }
                .to_json()
                .ends_with(r#","instance":"/a","requestId":"7"}"#)
        );
    }
}
