//! Statements that change bodies: `set-body`, `find-and-replace`, `redirect-content-urls`, `jsonp`.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    liquid,
};
use crate::{
    base::expr::{Usage, Value, to_json},
    config::codes,
    pipeline::{body::Body, error::ErrorCode},
    stages::program::{
        Context, Failure, Flow, Statement, Template,
        body::set_response_body,
        target::{ServiceUrl, query_value},
        template::usage_of,
    },
};
use bytes::Bytes;
use std::sync::Arc;

pub(super) fn set_body(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let source = body_source(args, compiler)?;
    done(SetBody(source))
}

/// Where a new body comes from.
#[derive(Debug)]
pub enum BodySource {
    Value(Template),
    Json(Template),
    Liquid(liquid::Template),
}

/// The new body of `set-body`.
pub fn body_source(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<BodySource> {
    let is_template = args.has("template");
    let of_templates = ["xsi-nil", "parse-date"].into_iter().find(|name| args.has(name) && !is_template);
    if let Some(name) = of_templates {
        let message = format!("`{name}` is about templates");
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span_of(name), message)
            .help("add \"template\": \"liquid\", or remove the attribute");
        return None;
    }
    match (args.template("json"), args.template("value"), is_template) {
        (Some(json), None, false) => Some(BodySource::Json(json)),
        (None, Some(value), true) => liquid_source(&value, args, compiler),
        (None, Some(value), false) => Some(BodySource::Value(value)),
        (None, None, _) => Some(BodySource::Value(Template::default())),
        _ => {
            compiler.diagnostics.error(
                codes::POLICY_ATTRIBUTE,
                args.span,
                "`set-body` has either `value` or `json`, and `template` with `value` only",
            );
            None
        }
    }
}

/// A template of `set-body`.
fn liquid_source(
    value: &Template,
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<BodySource> {
    let options = liquid::Options {
        nil_is_null: args.text("xsi-nil").as_deref() == Some("null"),
        parses_dates: args.flag("parse-date", true),
    };
    let parsed = match value.literal_text() {
        Some(text) => liquid::Template::parse(&text, options),
        None => Err("a template must be a literal; it reads `body` and `context` itself".to_owned()),
    };
    match parsed {
        Ok(template) => Some(BodySource::Liquid(template)),
        Err(message) => {
            compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span_of("value"), message);
            None
        }
    }
}

impl BodySource {
    /// What it reads.
    pub fn usage(&self) -> Usage {
        match self {
            BodySource::Value(value) | BodySource::Json(value) => value.usage(),
            BodySource::Liquid(_) => Usage::default(),
        }
    }

    /// Whether it reads the body of the message of the section.
    pub fn reads_message_body(&self) -> bool {
        matches!(self, BodySource::Liquid(template) if template.reads_body())
    }

    /// The bytes, and whether they are JSON.
    pub fn bytes(&self, context: &Context<'_>) -> Result<(Bytes, bool), Failure> {
        match self {
            BodySource::Json(value) => {
                let json = to_json(&value.value(context)?).map_err(|error| Failure::expression(&error))?;
                Ok((json.to_string().into(), true))
            }
            BodySource::Value(value) => match value.value(context)? {
                Value::Bytes(bytes) => Ok((bytes, false)),
                _ => Ok((Bytes::from(value.text_or_empty(context)?.as_bytes().to_vec()), false)),
            },
            BodySource::Liquid(template) => Ok((template.render(context)?.into(), false)),
        }
    }
}

#[derive(Debug)]
struct SetBody(BodySource);

impl Statement for SetBody {
    fn usage(&self) -> Usage {
        self.0.usage()
    }

    fn reads_message_body(&self) -> bool {
        self.0.reads_message_body()
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let (bytes, is_json) = self.0.bytes(context)?;
        let is_empty = bytes.is_empty();
        match context.section.is_response() {
            true => set_response_body(context, bytes),
            false => context.set_request_body(bytes),
        }
        if let Some(head) = context.message_head()
            && is_json
            && !is_empty
            && head.get(b"Content-Type").is_none()
        {
            head.set(b"Content-Type", b"application/json");
        }
        Ok(Flow::Next)
    }
}

/// The body of the message of the section, as text.
fn body_text(context: &Context<'_>) -> Option<String> {
    let bytes = match context.section.is_response() {
        true => match &context.response.as_ref()?.body {
            Body::Bytes(bytes) => bytes.clone(),
            _ => return None,
        },
        false => context.request_body()?.clone(),
    };
    String::from_utf8(bytes.to_vec()).ok()
}

/// Replaces the body of the message of the section.
fn replace_body(context: &mut Context<'_>, text: String) {
    match context.section.is_response() {
        true => set_response_body(context, text.into()),
        false => context.set_request_body(text.into()),
    }
}

#[derive(Debug)]
pub(super) struct FindAndReplace {
    pub(super) from: Template,
    pub(super) to: Template,
}

impl Statement for FindAndReplace {
    fn usage(&self) -> Usage {
        usage_of([&self.from, &self.to])
    }

    fn reads_message_body(&self) -> bool {
        true
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let (from, to) = (self.from.text_or_empty(context)?, self.to.text_or_empty(context)?);
        if from.is_empty() {
            return Err(Failure::statement("`from` of find-and-replace is empty"));
        }
        if let Some(text) = body_text(context).filter(|text| text.contains(&*from)) {
            replace_body(context, text.replace(&*from, &to));
        }
        Ok(Flow::Next)
    }
}

#[derive(Debug)]
pub(super) struct RedirectContentUrls;

impl Statement for RedirectContentUrls {
    fn reads_message_body(&self) -> bool {
        true
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let (Some(target), Some(url)) = (context.operation, context.target.url.clone()) else {
            return Ok(Flow::Next);
        };
        let own = ServiceUrl {
            is_https: context.original.is_https,
            host: context.original.host.clone(),
            port: context.original.port,
            base: format!("/{}", target.api.path).trim_end_matches('/').to_owned(),
            query: String::new(),
        };
        let (service, own) = (url.text(), own.text());
        let (from, to) = if context.section.is_response() { (service, own) } else { (own, service) };
        if let Some(text) = body_text(context).filter(|text| text.contains(&from)) {
            replace_body(context, text.replace(&from, &to));
        }
        Ok(Flow::Next)
    }
}

#[derive(Debug)]
pub(super) struct Jsonp(pub(super) Template);

impl Statement for Jsonp {
    fn usage(&self) -> Usage {
        self.0.usage()
    }

    fn reads_message_body(&self) -> bool {
        true
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let parameter = self.0.text_or_empty(context)?;
        let Some(callback) = query_value(&context.original.query, &parameter).map(str::to_owned) else {
            return Ok(Flow::Next);
        };
        let callback = crate::stages::program::target::decoded(&callback, true);
        let mut chars = callback.chars();
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
        let is_name = chars.next().is_some_and(is_start)
            && chars.all(|c| is_start(c) || c.is_ascii_digit() || c == '.');
        if !is_name {
            let detail =
                format!("Value of callback parameter {parameter} is not a valid JavaScript identifier.");
            return Err(Failure::new("CallbackParameterInvalid", ErrorCode::RequestCallback, detail));
        }
        let body = body_text(context).unwrap_or_default();
        set_response_body(context, format!("{callback}({body});").into());
        if let Some(response) = &mut context.response {
            response.head.set(b"Content-Type", b"application/javascript");
        }
        Ok(Flow::Next)
    }
}
