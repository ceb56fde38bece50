//! What comes back: an answer, or the cause why there is none; and the one place that turns a cause into an answer.

use super::{
    body::Body,
    cause::{Cause, reason},
    head::Head,
};
use bytes::Bytes;

/// The way back of an exchange.
pub type Outcome = Result<Answer, Cause>;

/// A response on its way to the client.
#[derive(Debug, Default)]
pub struct Answer {
    pub head: Head,
    pub body: Body,
    /// The client connection must not be used again after this answer.
    pub close: bool,
}

impl Answer {
    /// An answer of the gateway's own.
    pub fn reply(status: u16, kind: &str, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let mut head = Head::response(status, reason(status).as_bytes());
        if !body.is_empty() {
            head.append(b"Content-Type", kind.as_bytes());
        }
        head.append_number(b"Content-Length", body.len() as u64);
        Answer { head, body: if body.is_empty() { Body::Empty } else { Body::Bytes(body) }, close: false }
    }

    pub fn status(&self) -> u16 {
        self.head.status
    }
}

/// Turns a cause into an answer: problem+json (RFC 9457), or Ocelot's bodiless status.
pub fn rescue(cause: &Cause, instance: &[u8], ocelot: bool) -> Answer {
    let status = cause.why.status(ocelot);
    if ocelot {
        return Answer::reply(status, "", Bytes::new());
    }
    let problem = serde_json::json!({
        "type": format!("urn:margay:problem:{}", cause.why.name()),
        "title": cause.why.title(),
        "status": status,
        "detail": cause.detail,
        "why": cause.why.name(),
        "instance": String::from_utf8_lossy(instance),
    });
    Answer::reply(status, "application/problem+json", problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::cause::Why, *};

    #[test]
    fn a_cause_becomes_a_problem_and_under_ocelot_an_empty_status() {
        let cause = Cause::new(Why::BackendConnect, "127.0.0.1:9 refused the connection");
        let ours = rescue(&cause, b"/a", false);
        assert_eq!(ours.status(), 502);
        let Body::Bytes(body) = &ours.body else { panic!("a problem has a body") };
        let json: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(json["why"], "backend.connect");
        assert_eq!(json["instance"], "/a");
        let theirs = rescue(&cause, b"/a", true);
        assert_eq!((theirs.status(), theirs.body.length()), (502, Some(0)));
    }
}
