//! What an aggregate would ask its parts, for `explain`.

use crate::{
    net::h1::hop_by_hop::HopByHop,
    pipeline::exchange::Exchange,
    plan::{
        compiled::{Aggregate, Part},
        explain::{Explainer, Explanation, Rejection},
    },
};
use serde::Serialize;

/// A part, as it would be asked.
#[derive(Debug, Serialize)]
pub struct PartExplanation {
    pub name: String,
    /// When, and how often.
    pub when: String,
    pub optional: bool,
    pub endpoints: Vec<String>,
    /// The request that its service would get, line by line.
    pub request: Vec<String>,
    /// What the gateway itself would answer for it.
    pub answer: Option<Rejection>,
}

/// All parts.
pub async fn parts(
    explainer: &Explainer<'_>,
    aggregate: &Aggregate,
    exchange: &Exchange,
) -> Vec<PartExplanation> {
    let mut told = Vec::with_capacity(aggregate.parts.len());
    for part in &aggregate.parts {
        told.push(explain_part(explainer, aggregate, part, exchange).await);
    }
    told
}

async fn explain_part(
    explainer: &Explainer<'_>,
    aggregate: &Aggregate,
    part: &Part,
    exchange: &Exchange,
) -> PartExplanation {
    let terms = &part.terms;
    let parameter = terms.values.as_ref().and(part.names.last()).map(|name| format!("{{{name}}}"));
    let inner =
        part.fork_for_part(exchange, parameter.as_ref().map(String::as_bytes), aggregate.shape.ocelot);
    let mut told = Explanation::default();
    Box::pin(explainer.dry_run(&part.route, HopByHop::default(), *inner, &mut told)).await;
    let main = aggregate.parts.first().map_or("", |main| &main.terms.key);
    let when = match (&terms.values, &parameter) {
        (Some(path), Some(parameter)) => format!("for each {path} of \"{main}\" as {parameter}"),
        _ => "at once".to_owned(),
    };
    // The parameter has no value yet.
    let escaped = parameter.as_ref().map(|name| name.replace('{', "%7B").replace('}', "%7D"));
    let shown = |line: String| match (&escaped, &parameter) {
        (Some(escaped), Some(parameter)) => line.replace(escaped, parameter),
        _ => line,
    };
    PartExplanation {
        name: terms.key.to_string(),
        when: if terms.optional { format!("{when}, optional") } else { when },
        optional: terms.optional,
        endpoints: told.endpoints,
        request: told.request.into_iter().map(shown).collect(),
        answer: told.answer,
    }
}

impl PartExplanation {
    /// A row of a table.
    pub fn row(&self) -> Vec<String> {
        let mut row = vec![self.name.clone(), self.when.clone(), self.endpoints.join(" or ")];
        row.extend(self.request.first().cloned());
        row.extend(self.answer.as_ref().map(|answer| answer.row().join("  ")));
        row
    }
}
