//! The program of a route in its explanation.

use super::{operation::explain, report::Explanation};
use crate::{
    pipeline::{exchange::Exchange, response::RouteResult},
    plan::compiled::Route,
    stages::program::{run::RouteProgram, target::decoded},
};

impl Explanation {
    /// Adds the program of a route. The result is the response of the stages, or of a program that does not run; `None`:
    /// the explanation is complete, because the statements of an API contain its target.
    pub(super) fn add_program(
        &mut self,
        route: &Route,
        exchange: &mut Exchange,
        early: Option<RouteResult>,
    ) -> Option<Option<RouteResult>> {
        let Some(program) = &route.program else { return Some(early) };
        if let RouteProgram::Operation(target) = &**program {
            self.target = masked(&self.target, &target.operation.api.key_query);
        }
        let (found, result, run) = explain(program, exchange, early.as_ref());
        self.api_management = Some(found);
        if let Some(response) = run.and_then(|run| run.response) {
            self.answer(response);
            return None;
        }
        match (result, &**program) {
            (Err(error), _) => Some(early.or(Some(Err(error)))),
            (Ok(()), RouteProgram::Operation(_)) if early.is_none() => None,
            (Ok(()), _) => Some(early),
        }
    }
}

/// A target without the value of a query parameter.
fn masked(target: &str, name: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let part = |part: &str| match part.split_once('=') {
        Some((key, _)) if decoded(key, true) == name => format!("{key}=***"),
        _ => part.to_owned(),
    };
    format!("{path}?{}", query.split('&').map(part).collect::<Vec<_>>().join("&"))
}
