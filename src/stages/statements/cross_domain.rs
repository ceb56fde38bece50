//! `cross-domain`: the policy file that clients of Adobe Flash and Silverlight request.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    schema::text,
    spec::Spec,
};
use crate::{
    base::expr::xml,
    config::codes,
    pipeline::response::Response,
    stages::program::{Context, Failure, Flow, Statement},
};
use std::sync::Arc;

/// The path behind that of the API.
const PATH: &[u8] = b"/crossdomain.xml";

/// The statement.
pub(super) const SPEC: Spec = Spec {
    name: "cross-domain",
    sections: "i",
    scopes: &[],
    is_once: true,
    bare: Some("value"),
    attributes: &[text("value", "The `cross-domain-policy` element as a text.").required()],
    about: "Answers `GET /crossdomain.xml` of the API with a policy file; the operations need none with this path.",
    compile,
};

fn compile(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let policy = args.text("value").unwrap_or_default();
    let root = xml::parse(policy.trim());
    if !root.is_ok_and(|root| root.name == "cross-domain-policy") {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span_of("value"), "invalid `cross-domain`")
            .help("must be an element such as <cross-domain-policy><allow-access-from domain=\"*\"/></cross-domain-policy>");
        return None;
    }
    done(CrossDomain(policy.trim().into()))
}

#[derive(Debug)]
struct CrossDomain(Arc<str>);

impl Statement for CrossDomain {
    fn policy_file(&self, context: &Context<'_>) -> Option<Response> {
        let is_requested = context.exchange.request.method() == b"GET"
            && context.exchange.routing.operation_path.eq_ignore_ascii_case(PATH);
        is_requested.then(|| Response::local(200, "application/xml", self.0.to_string()))
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        Ok(self.policy_file(context).map_or(Flow::Next, |response| Flow::End(Box::new(response))))
    }
}
