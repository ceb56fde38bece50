//! Request bodies of the data plane.

use super::error::DataPlaneError;
use crate::{
    pipeline::error::ErrorCode,
    realtime::{
        message::Payload,
        payload::{json_payload, text_payload},
    },
};
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;

/// Maximum size of a request body.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The complete body.
pub async fn read(body: Body) -> Result<Bytes, DataPlaneError> {
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(current) = cause {
            if current.is::<http_body_util::LengthLimitError>() {
                return too_large();
            }
            cause = current.source();
        }
        DataPlaneError::invalid_request("The request body is incomplete.")
    })
}

fn too_large() -> DataPlaneError {
    DataPlaneError::new(ErrorCode::HubInvalidPayload, "The request body is larger than 1 MiB.")
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

/// The message in the body of a `:send` request, by its content type.
pub async fn read_payload(headers: &HeaderMap, body: Body) -> Result<Payload, DataPlaneError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let convert: fn(Bytes) -> Result<Payload, String> = match media_type.to_ascii_lowercase().as_str() {
        "text/plain" => text_payload,
        "application/json" => json_payload,
        "application/octet-stream" => |bytes| Ok(Payload::Binary(bytes)),
        _ => {
            return Err(DataPlaneError::new(
                ErrorCode::HubInvalidPayload,
                "Invalid Content-Type: must be text/plain, application/json or application/octet-stream.",
            ));
        }
    };
    convert(read(body).await?).map_err(|error| DataPlaneError::new(ErrorCode::HubInvalidPayload, error))
}
