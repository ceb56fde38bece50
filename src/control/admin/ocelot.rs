//! Ocelot's administration API (docs/ocelot-behavior.md, section 26), at its default path.

use super::{context::AdminContext, error::AdminError, extract::PathParams, page::json};
use crate::{control::effective::EffectiveConfig, pipeline::internal::Response, stages::cache::Purge};
use axum::extract::State;
use http::StatusCode;

/// The configuration as JSON, as in Ocelot; secrets are masked.
#[utoipa::path(get, path = "/administration/configuration", tag = "ocelot",
    responses((status = 200, body = serde_json::Value)))]
pub async fn ocelot_configuration(State(context): State<AdminContext>) -> Result<Response, AdminError> {
    let candidate = context.candidate()?;
    let effective = context.shared.work.run(move || EffectiveConfig::new(&candidate.loaded)).await?;
    Ok(json(&effective.config))
}

/// Removes the stored responses of a region, as in Ocelot.
#[utoipa::path(delete, path = "/administration/outputcache/{region}", tag = "ocelot",
    params(("region" = String, Path, description = "The region of `CacheOptions`.")),
    responses((status = 204, description = "Removed.")))]
pub async fn ocelot_clear_region(
    State(context): State<AdminContext>,
    PathParams(region): PathParams<String>,
) -> Result<StatusCode, AdminError> {
    context.gateway()?.shared_state.stage_state.cache.purge(&Purge::Region(region.into_bytes()));
    Ok(StatusCode::NO_CONTENT)
}
