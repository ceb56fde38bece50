//! Changes of the configuration: check, diff, apply with a watch, history, rollback, and the tests of the configuration.

use super::{
    context::AdminContext,
    error::AdminError,
    extract::{PathParams, QueryParams, RawBody, field_errors},
    guard::Caller,
    page::JsonPage,
};
use crate::{
    base::{from_text::FromText, units::DurationText},
    config::render,
    control::{
        candidate::Candidate,
        change::{AppliedChange, Author, ChangeError, ChangeOptions, Entry},
        dry_run::run_tests,
    },
    plan::{diff::Change, route_tests::TestResult},
    server::internal::ClientInfo,
};
use axum::{extract::FromRequestParts, extract::State, response::IntoResponse};
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, time::Duration};

/// The maximum size of a configuration in a request.
pub const MAX_DOCUMENT_BYTES: usize = 32 << 20;
/// The window of a watch.
const WATCH_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// The result of a check.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CheckReport {
    /// Whether the configuration could be applied.
    pub valid: bool,
    /// The number of routes of a valid configuration.
    pub routes: Option<usize>,
    /// Errors and warnings, as `margay check --json` prints them.
    #[schema(value_type = Vec<Object>)]
    pub diagnostics: serde_json::Value,
    /// The tests that failed, and what `margay explain` reports about their requests; absent unless requested.
    #[schema(value_type = Option<Vec<Object>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_tests: Option<serde_json::Value>,
}

/// What changes for traffic.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ChangeReport {
    /// Whether nothing changes.
    pub equal: bool,
    /// The changes in words.
    pub lines: Vec<String>,
    /// The changes as data.
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<Change>,
}

/// A change that was applied.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AppliedReport {
    /// Its number in the history.
    pub number: u64,
    /// The id of the configuration, as in `ETag`.
    pub id: String,
    /// What changes for traffic, in words.
    pub changes: Vec<String>,
    /// Whether it is being watched.
    pub watching: bool,
    /// Why it was not saved although that was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_error: Option<String>,
}

/// The history of the configuration.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HistoryReport {
    /// Whether it survives a restart; false while `DataDirectory` cannot be written.
    pub durable: bool,
    /// Whether the active configuration differs from the configuration files.
    pub unsaved: bool,
    /// The newest first, at most 50.
    pub entries: Vec<Entry>,
}

/// The results of tests.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TestReport {
    pub passed: bool,
    #[schema(value_type = Vec<Object>)]
    pub tests: serde_json::Value,
}

/// How a change is applied.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApplyQuery {
    watch: Option<String>,
    save: bool,
}

/// Whether the tests of the document run too.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckQuery {
    tests: bool,
}

/// The author of a change, for the history.
pub struct CallAuthor(pub Author);

impl<S: Send + Sync> FromRequestParts<S> for CallAuthor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>().map(|caller| caller.name.to_string());
        let client = parts.extensions.get::<ClientInfo>().map(|client| client.address.to_string());
        Ok(CallAuthor(Author { who: caller.unwrap_or_default(), from: client.unwrap_or_default() }))
    }
}

impl ApplyQuery {
    fn options(&self, author: Author) -> Result<ChangeOptions, AdminError> {
        let watch = self.watch.as_deref().map(|text| match DurationText::from_text(text) {
            Ok(window) if WATCH_RANGE.contains(&window.0) => Ok(window.0),
            _ => Err(AdminError::query(format!(
                "invalid watch \"{text}\": must be a duration of 1s to 1h, such as 60s"
            ))),
        });
        Ok(ChangeOptions { watch: watch.transpose()?, save: self.save, author })
    }
}

/// The body as text.
pub(super) fn text(body: &RawBody) -> Result<String, AdminError> {
    let text = std::str::from_utf8(&body.0).map(str::to_owned);
    text.map_err(|_| AdminError::new(StatusCode::BAD_REQUEST, "admin.body", "the body is not UTF-8"))
}

fn diagnostics(candidate: &Candidate) -> serde_json::Value {
    render::json(&candidate.loaded.diagnostics, &candidate.loaded.sources)
}

fn tests_of(candidate: &Candidate) -> Result<Vec<TestResult>, AdminError> {
    run_tests(candidate)
        .map_err(|error| AdminError::new(StatusCode::INTERNAL_SERVER_ERROR, "admin.internal", error))
}

/// Checks a configuration in the place of the configuration file; applies nothing.
#[utoipa::path(post, path = "/v1/check", tag = "config",
    params(("tests" = Option<bool>, Query, description = "Whether its tests run too. Default: false.")),
    request_body(content = serde_json::Value, content_type = "application/json", description = "A `gateway.json`."),
    responses((status = 200, body = CheckReport)))]
pub async fn check_config(
    State(context): State<AdminContext>,
    QueryParams(CheckQuery { tests }): QueryParams<CheckQuery>,
    body: RawBody,
) -> Result<JsonPage<CheckReport>, AdminError> {
    let (manager, text) = (context.changes()?, text(&body)?);
    let check = move || {
        let candidate = manager.check(text);
        let routes = candidate.blueprint.as_ref().map(|blueprint| blueprint.routes.len());
        let results = if tests && routes.is_some() { tests_of(&candidate)? } else { Vec::new() };
        let failed: Vec<_> = results.iter().filter(|result| !result.passed).collect();
        Ok(CheckReport {
            valid: routes.is_some() && failed.is_empty(),
            routes,
            diagnostics: diagnostics(&candidate),
            failed_tests: tests.then(|| serde_json::json!(failed)),
        })
    };
    context.shared.work.run(check).await?.map(JsonPage)
}

/// What changes for traffic from the active configuration to the one in the body; applies nothing.
#[utoipa::path(post, path = "/v1/diff", tag = "config",
    request_body(content = serde_json::Value, content_type = "application/json", description = "A `gateway.json`."),
    responses((status = 200, body = ChangeReport),
        (status = 422, body = super::error::ProblemBody, description = "The configuration has errors.")))]
pub async fn diff_config(
    State(context): State<AdminContext>,
    body: RawBody,
) -> Result<JsonPage<ChangeReport>, AdminError> {
    let (manager, text) = (context.changes()?, text(&body)?);
    let compare = move || {
        let candidate = manager.check(text);
        if candidate.blueprint.is_none() {
            return Err(invalid(&candidate));
        }
        let diff = manager.diff(&candidate);
        Ok(ChangeReport { equal: diff.is_empty(), lines: diff.lines(), changes: diff.changes })
    };
    context.shared.work.run(compare).await?.map(JsonPage)
}

/// Applies a configuration in the place of the configuration file, without a restart.
#[utoipa::path(put, path = "/v1/config", tag = "config",
    params(
        ("watch" = Option<String>, Query,
            description = "A window, such as `60s`: if the 5xx ratio or the p99 of a changed route leaves its band, the change is rolled back."),
        ("save" = Option<bool>, Query,
            description = "Whether the configuration file is replaced, with a backup next to it; after a watch, once the change is kept."),
        ("if-match" = Option<String>, Header, description = "The `ETag` of the configuration that is replaced.")),
    request_body(content = serde_json::Value, content_type = "application/json", description = "A `gateway.json`."),
    responses(
        (status = 200, body = AppliedReport, headers(("etag" = String, description = "The id, quoted."))),
        (status = 409, body = super::error::ProblemBody, description = "A change is being watched, or the file changed since it was read."),
        (status = 412, body = super::error::ProblemBody, description = "Another configuration is active."),
        (status = 422, body = super::error::ProblemBody, description = "The configuration has errors, or fails its tests.")))]
pub async fn put_config(
    State(context): State<AdminContext>,
    CallAuthor(author): CallAuthor,
    QueryParams(query): QueryParams<ApplyQuery>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<axum::response::Response, AdminError> {
    let (manager, text, options) = (context.changes()?, text(&body)?, query.options(author)?);
    let apply = move || {
        let is_expected = |id: &str| {
            !headers.contains_key(header::IF_MATCH)
                || super::config::matches(&headers, header::IF_MATCH.as_str(), &super::config::etag(id))
        };
        manager.put(text, &options, &is_expected).map(|applied| (applied, options.watch.is_some()))
    };
    let (applied, watching) = context.shared.work.run(apply).await?.map_err(|error| problem(&error))?;
    Ok(applied_page(applied, watching))
}

/// Returns to the configuration of an entry of the history; ends a watch.
#[utoipa::path(post, path = "/v1/rollback/{number}", tag = "config",
    params(
        ("number" = u64, Path, description = "The number of the entry."),
        ("watch" = Option<String>, Query, description = "As for a change."),
        ("save" = Option<bool>, Query, description = "As for a change.")),
    responses(
        (status = 200, body = AppliedReport),
        (status = 404, body = super::error::ProblemBody, description = "The history has no such entry."),
        (status = 422, body = super::error::ProblemBody, description = "The configuration has errors by now.")))]
pub async fn roll_back(
    State(context): State<AdminContext>,
    CallAuthor(author): CallAuthor,
    PathParams(number): PathParams<u64>,
    QueryParams(query): QueryParams<ApplyQuery>,
) -> Result<axum::response::Response, AdminError> {
    let (manager, options) = (context.changes()?, query.options(author)?);
    let apply = move || manager.roll_back(number, &options).map(|applied| (applied, options.watch.is_some()));
    let (applied, watching) = context.shared.work.run(apply).await?.map_err(|error| problem(&error))?;
    Ok(applied_page(applied, watching))
}

/// The last changes: who, when, from where, what, and the outcome.
#[utoipa::path(get, path = "/v1/history", tag = "config", responses((status = 200, body = HistoryReport)))]
pub async fn history(State(context): State<AdminContext>) -> Result<JsonPage<HistoryReport>, AdminError> {
    let (manager, gateway) = (context.changes()?, context.gateway()?);
    let (mut entries, durable) = context.shared.work.run(move || manager.history()).await?;
    entries.reverse();
    Ok(JsonPage(HistoryReport { durable, unsaved: gateway.metrics().config().is_unsaved(), entries }))
}

/// Runs the tests of the active configuration; nothing is sent or counted.
#[utoipa::path(get, path = "/v1/tests", tag = "config", responses((status = 200, body = TestReport)))]
pub async fn tests(State(context): State<AdminContext>) -> Result<JsonPage<TestReport>, AdminError> {
    let candidate = context.candidate()?;
    let results = context.shared.work.run(move || tests_of(&candidate)).await??;
    let passed = results.iter().all(|result| result.passed);
    Ok(JsonPage(TestReport { passed, tests: serde_json::json!(results) }))
}

/// The same; for clients that run tests with POST.
#[utoipa::path(post, path = "/v1/tests", tag = "config", responses((status = 200, body = TestReport)))]
pub async fn run_configured_tests(context: State<AdminContext>) -> Result<JsonPage<TestReport>, AdminError> {
    tests(context).await
}

fn applied_page(applied: AppliedChange, watching: bool) -> axum::response::Response {
    let AppliedChange { number, id, diff, save_error } = applied;
    let tag = super::config::etag(&id);
    let page = JsonPage(AppliedReport { number, id, changes: diff.lines(), watching, save_error });
    ([(header::ETAG, tag)], page).into_response()
}

/// The problem of a configuration with errors: the diagnostics of a check.
fn invalid(candidate: &Candidate) -> AdminError {
    let errors = field_errors(&candidate.loaded.diagnostics, &candidate.loaded.sources);
    AdminError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "admin.config",
        "the configuration has errors; nothing was changed",
    )
    .with_errors(errors)
    .with_member("diagnostics", diagnostics(candidate))
}

/// The response to a change that is not applied.
pub(super) fn problem(error: &ChangeError) -> AdminError {
    let conflict = |code, detail: String| AdminError::new(StatusCode::CONFLICT, code, detail);
    match error {
        ChangeError::Stale(id) => {
            let detail =
                format!("the active configuration is \"{id}\"; read it again, and repeat the change");
            AdminError::new(StatusCode::PRECONDITION_FAILED, "admin.stale", detail)
        }
        ChangeError::Invalid(candidate) => invalid(candidate),
        ChangeError::TestsFailed(results) => {
            let detail = "the configuration fails its tests; nothing was changed";
            AdminError::new(StatusCode::UNPROCESSABLE_ENTITY, "admin.tests", detail)
                .with_member("tests", serde_json::json!(results))
        }
        ChangeError::Watching(number) => conflict(
            "admin.watching",
            format!(
                "configuration {number} is being watched; wait for its end, or roll back with POST /v1/rollback/N"
            ),
        ),
        ChangeError::Stored => {
            conflict("admin.store", "the configuration comes from a store; change it there".to_owned())
        }
        ChangeError::NotSaved(error) => conflict("admin.save", error.to_string()),
        ChangeError::NotFound(detail) => AdminError::not_found(detail.clone()),
        ChangeError::Failed(detail) => conflict("admin.apply", format!("{detail}; nothing was changed")),
    }
}
