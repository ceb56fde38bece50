//! Heads as HTTP/2 carries them (RFC 9113 8.2 and 8.3), in and out. What the `h2` crate lets pass and the rules do not is
//! refused here; what means something on one connection only is never sent.

use crate::{
    base::bytes::{decimal, is_target, is_token},
    net::h1::{
        hop_by_hop::HopByHop,
        host,
        parse::{HeadLimits, is_allowed_trailer},
    },
    pipeline::{
        body::Framing,
        error::{ErrorCode, GatewayError},
        head::{Head, KnownHeader, Version},
    },
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_LENGTH, COOKIE, HOST, TE},
    uri::{Authority, PathAndQuery, Scheme},
};

/// Takes a request head over; `ended` says that no body follows. Says how the body is delimited.
pub fn request<B>(
    from: &Request<B>,
    ended: bool,
    head: &mut Head,
    limits: &HeadLimits,
) -> Result<Framing, GatewayError> {
    if from.uri().scheme_str().is_some_and(|scheme| !is_scheme(scheme.as_bytes())) {
        return Err(GatewayError::malformed_request(":scheme is none"));
    }
    let (method, target) = (from.method().as_str(), target(from.uri()));
    head.begin(method.as_bytes(), target.as_bytes());
    head.version = Version::Http2;
    let authority = self::authority(from)?;
    head.append(b"Host", authority);
    append_fields(from.headers(), head)?;
    head.finish();
    validate(head, limits)?;
    framing(head, ended)
}

/// The path; empty if there was none, which the `http` crate shows as a slash.
fn target(uri: &Uri) -> &str {
    const SLASH: PathAndQuery = PathAndQuery::from_static("/");
    match uri.path_and_query() {
        Some(path) if path.as_str() != "/" || *path == SLASH => path.as_str(),
        _ => "",
    }
}

/// RFC 3986 3.1.
fn is_scheme(text: &[u8]) -> bool {
    let rest = |b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
    matches!(text, [first, tail @ ..] if first.is_ascii_alphabetic() && tail.iter().all(rest))
}

/// RFC 9113 8.3.1: `:authority`, or Host where there is none; where there are both they say the same.
fn authority<B>(from: &Request<B>) -> Result<&[u8], GatewayError> {
    let mut hosts = from.headers().get_all(HOST).iter().map(HeaderValue::as_bytes);
    let named = from.uri().authority().map(|authority| authority.as_str().as_bytes());
    let authority = match (named, hosts.next()) {
        (Some(named), Some(host)) if !named.eq_ignore_ascii_case(host) => {
            return Err(GatewayError::malformed_request("Host is not the same as :authority"));
        }
        (Some(named), _) => named,
        (None, Some(host)) => host,
        (None, None) => return Err(GatewayError::malformed_request("neither :authority nor Host")),
    };
    if hosts.next().is_some() {
        return Err(GatewayError::malformed_request("more than one Host"));
    }
    if host::is_authority(authority) {
        Ok(authority)
    } else {
        Err(GatewayError::malformed_request("Host is malformed"))
    }
}

/// All fields but Host; the crumbs of a cookie become one again (RFC 9113 8.2.3).
fn append_fields(from: &HeaderMap, head: &mut Head) -> Result<(), GatewayError> {
    for (name, value) in from {
        let value = value.as_bytes();
        if !is_token(name.as_str().as_bytes()) {
            return Err(GatewayError::malformed_request("the name of a field is none"));
        }
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Err(GatewayError::malformed_request("white space around a field value"));
        }
        match *name {
            HOST => {}
            COOKIE if head.get(b"cookie").is_some() => {}
            COOKIE => {
                let crumbs: Vec<&[u8]> = from.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
                head.append(b"cookie", &crumbs.join(&b"; "[..]));
            }
            _ => head.append(name.as_str().as_bytes(), value),
        }
    }
    Ok(())
}

/// What HTTP/1.1 heads are held to as well.
fn validate(head: &Head, limits: &HeadLimits) -> Result<(), GatewayError> {
    let (method, target) = (head.method(), head.target());
    if target.len() + method.len() > limits.parse_request_line {
        let detail = format!("the path is longer than {} bytes", limits.parse_request_line);
        return Err(GatewayError::new(ErrorCode::RequestLine, detail));
    }
    if method == b"CONNECT" {
        return Err(GatewayError::new(ErrorCode::RequestMethod, "this gateway is no tunnel"));
    }
    let known = matches!(target, [b'/', ..]) || target == b"*" && method == b"OPTIONS";
    if !known || !is_target(target) {
        return Err(GatewayError::malformed_request(":path is not a path"));
    }
    let (count, size) = head.received();
    if count > limits.count {
        return Err(GatewayError::new(
            ErrorCode::RequestHeaders,
            format!("more than {} header fields", limits.count),
        ));
    }
    if size > limits.parse_fields {
        let detail = format!("the header fields are larger than {} bytes", limits.parse_fields);
        return Err(GatewayError::new(ErrorCode::RequestHeaders, detail));
    }
    Ok(())
}

fn framing(head: &Head, ended: bool) -> Result<Framing, GatewayError> {
    let mut lengths = head.get_all_known(KnownHeader::ContentLength);
    let length = match (lengths.next(), lengths.next()) {
        (_, Some(_)) => return Err(GatewayError::malformed_request("more than one Content-Length")),
        (Some(text), None) => {
            Some(decimal(text).ok_or(GatewayError::malformed_request("Content-Length is not a number"))?)
        }
        (None, None) => None,
    };
    match (length, ended) {
        (Some(1..), true) => {
            Err(GatewayError::malformed_request("Content-Length promises a body that does not come"))
        }
        (Some(n), _) => Ok(Framing::Length(n)),
        // RFC 9110 8.6: these usually have a body, so that its absence is said.
        (None, true) if matches!(head.method(), b"POST" | b"PUT" | b"PATCH") => Ok(Framing::Length(0)),
        (None, true) => Ok(Framing::None),
        (None, false) => Ok(Framing::Chunked),
    }
}

/// Takes a response head over. Says how the body is delimited.
pub fn response<B>(
    from: &Response<B>,
    ended: bool,
    head: &mut Head,
    for_head: bool,
) -> Result<Framing, GatewayError> {
    let status = from.status();
    if status.as_u16() == 101 {
        return Err(GatewayError::malformed_response("101 does not exist in HTTP/2"));
    }
    head.clear();
    head.set_status(status.as_u16(), status.canonical_reason().unwrap_or_default().as_bytes());
    head.version = Version::Http2;
    for (name, value) in from.headers() {
        head.append(name.as_str().as_bytes(), value.as_bytes());
    }
    let mut lengths = head.get_all_known(KnownHeader::ContentLength);
    let length = lengths.next().map(decimal);
    if matches!(length, Some(None)) || lengths.next().is_some() {
        return Err(GatewayError::malformed_response("Content-Length is not one number"));
    }
    if for_head || ended || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(Framing::None);
    }
    Ok(length.flatten().map_or(Framing::Chunked, Framing::Length))
}

/// Takes a trailer section over; fields that may not be trailers are left out.
pub fn trailers(from: &HeaderMap) -> Head {
    let mut head = Head::default();
    for (name, value) in from {
        let name = name.as_str().as_bytes();
        if KnownHeader::of(name) == KnownHeader::Other && is_allowed_trailer(name) && is_token(name) {
            head.append(name, value.as_bytes());
        }
    }
    head
}

/// A response head as it is sent.
pub fn to_response(head: &Head, framing: Framing) -> Response<()> {
    let mut response = Response::new(());
    // An HTTP/1.1 service may answer 600 to 999, which this crate knows as well.
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    // Where no body follows, the length is that of the body that a GET would bring (RFC 9110 8.6).
    let length = framing == Framing::None && head.status != 204;
    *response.headers_mut() = fields(head, |known| known == KnownHeader::ContentLength && !length);
    // The end of the stream tells of an empty body: nothing is said that the service did not say.
    if framing != Framing::Length(0) || head.get_known(KnownHeader::ContentLength).is_some() {
        set_content_length(framing, response.headers_mut());
    }
    response
}

/// A request head as it is sent to a service, with this Host; none if it cannot be said.
pub fn to_request(
    head: &Head,
    host: &[u8],
    secure: bool,
    framing: Framing,
    hop: HopByHop,
) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    *request.method_mut() = Method::from_bytes(head.method()).ok()?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(host).ok()?);
    parts.path_and_query = Some(PathAndQuery::try_from(head.target()).ok()?);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.headers_mut() =
        fields(head, |known| matches!(known, KnownHeader::Host | KnownHeader::ContentLength));
    set_content_length(framing, request.headers_mut());
    if hop.te_trailers {
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(request)
}

/// Trailers as they are sent.
pub fn to_trailers(head: &Head) -> HeaderMap {
    fields(head, |_| false)
}

fn set_content_length(framing: Framing, fields: &mut HeaderMap) {
    if let Framing::Length(n) = framing {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(n));
    }
}

/// The live fields, but for those left out and those that HTTP/2 does not know (RFC 9113 8.2.2). Their values lie in one
/// piece of memory.
fn fields(head: &Head, left_out: impl Fn(KnownHeader) -> bool) -> HeaderMap {
    let all = Bytes::copy_from_slice(head.bytes());
    let base = head.bytes().as_ptr() as usize;
    let mut map = HeaderMap::with_capacity(head.len() + 1);
    for (known, name, value) in head.fields() {
        if left_out(known) || is_connection_specific(known) {
            continue;
        }
        let start = value.as_ptr() as usize - base;
        let value = HeaderValue::from_maybe_shared(all.slice(start..start + value.len()));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            map.append(name, value);
        }
    }
    map
}

fn is_connection_specific(known: KnownHeader) -> bool {
    matches!(
        known,
        KnownHeader::Connection | KnownHeader::KeepAlive | KnownHeader::ProxyConnection | KnownHeader::Te
    ) || matches!(known, KnownHeader::TransferEncoding | KnownHeader::Upgrade | KnownHeader::Http2Settings)
}
