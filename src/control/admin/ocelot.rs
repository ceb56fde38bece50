//! Ocelot's administration API (docs/ocelot-behavior.md, section 26), at its default path.

use super::{
    changes::{self, CallAuthor},
    context::AdminContext,
    error::AdminError,
    extract::{PathParams, RawBody},
    page::json,
};
use crate::{
    config::render,
    control::{
        change::{ChangeError, ChangeOptions},
        effective::EffectiveConfig,
    },
    pipeline::internal::Response,
    stages::cache::Purge,
};
use axum::{extract::State, response::IntoResponse};
use http::StatusCode;

/// The configuration as JSON, as in Ocelot; secrets are masked.
#[utoipa::path(get, path = "/administration/configuration", tag = "ocelot",
    responses((status = 200, body = serde_json::Value)))]
pub async fn ocelot_configuration(State(context): State<AdminContext>) -> Result<Response, AdminError> {
    let candidate = context.candidate()?;
    let effective = context.shared.work.run(move || EffectiveConfig::new(&candidate.loaded)).await?;
    Ok(json(&effective.config))
}

/// Applies a configuration and writes it to its file, as in Ocelot; an invalid one is 400 with the first error.
#[utoipa::path(post, path = "/administration/configuration", tag = "ocelot",
    request_body(content = serde_json::Value, content_type = "application/json", description = "An `ocelot.json`."),
    responses((status = 200, body = serde_json::Value), (status = 400, body = String)))]
pub async fn ocelot_set_configuration(
    State(context): State<AdminContext>,
    CallAuthor(author): CallAuthor,
    body: RawBody,
) -> Result<Response, AdminError> {
    let (manager, text) = (context.changes()?, changes::text(&body)?);
    let options = ChangeOptions { save: true, author, ..ChangeOptions::default() };
    let applied = context.shared.work.run(move || manager.put(text, &options, &|_| true)).await?;
    match applied {
        Ok(_) => ocelot_configuration(State(context)).await,
        Err(ChangeError::Invalid(candidate)) => {
            let first = render::json(&candidate.loaded.diagnostics, &candidate.loaded.sources)
                .as_array()
                .and_then(|all| {
                    all.iter().find(|one| one["severity"] == "error")?["message"].as_str().map(str::to_owned)
                });
            Ok((StatusCode::BAD_REQUEST, first.unwrap_or_default()).into_response())
        }
        Err(error) => Err(changes::problem(&error)),
    }
}

/// Removes the stored responses of a region, as in Ocelot.
#[utoipa::path(delete, path = "/administration/outputcache/{region}", tag = "ocelot",
    params(("region" = String, Path, description = "The region of `CacheOptions`.")),
    responses((status = 204, description = "Removed.")))]
pub async fn ocelot_clear_region(
    State(context): State<AdminContext>,
    PathParams(region): PathParams<String>,
) -> Result<StatusCode, AdminError> {
    super::cache::purge(&context, &Purge::Region(region.into_bytes())).await?;
    Ok(StatusCode::NO_CONTENT)
}
