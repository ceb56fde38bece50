//! Converting heads from and to HTTP/2 (RFC 9113 8.2 and 8.3). Rejects invalid heads that the `h2` crate accepts;
//! connection-specific fields are never sent.

use crate::{
    base::{
        bytes::{decimal, is_target, is_token},
        percent::put_percent,
    },
    net::h1::{hop_by_hop::HopByHop, host, parse::HeadLimits, trailers::is_allowed_trailer},
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

/// Converts a request head and returns the framing of the body; `ended`: no body follows.
pub fn request<B>(
    from: &Request<B>,
    ended: bool,
    head: &mut Head,
    limits: &HeadLimits,
) -> Result<Framing, GatewayError> {
    if from.uri().scheme_str().is_some_and(|scheme| !is_scheme(scheme.as_bytes())) {
        return Err(GatewayError::malformed_request("invalid :scheme"));
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

/// The path; empty if absent, which the `http` crate represents as a slash.
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

/// RFC 9113 8.3.1: `:authority`, or Host in its absence; both must be equal.
fn authority<B>(from: &Request<B>) -> Result<&[u8], GatewayError> {
    let mut hosts = from.headers().get_all(HOST).iter().map(HeaderValue::as_bytes);
    let authority_field = from.uri().authority().map(|authority| authority.as_str().as_bytes());
    let authority = match (authority_field, hosts.next()) {
        (Some(authority_field), Some(host)) if !authority_field.eq_ignore_ascii_case(host) => {
            return Err(GatewayError::malformed_request("Host differs from :authority"));
        }
        (Some(authority_field), _) => authority_field,
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

/// Appends all fields but Host; `cookie` fields are joined (RFC 9113 8.2.3).
fn append_fields(from: &HeaderMap, head: &mut Head) -> Result<(), GatewayError> {
    for (name, value) in from {
        let value = value.as_bytes();
        if !is_token(name.as_str().as_bytes()) {
            return Err(GatewayError::malformed_request("invalid field name"));
        }
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Err(GatewayError::malformed_request("whitespace around a field value"));
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

/// The checks that HTTP/1.1 heads undergo as well.
fn validate(head: &Head, limits: &HeadLimits) -> Result<(), GatewayError> {
    let (method, target) = (head.method(), head.target());
    if target.len() + method.len() > limits.max_line_bytes {
        let detail = format!("the path is longer than {} bytes", limits.max_line_bytes);
        return Err(GatewayError::new(ErrorCode::RequestLine, detail));
    }
    if method == b"CONNECT" {
        return Err(GatewayError::new(ErrorCode::RequestMethod, "CONNECT is not supported"));
    }
    let valid = matches!(target, [b'/', ..]) || target == b"*" && method == b"OPTIONS";
    if !valid || !is_target(target) {
        return Err(GatewayError::malformed_request(":path is not a valid path"));
    }
    let (count, size) = head.received();
    if count > limits.max_fields {
        return Err(GatewayError::new(
            ErrorCode::RequestHeaders,
            format!("more than {} header fields", limits.max_fields),
        ));
    }
    if size > limits.max_fields_bytes {
        let detail = format!("the header fields are larger than {} bytes", limits.max_fields_bytes);
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
        (Some(1..), true) => Err(GatewayError::malformed_request("Content-Length without a body")),
        (Some(n), _) => Ok(Framing::Length(n)),
        // RFC 9110 8.6: these methods usually have a body, so an empty one is announced.
        (None, true) if matches!(head.method(), b"POST" | b"PUT" | b"PATCH") => Ok(Framing::Length(0)),
        (None, true) => Ok(Framing::None),
        (None, false) => Ok(Framing::Chunked),
    }
}

/// Converts a response head and returns the framing of the body.
pub fn response<B>(
    from: &Response<B>,
    ended: bool,
    head: &mut Head,
    for_head: bool,
) -> Result<Framing, GatewayError> {
    let status = from.status();
    if status.as_u16() == 101 {
        return Err(GatewayError::malformed_response("101 is invalid in HTTP/2"));
    }
    head.clear();
    head.set_status(status.as_u16(), status.canonical_reason().unwrap_or_default().as_bytes());
    head.version = Version::Http2;
    for (name, value) in from.headers() {
        // RFC 9110 8.6: an informational response has no body.
        if !status.is_informational() || name != CONTENT_LENGTH {
            head.append(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let mut lengths = head.get_all_known(KnownHeader::ContentLength);
    let length = lengths.next().map(decimal);
    if matches!(length, Some(None)) || lengths.next().is_some() {
        return Err(GatewayError::malformed_response("Content-Length is not a single number"));
    }
    if for_head || ended || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(Framing::None);
    }
    Ok(length.flatten().map_or(Framing::Chunked, Framing::Length))
}

/// Converts a trailer section; fields forbidden in trailers are dropped.
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

/// Converts a response head to HTTP/2.
pub fn to_response(head: &Head, framing: Framing) -> Response<()> {
    let mut response = Response::new(());
    // An HTTP/1.1 backend may respond with 600 to 999, which the `http` crate supports.
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    // Without a body, Content-Length is that of the response to a GET (RFC 9110 8.6).
    let length = framing == Framing::None && head.status != 204;
    *response.headers_mut() = fields(head, |valid| valid == KnownHeader::ContentLength && !length);
    // The end of the stream marks an empty body: do not add a Content-Length that the backend did not send.
    if framing != Framing::Length(0) || head.get_known(KnownHeader::ContentLength).is_some() {
        set_content_length(framing, response.headers_mut());
    }
    response
}

/// Converts a request head for a backend, with this Host; `None` if it is invalid in HTTP/2.
pub fn to_request(
    head: &Head,
    host: &[u8],
    is_tls: bool,
    framing: Framing,
    hop: HopByHop,
) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    *request.method_mut() = Method::from_bytes(head.method()).ok()?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(host).ok()?);
    parts.path_and_query = Some(path_and_query(head.target())?);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.headers_mut() =
        fields(head, |valid| matches!(valid, KnownHeader::Host | KnownHeader::ContentLength));
    set_content_length(framing, request.headers_mut());
    if hop.te_trailers {
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(request)
}

/// The target; bytes that the `http` crate rejects are escaped, although clients may have sent them over HTTP/1.1.
fn path_and_query(target: &[u8]) -> Option<PathAndQuery> {
    if let Ok(valid) = PathAndQuery::try_from(target) {
        return Some(valid);
    }
    let mut escaped = Vec::with_capacity(target.len() + 16);
    for byte in target {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | ..=b' ' | 0x7f.. => {
                put_percent(*byte, &mut escaped);
            }
            byte => escaped.push(*byte),
        }
    }
    PathAndQuery::try_from(escaped).ok()
}

/// Converts a trailer section to HTTP/2.
pub fn to_trailers(head: &Head) -> HeaderMap {
    fields(head, |_| false)
}

fn set_content_length(framing: Framing, fields: &mut HeaderMap) {
    if let Framing::Length(n) = framing {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(n));
    }
}

/// The header map, without excluded and connection-specific fields (RFC 9113 8.2.2). The values share one allocation.
fn fields(head: &Head, excluded: impl Fn(KnownHeader) -> bool) -> HeaderMap {
    let bytes = Bytes::copy_from_slice(head.bytes());
    let base = head.bytes().as_ptr() as usize;
    let mut map = HeaderMap::with_capacity(head.len() + 1);
    for (valid, name, value) in head.fields() {
        if excluded(valid) || is_connection_specific(valid) {
            continue;
        }
        let start = value.as_ptr() as usize - base;
        let value = HeaderValue::from_maybe_shared(bytes.slice(start..start + value.len()));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            map.append(name, value);
        }
    }
    map
}

fn is_connection_specific(valid: KnownHeader) -> bool {
    matches!(
        valid,
        KnownHeader::Connection | KnownHeader::KeepAlive | KnownHeader::ProxyConnection | KnownHeader::Te
    ) || matches!(valid, KnownHeader::TransferEncoding | KnownHeader::Upgrade | KnownHeader::Http2Settings)
}
