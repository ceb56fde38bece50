//! `return-response` and `mock-response`.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    message_bodies::{BodySource, body_source},
    messages::{SetStatus, action, check_header_name, texts},
};
use crate::{
    base::expr::{HeldResponse, Usage, Value},
    pipeline::{body::Body, response::Response},
    stages::program::{
        Context, Failure, Flow, Statement, Template,
        message::{ExistsAction, set_field},
        template::usage_of,
    },
};
use std::sync::Arc;

pub(super) fn return_response(
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<Arc<dyn Statement>> {
    let status = args
        .object("set-status")
        .map(|status| SetStatus { code: status.required("code"), reason: status.template("reason") });
    let body = match args.object("set-body") {
        Some(body) => Some(body_source(body, compiler)?),
        None => None,
    };
    done(ReturnResponse {
        variable: args.text("response-variable-name"),
        status,
        headers: headers(args.objects("set-header"), true, compiler)?,
        body,
    })
}

/// The `set-header` members of another statement; `None` after a diagnostic.
pub fn headers(
    all: &[Args],
    is_response: bool,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<Vec<InnerHeader>> {
    for header in all {
        check_header_name(header, is_response, compiler)?;
    }
    let one = |header: &Args| InnerHeader {
        name: header.required("name"),
        action: header.template("exists-action"),
        values: header.templates("value").unwrap_or_default(),
    };
    Some(all.iter().map(one).collect())
}

/// Name, action and values.
type HeaderChange = (Arc<str>, ExistsAction, Vec<Arc<str>>);

/// A header of a response or of a call-out.
#[derive(Debug)]
pub struct InnerHeader {
    pub name: Template,
    action: Option<Template>,
    values: Vec<Template>,
}

impl InnerHeader {
    /// What it reads.
    pub fn usage(&self) -> Usage {
        usage_of(self.values.iter().chain([&self.name]).chain(&self.action))
    }

    /// The change for a response.
    pub fn evaluate(&self, context: &Context<'_>) -> Result<HeaderChange, Failure> {
        Ok((self.name.text_or_empty(context)?, action(&self.action, context)?, texts(&self.values, context)?))
    }
}

#[derive(Debug)]
struct ReturnResponse {
    variable: Option<Arc<str>>,
    status: Option<SetStatus>,
    headers: Vec<InnerHeader>,
    body: Option<BodySource>,
}

/// The response of a call-out as one for the client.
fn held_response(held: &HeldResponse) -> Response {
    let mut response = Response::local(held.status, "", "");
    response.head.remove(b"Content-Length");
    response.head.set_status(held.status, held.reason.as_bytes());
    for (name, value) in &held.headers {
        let is_own = ["content-length", "transfer-encoding", "connection", "keep-alive"]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name));
        if !is_own {
            response.head.append(name.as_bytes(), value.as_bytes());
        }
    }
    response.body = if held.body.is_empty() { Body::Empty } else { Body::Bytes(held.body.clone()) };
    response
}

impl Statement for ReturnResponse {
    fn usage(&self) -> Usage {
        let status = self.status.as_ref().map(Statement::usage).unwrap_or_default();
        let headers = self.headers.iter().fold(Usage::default(), |all, header| all.and(header.usage()));
        let body = self.body.as_ref().map(BodySource::usage).unwrap_or_default();
        status.and(headers).and(body)
    }

    fn reads_message_body(&self) -> bool {
        self.body.as_ref().is_some_and(BodySource::reads_message_body)
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let mut response = match &self.variable {
            None => {
                let mut response = Response::local(200, "", "");
                response.head.remove(b"Content-Length");
                response
            }
            Some(name) => match context.variable(name) {
                Some(Value::Response(held, _)) => held_response(held),
                _ => {
                    return Err(Failure::statement(format!(
                        "return-response: the variable {name} has no response"
                    )));
                }
            },
        };
        if let Some(status) = &self.status {
            let (status, phrase) = status.status(context)?;
            response.head.set_status(status, phrase.as_bytes());
        }
        for header in &self.headers {
            let (name, action, values) = header.evaluate(context)?;
            set_field(&mut response.head, &name, action, &values)?;
        }
        if let Some(body) = &self.body {
            let (bytes, is_json) = body.bytes(context)?;
            response.head.remove(b"Content-Encoding");
            if is_json && response.head.get(b"Content-Type").is_none() {
                response.head.append(b"Content-Type", b"application/json");
            }
            response.body = if bytes.is_empty() { Body::Empty } else { Body::Bytes(bytes) };
        }
        Ok(Flow::End(Box::new(response)))
    }
}

#[derive(Debug)]
pub(super) struct MockResponse {
    pub(super) status: u16,
    pub(super) media_type: Option<String>,
    pub(super) index: usize,
}

impl Statement for MockResponse {
    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let operation = context.operation.and_then(|target| target.operation.as_ref());
        let all = operation.map_or(&[][..], |operation| &operation.examples);
        let of_status =
            || all.iter().filter(|example| example.status == self.status && !example.media_type.is_empty());
        let example = of_status()
            .find(|example| {
                self.media_type
                    .as_ref()
                    .is_some_and(|wanted| wanted.eq_ignore_ascii_case(&example.media_type))
            })
            .or_else(|| of_status().next());
        let (media_type, body) = match example {
            None => (self.media_type.as_deref().unwrap_or_default(), String::new()),
            Some(example) => {
                let body = example.bodies.get(self.index).or(example.bodies.first());
                (example.media_type.as_str(), body.cloned().unwrap_or_default())
            }
        };
        let mut response = Response::local(self.status, media_type, body);
        if !media_type.is_empty() && response.head.get(b"Content-Type").is_none() {
            response.head.append(b"Content-Type", media_type.as_bytes());
        }
        Ok(Flow::End(Box::new(response)))
    }
}
