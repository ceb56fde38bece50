//! The active configuration.

use super::{context::AdminContext, error::AdminError, page::JsonPage};
use crate::{control::effective::EffectiveConfig, pipeline::internal::Response};
use axum::{extract::State, response::IntoResponse};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

/// The effective configuration.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ActiveConfiguration {
    /// Identifies the content: equal files, variables and secrets have equal ids.
    pub id: String,
    /// The files merged, with policies applied. Secrets are `***`, placeholders are shown as they are written.
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
    /// Where each value is written: its JSON pointer in `config`, and `file:line:column`.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub origins: serde_json::Map<String, serde_json::Value>,
}

/// The effective configuration, secrets masked, with the origin of each value. `ETag` is for `If-None-Match`, and for
/// `If-Match` of a change.
#[utoipa::path(get, path = "/v1/config", tag = "config",
    params(("if-none-match" = Option<String>, Header, description = "An `ETag`; 304 if the configuration is the same.")),
    responses(
        (status = 200, body = ActiveConfiguration, headers(("etag" = String, description = "The id, quoted."))),
        (status = 304, description = "The configuration has the `ETag` of `If-None-Match`.")))]
pub async fn config(State(context): State<AdminContext>, headers: HeaderMap) -> Result<Response, AdminError> {
    let candidate = context.candidate()?;
    let tag = etag(&candidate.id);
    if matches(&headers, header::IF_NONE_MATCH.as_str(), &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, value(&tag))]).into_response());
    }
    let shown = candidate.clone();
    let EffectiveConfig { config, origins } =
        context.shared.work.run(move || EffectiveConfig::new(&shown.loaded)).await?;
    let page = JsonPage(ActiveConfiguration { id: candidate.id.clone(), config, origins });
    Ok(([(header::ETAG, value(&tag))], page).into_response())
}

/// The entity tag of a configuration with this id (RFC 9110 8.8.3).
pub fn etag(id: &str) -> String {
    format!("\"{id}\"")
}

fn value(tag: &str) -> HeaderValue {
    HeaderValue::from_str(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether a list of entity tags contains this one, or is `*`.
pub fn matches(headers: &HeaderMap, name: &str, tag: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tags_matches_any_of_them() {
        let headers = |value: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, value.parse().unwrap())]);
        for value in ["\"5f\"", "W/\"5f\"", "\"aa\", \"5f\"", "*"] {
            assert!(matches(&headers(value), "if-none-match", &etag("5f")), "{value}");
        }
        assert!(!matches(&headers("\"aa\""), "if-none-match", &etag("5f")));
        assert!(!matches(&HeaderMap::new(), "if-none-match", &etag("5f")));
    }
}
