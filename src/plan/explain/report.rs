//! The explanation of a request as data, and its rendering as text.

use super::discovery::DiscoveryLookup;
use super::fabric::ServiceExplanation;
use super::operation::ApiExplanation;
use crate::pipeline::head::Head;
use crate::pipeline::response::rescue;
use crate::pipeline::{error::ErrorCode, response::RouteResult};
use crate::stages::program::dry_run::DryResponse;
use serde::Serialize;

/// Width of the column of section names.
const LABEL_WIDTH: usize = 13;

/// The explanation as data; [`Explanation::text`] renders it as text.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    pub method: String,
    /// The normalized path and query, which are matched.
    pub target: String,
    pub route: Option<MatchedRoute>,
    /// Routes that do not match or have a lower priority, the nearest first.
    pub near_misses: Vec<NearMiss>,
    pub stages: Vec<StageDescription>,
    pub settings: Vec<Setting>,
    /// The lines of the request to the backend; empty if the gateway would respond itself.
    pub request: Vec<String>,
    pub endpoints: Vec<String>,
    /// The service, its partition and its replicas, on routes to services with partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceExplanation>,
    /// The result of service discovery, if the route uses it.
    pub discovery: Option<DiscoveryLookup>,
    /// The requests of an aggregate; empty for any other route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartExplanation>,
    /// The operation, the caller and the program, with APIs or policy documents.
    #[serde(flatten)]
    pub api_management: Option<ApiExplanation>,
    /// The gateway's own response.
    pub response: Option<Rejection>,
    /// Discovery providers were not queried.
    #[serde(skip)]
    pub(super) is_offline: bool,
}

/// The route that matches the request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MatchedRoute {
    pub name: String,
    pub location: String,
    pub template: String,
    /// Placeholder and value.
    #[schema(value_type = Vec<Vec<String>>)]
    pub values: Vec<(String, String)>,
}

/// A route that does not match, or has a lower priority.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NearMiss {
    pub name: String,
    pub location: String,
    pub template: String,
    pub reason: String,
}

/// A stage that ran.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StageDescription {
    #[schema(value_type = String)]
    pub name: &'static str,
    pub description: String,
}

/// An effective setting and its origin.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EffectiveSetting)]
pub struct Setting {
    #[schema(value_type = String)]
    pub name: &'static str,
    pub value: String,
    pub origin: String,
}

/// A response of the gateway itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Rejection {
    pub status: u16,
    /// The error code; empty for a response without an error.
    pub code: String,
    pub detail: String,
    /// The lines of its headers.
    pub headers: Vec<String>,
}

fn header_lines(head: &Head) -> Vec<String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    head.fields().map(|(_, name, value)| format!("{}: {}", text(name), text(value))).collect()
}

/// One part of an aggregate and its request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PartExplanation {
    pub name: String,
    /// When the part is called, and how often.
    pub trigger: String,
    pub optional: bool,
    pub endpoints: Vec<String>,
    /// The lines of the request to its backend.
    pub request: Vec<String>,
    /// The gateway's own response for it.
    pub response: Option<Rejection>,
}

impl Explanation {
    /// Records the response of a policy program.
    pub(super) fn answer(&mut self, response: DryResponse) {
        self.response = Some(Rejection {
            status: response.status,
            code: response.code.map_or_else(String::new, |code| code.name().to_owned()),
            detail: "from the policies".into(),
            headers: response.headers,
        });
    }

    /// Records the gateway's own response.
    pub(super) fn reject(&mut self, outcome: &RouteResult, ocelot: bool) {
        self.response = Some(match outcome {
            Ok(response) => Rejection {
                status: response.status(),
                code: String::new(),
                detail: "from the gateway".into(),
                headers: header_lines(&response.head),
            },
            Err(error) => Rejection {
                status: error.status(ocelot),
                code: error.code.name().to_owned(),
                // The near misses explain why no route matches.
                detail: if error.code == ErrorCode::RouteNotFound && self.route.is_none() {
                    String::new()
                } else {
                    error.detail.to_string()
                },
                headers: header_lines(&rescue(error, self.target.as_bytes(), b"", ocelot).head),
            },
        });
    }

    /// Renders the explanation as text: one section after the other, its name in the first column.
    pub fn text(&self) -> String {
        let mut page = String::new();
        let none = || vec![vec!["none".to_owned()]];
        write_section(&mut page, "route", self.route.as_ref().map_or_else(none, |route| vec![route.row()]));
        let near_miss =
            |o: &NearMiss| [&o.name, &o.location, &o.template, &o.reason].map(String::clone).to_vec();
        write_section(&mut page, "near misses", self.near_misses.iter().map(near_miss).collect());
        let step = |step: &StageDescription| vec![step.name.to_owned(), step.description.clone()];
        write_section(&mut page, "stages", self.stages.iter().map(step).collect());
        let program = self.api_management.iter().flat_map(ApiExplanation::rows).collect();
        write_section(&mut page, "policies", program);
        let setting = |s: &Setting| vec![s.name.to_owned(), s.value.clone(), s.origin.clone()];
        write_section(&mut page, "settings", self.settings.iter().map(setting).collect());
        let endpoints = (!self.endpoints.is_empty()).then(|| vec![self.endpoints.join(" or ")]);
        write_section(&mut page, "endpoint", endpoints.into_iter().collect());
        write_section(&mut page, "service", self.service.iter().flat_map(ServiceExplanation::rows).collect());
        write_section(&mut page, "discovery", self.discovery.iter().map(DiscoveryLookup::row).collect());
        write_section(&mut page, "request", self.request.iter().map(|line| vec![line.clone()]).collect());
        write_section(&mut page, "parts", self.parts.iter().map(PartExplanation::row).collect());
        write_section(&mut page, "response", self.response.iter().map(Rejection::row).collect());
        page
    }
}

impl MatchedRoute {
    fn row(&self) -> Vec<String> {
        let mut row = vec![self.name.clone(), self.location.clone(), self.template.clone()];
        row.extend(self.values.iter().map(|(name, value)| format!("{name} = \"{value}\"")));
        row
    }
}

impl Rejection {
    fn row(&self) -> Vec<String> {
        vec![self.status.to_string(), self.code.clone(), self.detail.clone()]
    }
}

impl PartExplanation {
    fn row(&self) -> Vec<String> {
        let mut row = vec![self.name.clone(), self.trigger.clone(), self.endpoints.join(" or ")];
        row.extend(self.request.first().cloned());
        row.extend(self.response.as_ref().map(|response| response.row().join("  ")));
        row
    }
}

/// Writes rows in columns; the section name precedes the first row.
fn write_section(page: &mut String, name: &str, rows: Vec<Vec<String>>) {
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..).map_while(width).collect();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = format!("{:<LABEL_WIDTH$}{}", if number == 0 { name } else { "" }, cells.join("  "));
        page.push_str(line.trim_end());
        page.push('\n');
    }
}
