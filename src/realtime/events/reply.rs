//! User events: their content types, and what their responses mean.

use super::{http_call::HandlerResponse, sink::EventReply};
use crate::{
    base::bytes::is_field_value,
    realtime::{
        message::Payload,
        payload::{json_payload, text_payload},
    },
};
use std::sync::Arc;

/// Maximum size of a response.
pub const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// The content type of a payload.
pub fn content_type(payload: &Payload) -> &'static str {
    match payload {
        Payload::Text(_) => "text/plain; charset=utf-8",
        Payload::Json(_) => "application/json; charset=utf-8",
        Payload::Binary(_) => "application/octet-stream",
        Payload::Protobuf(_) => "application/x-protobuf",
    }
}

/// The new state of the connection.
pub fn state(response: &HandlerResponse) -> Option<Arc<str>> {
    let state = response.header("ce-connectionState").filter(|state| is_field_value(state.as_bytes()));
    state.map(Arc::from)
}

/// The meaning of a response; an error is a text for the log of the gateway. An empty response is no message, unless it
/// returns `empty_message`, the empty message of a simple client, with its content type.
pub fn reply(response: &HandlerResponse, empty_message: Option<&Payload>) -> Result<EventReply, String> {
    let status = response.status();
    if !(200..300).contains(&status) {
        return Err(format!("the status of the response is {status}"));
    }
    let media_type = media_type(response.header("content-type").unwrap_or_default());
    if status == 204 || response.body.is_empty() {
        let returned =
            empty_message.filter(|sent| status == 200 && media_type == self::media_type(content_type(sent)));
        return Ok(EventReply { payload: returned.cloned(), state: state(response) });
    }
    let body = response.body.clone();
    let payload = match media_type.as_str() {
        "text/plain" => text_payload(body),
        "application/json" => json_payload(body),
        _ => Ok(Payload::Binary(body)),
    };
    Ok(EventReply { payload: Some(payload?), state: state(response) })
}

/// A content type without its parameters.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::head::Head;
    use bytes::Bytes;

    fn response(status: u16, content_type: &str, body: &'static [u8]) -> HandlerResponse {
        let mut head = Head::response(status, b"");
        head.append(b"Content-Type", content_type.as_bytes());
        HandlerResponse { head, body: Bytes::from_static(body) }
    }

    #[test]
    fn the_content_type_of_a_response_is_the_kind_of_the_message() {
        for (content_type, expected) in [
            ("text/plain; charset=utf-8", Payload::Text(Bytes::from_static(b"{}"))),
            ("Application/JSON", Payload::Json(Bytes::from_static(b"{}"))),
            ("application/octet-stream", Payload::Binary(Bytes::from_static(b"{}"))),
            ("", Payload::Binary(Bytes::from_static(b"{}"))),
        ] {
            assert_eq!(reply(&response(200, content_type, b"{}"), None).unwrap().payload, Some(expected));
        }
        for empty in [response(204, "text/plain", b"x"), response(200, "text/plain", b"")] {
            assert_eq!(reply(&empty, None), Ok(EventReply::default()));
        }
    }

    #[test]
    fn malformed_responses_and_other_statuses_are_errors() {
        for failed in [
            response(200, "application/json", b"{"),
            response(200, "text/plain", b"\xff"),
            response(301, "text/plain", b"x"),
            response(404, "text/plain", b"x"),
            response(500, "text/plain", b"x"),
        ] {
            assert!(reply(&failed, None).is_err(), "{failed:?}");
        }
    }
    #[test]
    fn an_empty_message_of_a_simple_client_may_be_returned() {
        let (text, binary) = (Payload::Text(Bytes::new()), Payload::Binary(Bytes::new()));
        for (response, sent, is_returned) in [
            (response(200, "text/plain; charset=utf-8", b""), &text, true),
            (response(200, "application/octet-stream", b""), &binary, true),
            (response(200, "application/octet-stream", b""), &text, false),
            (response(204, "text/plain", b""), &text, false),
        ] {
            assert_eq!(reply(&response, Some(sent)).unwrap().payload.is_some(), is_returned);
        }
    }
}
