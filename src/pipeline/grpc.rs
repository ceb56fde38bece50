//! gRPC: errors of the gateway as gRPC clients expect them, trailers-only responses with `grpc-status` and
//! `grpc-message` ("gRPC over HTTP/2", section "Responses").

use super::{
    error::{ErrorCode, GatewayError},
    head::Head,
    response::Response,
};
use crate::base::bytes::decimal;
use std::{fmt::Write, time::Duration};

/// Whether a request is a gRPC call: `application/grpc`, with or without a message format. gRPC-Web is not.
pub fn is_grpc(head: &Head) -> bool {
    const CONTENT_TYPE: &[u8] = b"application/grpc";
    let Some(kind) = head.get(b"content-type") else { return false };
    let named =
        kind.len() >= CONTENT_TYPE.len() && kind[..CONTENT_TYPE.len()].eq_ignore_ascii_case(CONTENT_TYPE);
    named && matches!(kind.get(CONTENT_TYPE.len()), None | Some(b'+' | b';' | b' '))
}

/// The deadline of a call (`grpc-timeout`): at most eight digits and a unit.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > 8 {
        return None;
    }
    let n = decimal(digits)?;
    match unit {
        b'H' => Some(Duration::from_secs(n * 3600)),
        b'M' => Some(Duration::from_secs(n * 60)),
        b'S' => Some(Duration::from_secs(n)),
        b'm' => Some(Duration::from_millis(n)),
        b'u' => Some(Duration::from_micros(n)),
        b'n' => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// The gRPC status code of an error.
fn status_for_error(cause: &GatewayError) -> u64 {
    const CANCELLED: u64 = 1;
    const UNKNOWN: u64 = 2;
    const DEADLINE_EXCEEDED: u64 = 4;
    const PERMISSION_DENIED: u64 = 7;
    const RESOURCE_EXHAUSTED: u64 = 8;
    const UNIMPLEMENTED: u64 = 12;
    const INTERNAL: u64 = 13;
    const UNAVAILABLE: u64 = 14;
    const UNAUTHENTICATED: u64 = 16;
    match (cause.code, cause.status(false)) {
        (ErrorCode::BackendTimeout | ErrorCode::RequestTimeout, _) => DEADLINE_EXCEEDED,
        (_, 401) => UNAUTHENTICATED,
        (_, 403) => PERMISSION_DENIED,
        (_, 404 | 405 | 501) => UNIMPLEMENTED,
        (_, 413 | 414 | 429 | 431) => RESOURCE_EXHAUSTED,
        (_, 499) => CANCELLED,
        (_, 502..=504) => UNAVAILABLE,
        (_, 400 | 500) => INTERNAL,
        _ => UNKNOWN,
    }
}

/// Converts an error into a trailers-only response.
pub fn error_response(cause: &GatewayError) -> Response {
    let mut head = Head::response(200, b"OK");
    head.append(b"content-type", b"application/grpc");
    head.append_number(b"grpc-status", status_for_error(cause));
    head.append(b"grpc-message", percent_encode_message(&cause.detail).as_bytes());
    for (name, value) in cause.extra.iter().flat_map(|extra| &extra.headers) {
        head.append(name.as_bytes(), value.as_bytes());
    }
    Response { head, ..Response::default() }
}

/// Percent-encodes everything except printable ASCII, and the percent sign.
fn percent_encode_message(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_recognized_by_their_content_type() {
        let mut head = Head::request(b"POST", b"/a.B/C");
        assert!(!is_grpc(&head));
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC; a=b", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            head.set(b"Content-Type", kind.as_bytes());
            assert_eq!(is_grpc(&head), is, "{kind}");
        }
    }

    #[test]
    fn a_timeout_is_a_number_of_at_most_eight_digits_and_a_unit() {
        let millis = |text: &str| timeout(text.as_bytes()).map(|time| time.as_millis());
        assert_eq!(
            ["1H", "2M", "3S", "400m", "5000u", "6000000n", "99999999H"].map(millis),
            [3_600_000, 120_000, 3_000, 400, 5, 6, 359_999_996_400_000].map(Some)
        );
        assert_eq!(["", "S", "1", "1s", "-1S", "1.5S", "123456789S"].map(millis), [None; 7]);
    }

    #[test]
    fn an_error_has_a_status_a_message_and_headers() {
        let cause = GatewayError::new(ErrorCode::RateLimitExceeded, "100% gone\u{e9}")
            .with_details(|more| more.headers.push(("Retry-After".into(), "3".into())));
        let response = error_response(&cause);
        let field =
            |name: &str| response.head.get(name.as_bytes()).map(|v| String::from_utf8_lossy(v).into_owned());
        assert_eq!((response.status(), field("grpc-status").as_deref()), (200, Some("8")));
        assert_eq!(field("grpc-message").as_deref(), Some("100%25 gone%C3%A9"));
        assert_eq!(field("retry-after").as_deref(), Some("3"));
        let of = |code| status_for_error(&GatewayError::new(code, ""));
        assert_eq!(
            [ErrorCode::RouteNotFound, ErrorCode::IdentityMissing, ErrorCode::AccessScope].map(of),
            [12, 16, 7]
        );
        assert_eq!(
            [ErrorCode::BackendConnect, ErrorCode::BackendTimeout, ErrorCode::GatewayInternal].map(of),
            [14, 4, 13]
        );
    }
}
