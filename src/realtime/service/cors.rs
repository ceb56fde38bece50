//! CORS of hub services: tokens control access, so without `CorsOptions` every origin is allowed.

use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
    head::Head,
    response::Response,
};

/// The response to a preflight request; `None`: the request is none.
pub fn preflight(exchange: &Exchange) -> Option<Response> {
    let request = &exchange.request;
    let origin = request.get(b"Origin")?;
    let method = request.get(b"Access-Control-Request-Method")?;
    if request.method() != b"OPTIONS" {
        return None;
    }
    let mut response = Response::local(204, "", "");
    allow_origin(&mut response.head, origin);
    response.head.append(b"Access-Control-Allow-Methods", method);
    if let Some(headers) = request.get(b"Access-Control-Request-Headers") {
        response.head.append(b"Access-Control-Allow-Headers", headers);
    }
    response.head.append(b"Access-Control-Max-Age", b"600");
    Some(response)
}

/// Allows the origin of a request to read the response, with credentials.
pub fn allow_origin(response: &mut Head, origin: &[u8]) {
    for (name, value) in fields(origin) {
        response.append(name.as_bytes(), value);
    }
}

/// Allows the origin of a request to read the response to an error, such as the status of an expired token.
pub fn allow_origin_of_error(error: GatewayError, origin: &[u8]) -> GatewayError {
    error.with_details(|details| {
        for (name, value) in fields(origin) {
            details.headers.push((name.into(), String::from_utf8_lossy(value).into_owned()));
        }
    })
}

fn fields(origin: &[u8]) -> [(&'static str, &[u8]); 3] {
    [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", b"true"),
        ("Vary", b"Origin"),
    ]
}

/// Rejects a handshake from an origin that the `CorsOptions` of the route do not allow.
pub fn check_origin(exchange: &Exchange) -> Result<(), GatewayError> {
    let is_allowed = exchange.request.get(b"Origin").is_none() || !exchange.response.cors_origin.is_empty();
    match is_allowed {
        true => Ok(()),
        false => Err(GatewayError::new(
            ErrorCode::CorsOriginDenied,
            "the origin is not one of CorsOptions.AllowedOrigins of the route",
        )),
    }
}
