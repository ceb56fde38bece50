//! What pages take from a request: a JSON body, a query, parts of the path. Everything unknown or malformed is an error with its
//! position.

use super::error::{AdminError, FieldError};
use crate::{
    config::{Diagnostics, Severity, Sources, de, parse},
    pipeline::internal::Request,
};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;

/// A JSON body; an unknown member is an error.
#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

/// The query; an unknown parameter is an error if the type denies unknown fields.
#[derive(Clone, Debug)]
pub struct QueryParams<T>(pub T);

/// The decoded placeholders of the path.
#[derive(Clone, Debug)]
pub struct PathParams<T>(pub T);

/// A body of any media type, within the size limit.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AdminError> {
        if !is_json(request.headers()) {
            let detail = "expected a body with Content-Type: application/json";
            return Err(AdminError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "admin.media_type", detail));
        }
        let RawBody(body) = RawBody::from_request(request, state).await?;
        read_json(&body).map(JsonBody)
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = AdminError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AdminError> {
        Bytes::from_request(request, state).await.map(RawBody).map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = "the body is larger than the limit of the page";
                AdminError::new(StatusCode::PAYLOAD_TOO_LARGE, "admin.size", detail)
            }
            status => AdminError::new(status, "admin.body", error.body_text()),
        })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| QueryParams(query.0)).map_err(|error| AdminError::query(error.body_text()))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| PathParams(path.0))
            .map_err(|error| AdminError::new(StatusCode::BAD_REQUEST, "admin.path", error.body_text()))
    }
}

/// Whether the media type is JSON (RFC 6839 includes `+json`).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Reads a JSON text; the error contains every mistake with its JSON pointer.
///
/// # Errors
///
/// 400 `admin.body`.
pub fn read_json<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, AdminError> {
    let invalid = |detail: &'static str| AdminError::new(StatusCode::BAD_REQUEST, "admin.body", detail);
    let text = std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"))?;
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    let dialect = parse::Dialect::default();
    let file = sources.add("body", None, text.to_owned(), dialect);
    let root = parse::parse(file, text, dialect, &mut diagnostics);
    let read = root.map(|root| de::read(&root, &mut diagnostics, de::Options::default()));
    match read.filter(|_| !diagnostics.has_errors()) {
        Some(read) => Ok(read),
        None => Err(invalid("the body has errors").with_errors(field_errors(&diagnostics, &sources))),
    }
}

/// The errors of a document with their positions.
pub fn field_errors(diagnostics: &Diagnostics, sources: &Sources) -> Vec<FieldError> {
    let errors = diagnostics.sorted().into_iter().filter(|one| one.severity == Severity::Error);
    errors
        .map(|one| FieldError {
            pointer: one.span.map_or_else(String::new, |span| sources.pointer_of(span)),
            code: one.code.0.to_owned(),
            detail: one.message.clone(),
            help: one.help.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize, PartialEq)]
    #[serde(default)]
    struct Sample {
        name: String,
        sizes: Vec<u8>,
    }

    #[test]
    fn every_mistake_of_a_body_is_reported_with_its_pointer() {
        let good = read_json::<Sample>(br#"{ "name": "a", "sizes": [1] }"#).unwrap();
        assert_eq!(good, Sample { name: "a".into(), sizes: vec![1] });
        let error = read_json::<Sample>(br#"{ "nme": "a", "sizes": [1, 900] }"#).unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("/nme") && error.contains("/sizes/1"), "{error}");
        assert_eq!(read_json::<Sample>(b"{").unwrap_err().code(), "admin.body");
        assert_eq!(read_json::<Sample>(b"\xff").unwrap_err().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn json_media_types_are_accepted() {
        for (value, is_accepted) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/json", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_json(&headers), is_accepted, "{value}");
        }
    }
}
