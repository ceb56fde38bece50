//! What comes back: an answer, or the cause why there is none; and the one place that turns a cause into an answer.

use super::{
    body::Body,
    error::{GatewayError, reason},
    head::Head,
    problem::{self, Problem},
    upgrade::Upgrade,
};
use bytes::Bytes;

/// The way back of an exchange.
pub type RouteResult = Result<Response, GatewayError>;

/// Adds a field to whatever the client will get: the answer, or the one that the cause becomes.
pub fn append_header(outcome: &mut RouteResult, name: &'static str, value: &[u8]) {
    match outcome {
        Ok(answer) => answer.head.append(name.as_bytes(), value),
        Err(cause) => {
            let value = String::from_utf8_lossy(value).into_owned();
            cause.extra.get_or_insert_default().headers.push((name.into(), value));
        }
    }
}

/// A response on its way to the client.
///
/// ```
/// use margay::pipeline::response::Response;
///
/// let mut response = Response::local(421, "text/plain", "no tenant has this host name\n");
/// response.head.append(b"Cache-Control", b"no-store");
/// assert_eq!((response.status(), response.body.length()), (421, Some(29)));
/// ```
#[derive(Debug, Default)]
pub struct Response {
    pub head: Head,
    pub body: Body,
    /// The client connection must not be used again after this answer.
    pub close_connection: bool,
    /// With status 101: the connection belongs to this from now on.
    pub upgrade: Option<Upgrade>,
}

impl Response {
    /// An answer of the gateway's own.
    pub fn local(status: u16, kind: &str, body: impl Into<Bytes>) -> Response {
        let body = body.into();
        let mut head = Head::response(status, reason(status).as_bytes());
        if !body.is_empty() {
            head.append(b"Content-Type", kind.as_bytes());
        }
        head.append_number(b"Content-Length", body.len() as u64);
        let body = if body.is_empty() { Body::Empty } else { Body::Bytes(body) };
        Response { head, body, close_connection: false, upgrade: None }
    }

    /// The status code that the client receives.
    pub fn status(&self) -> u16 {
        self.head.status
    }
}

/// Turns a cause into an answer: problem+json (RFC 9457), or Ocelot's bodiless status; `instance` is the path asked for,
/// `id` the request's, where it has one.
pub fn rescue(cause: &GatewayError, instance: &[u8], id: &[u8], ocelot: bool) -> Response {
    let status = cause.status(ocelot);
    let extra = cause.extra.as_deref();
    let mut answer = match extra.and_then(|extra| extra.plain_body.clone()) {
        Some(text) => Response::local(status, "text/plain; charset=utf-8", text),
        None if ocelot => Response::local(status, "", Bytes::new()),
        None => Response::local(status, problem::MEDIA_TYPE, problem_json(cause, status, instance, id)),
    };
    if let Some(reason) = extra.and_then(|extra| extra.reason.as_ref()) {
        answer.head.set_status(status, reason.as_bytes());
    }
    for (name, value) in extra.into_iter().flat_map(|extra| &extra.headers) {
        answer.head.append(name.as_bytes(), value.as_bytes());
    }
    answer
}

fn problem_json(cause: &GatewayError, status: u16, instance: &[u8], id: &[u8]) -> String {
    let (code, title, detail) = (cause.why.name(), cause.why.title(), &*cause.detail);
    Problem { status, code, title, detail, instance: Some(instance), request_id: id }.to_json()
}

#[cfg(test)]
mod tests {
    use super::{super::error::ErrorCode, *};

    #[test]
    fn a_cause_becomes_a_problem_and_under_ocelot_an_empty_status() {
        let cause = GatewayError::new(ErrorCode::BackendConnect, "127.0.0.1:9 refused the connection");
        let ours = rescue(&cause, b"/a", b"7", false);
        assert_eq!(ours.status(), 502);
        let Body::Bytes(body) = &ours.body else { panic!("a problem has a body") };
        let json: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(json["code"], "backend.connect");
        assert_eq!((&json["instance"], &json["requestId"]), (&"/a".into(), &"7".into()));
        let theirs = rescue(&cause, b"/a", b"7", true);
        assert_eq!((theirs.status(), theirs.body.length()), (502, Some(0)));
    }

    #[test]
    fn what_a_cause_says_beyond_its_kind_is_said() {
        let cause = GatewayError::new(ErrorCode::BackendNoEndpoint, "x").with_details(|more| {
            more.status = Some(418);
            more.headers.push(("Retry-After".into(), "3".into()));
            more.plain_body = Some("no".into());
        });
        let answer = rescue(&cause, b"/", b"", true);
        assert_eq!((answer.status(), answer.head.get(b"retry-after")), (418, Some(&b"3"[..])));
        assert_eq!(answer.body.length(), Some(2));
    }
}
