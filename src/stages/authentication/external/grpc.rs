//! Envoy's `ext_authz` over gRPC, version 3.

use super::{
    decision::{Allowance, Decision, Denial, FieldAction},
    envoy::{
        AttributeContext, CHECK, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValueOption,
        HttpAttributes, HttpResult, OkHttpResponse, PeerAddress, PeerAttributes, PeerSocketAddress,
        RequestAttributes, UnixTimestamp,
    },
    settings::ExternalSettings,
    subject::AuthorizationSubject,
};
use crate::{
    base::bytes::{is_field_value, is_token},
    net::grpc_client::GrpcClient,
    pipeline::head::Version,
};
use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Calls the authorizer.
///
/// # Errors
///
/// The reason why there is no response.
pub async fn check(
    client: &GrpcClient,
    scheme: &str,
    timeout: Duration,
    subject: &AuthorizationSubject,
) -> Result<CheckResponse, String> {
    client.unary(CHECK, check_request(scheme, subject), timeout).await
}

fn check_request(scheme: &str, subject: &AuthorizationSubject) -> CheckRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let pseudo = [(":method", &subject.method), (":path", &subject.target), (":authority", &subject.host)];
    let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.clone()));
    let fields = subject.headers.iter().cloned();
    let headers = fields.chain(pseudo).chain([(":scheme".to_owned(), subject.scheme.to_owned())]).collect();
    let http = HttpAttributes {
        id: subject.request_id.clone(),
        method: subject.method.clone(),
        headers,
        path: subject.target.clone(),
        host: subject.host.clone(),
        scheme: subject.scheme.to_owned(),
        size: subject.body_length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1),
        protocol: match subject.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
        .to_owned(),
    };
    let time =
        UnixTimestamp { seconds: now.as_secs().cast_signed(), nanos: now.subsec_nanos().cast_signed() };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(PeerAttributes { principal: subject.principal.clone(), ..peer(subject.client) }),
            destination: Some(peer(subject.local)),
            request: Some(RequestAttributes { time: Some(time), http: Some(http) }),
            context_extensions: [("scheme".to_owned(), scheme.to_owned())].into(),
        }),
    }
}

fn peer(address: SocketAddr) -> PeerAttributes {
    let socket_address =
        PeerSocketAddress { address: address.ip().to_string(), port_value: u32::from(address.port()) };
    let address = Some(PeerAddress { socket_address: Some(socket_address) });
    PeerAttributes { address, principal: String::new() }
}

/// The decision of a response: the status OK allows the request, every other one denies it.
pub fn decision(settings: &ExternalSettings, response: CheckResponse) -> Decision {
    let is_ok = response.status.is_none_or(|status| status.code == 0);
    match (is_ok, response.http_response) {
        (true, Some(HttpResult::Ok(ok))) => Decision::Allow(allowance(settings, &ok)),
        (true, _) => Decision::Allow(allowance(settings, &OkHttpResponse::default())),
        (false, Some(HttpResult::Denied(denied))) => Decision::Deny(denial(&denied)),
        (false, _) => Decision::Deny(denial(&DeniedHttpResponse::default())),
    }
}

fn allowance(settings: &ExternalSettings, ok: &OkHttpResponse) -> Allowance {
    let removed = settings.response_headers.iter().chain(&ok.headers_to_remove);
    let removed = removed.filter(|name| is_changeable(name));
    let mut request: Vec<_> = removed.map(|name| (FieldAction::Remove, name.clone(), Vec::new())).collect();
    request.extend(changes(&ok.headers));
    let response = changes(&ok.response_headers_to_add).map(|(_, name, value)| (name, value)).collect();
    let claim = |(claim, header): &(String, String)| {
        let mut set = ok.headers.iter().filter_map(|option| option.header.as_ref());
        let value = set.find(|value| value.key.eq_ignore_ascii_case(header))?;
        Some((claim.clone(), String::from_utf8_lossy(value.bytes()).into_owned()))
    };
    Allowance { request, response, claims: settings.claims.iter().filter_map(claim).collect() }
}

/// The changes of fields whose name and value are valid.
fn changes(options: &[HeaderValueOption]) -> impl Iterator<Item = (FieldAction, String, Vec<u8>)> {
    options.iter().filter_map(|option| {
        let header = option.header.as_ref()?;
        let is_valid = is_changeable(&header.key) && is_field_value(header.bytes());
        is_valid.then(|| (action(option), header.key.clone(), header.bytes().to_vec()))
    })
}

fn action(option: &HeaderValueOption) -> FieldAction {
    match (&option.append, option.append_action) {
        (Some(append), _) if append.value => FieldAction::Append,
        (None, 1) => FieldAction::AddIfAbsent,
        (None, 3) => FieldAction::ReplaceIfPresent,
        _ => FieldAction::Set,
    }
}

/// Pseudo-headers, `Host` and the fields that delimit the message stay as they are.
fn is_changeable(name: &str) -> bool {
    let fixed = ["host", "content-length", "transfer-encoding", "connection"];
    is_token(name.as_bytes()) && !fixed.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn denial(denied: &DeniedHttpResponse) -> Denial {
    let code = denied.status.as_ref().and_then(|status| u16::try_from(status.code).ok());
    let headers = changes(&denied.headers)
        .map(|(_, name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect::<Vec<_>>();
    let is_type = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("content-type");
    let media_type = headers.iter().find(is_type).map(|(_, value)| value.clone());
    Denial {
        status: code.filter(|code| (200..=599).contains(code)).unwrap_or(403),
        headers: headers.into_iter().filter(|header| !is_type(&header)).collect(),
        media_type: media_type.unwrap_or_else(|| "text/plain; charset=utf-8".to_owned()),
        body: denied.body.clone().into(),
    }
}

/// Whether a decision may be stored: one that sets no cookie.
pub fn is_storable(decision: &Decision) -> bool {
    let is_cookie = |name: &str| name.eq_ignore_ascii_case("set-cookie");
    match decision {
        Decision::Allow(allowance) => !allowance.response.iter().any(|(name, _)| is_cookie(name)),
        Decision::Deny(denial) => !denial.headers.iter().any(|(name, _)| is_cookie(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::authentication::external::{
        envoy::{BoolValue, HeaderValue, HttpStatus, RpcStatus},
        testing::settings,
    };
    use prost::Message;

    fn option(key: &str, value: &str, append: Option<bool>, append_action: i32) -> HeaderValueOption {
        let header = HeaderValue { key: key.into(), value: value.into(), raw_value: Vec::new() };
        HeaderValueOption {
            header: Some(header),
            append: append.map(|value| BoolValue { value }),
            append_action,
        }
    }

    #[test]
    fn the_encoding_is_that_of_envoy() {
        // status { code: 7 } denied_response { status { code: Unauthorized } body: "no" }
        let bytes = b"\x0a\x02\x08\x07\x12\x09\x0a\x03\x08\x91\x03\x1a\x02no";
        let response = CheckResponse::decode(&bytes[..]).unwrap();
        assert_eq!(response.status, Some(RpcStatus { code: 7, message: String::new() }));
        let Decision::Deny(denial) = decision(&settings("grpc://127.0.0.1:1"), response) else {
            panic!("allowed")
        };
        assert_eq!((denial.status, &denial.body[..]), (401, &b"no"[..]));
    }

    #[test]
    fn fields_are_set_appended_and_removed_as_the_response_requires() {
        let ok = OkHttpResponse {
            headers: vec![
                option("x-user", "ann", None, 0),
                option("x-role", "b", Some(true), 0),
                option("x-new", "c", None, 1),
                option(":path", "/admin", None, 0),
                option("host", "other", None, 0),
                option("x-bad", "a\r\nb", None, 0),
            ],
            headers_to_remove: vec!["authorization".into(), ":method".into()],
            response_headers_to_add: vec![option("x-seen", "1", None, 0)],
        };
        let response = CheckResponse { status: None, http_response: Some(HttpResult::Ok(ok)) };
        let Decision::Allow(allowance) = decision(&settings("grpc://127.0.0.1:1"), response) else {
            panic!("denied")
        };
        let changed: Vec<_> =
            allowance.request.iter().map(|(action, name, _)| (*action, name.as_str())).collect();
        assert_eq!(
            changed,
            [
                (FieldAction::Remove, "x-user"),
                (FieldAction::Remove, "authorization"),
                (FieldAction::Set, "x-user"),
                (FieldAction::Append, "x-role"),
                (FieldAction::AddIfAbsent, "x-new"),
            ]
        );
        assert_eq!(allowance.response, [("x-seen".to_owned(), b"1".to_vec())]);
        assert_eq!(allowance.claims, [("sub".to_owned(), "ann".to_owned())]);
    }

    #[test]
    fn an_invalid_status_of_a_denial_is_403() {
        for code in [0, 101, 700, -1] {
            let denied = DeniedHttpResponse { status: Some(HttpStatus { code }), ..Default::default() };
            assert_eq!(denial(&denied).status, 403);
        }
    }
}
