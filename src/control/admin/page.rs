//! The responses of the administration pages.

use crate::pipeline::internal::Response;
use axum::response::IntoResponse;
use http::header;
use serde::Serialize;

/// A page with this content type.
pub fn page(content_type: &'static str, body: String) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// A JSON page; it ends with a line break, for terminals.
pub fn json(value: &serde_json::Value) -> Response {
    page("application/json", format!("{value}\n"))
}

/// The body of a JSON page; it ends with a line break, for terminals.
#[derive(Clone, Debug)]
pub struct JsonPage<T>(pub T);

impl<T: Serialize> IntoResponse for JsonPage<T> {
    fn into_response(self) -> Response {
        json(&serde_json::json!(self.0))
    }
}
