//! Liquid templates of `set-body`: translated to the template engine of the gateway.

mod filters;
mod lexer;
mod translate;

use crate::{
    base::expr::{
        ExpressionContext, Member, Value, to_json, xml,
        xml_json::{NilElements, ToJson, xml_to_value},
    },
    pipeline::body::Body,
    stages::program::{Context, Failure},
};
use minijinja::{Environment, UndefinedBehavior};
use std::sync::Arc;

/// Instructions of one rendering.
const FUEL: u64 = 1_000_000;

/// What templates make of bodies.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Elements with `xsi:nil` are null instead of empty.
    pub nil_is_null: bool,
    /// The filter `date` formats texts.
    pub parses_dates: bool,
}

/// A template, translated.
#[derive(Clone, Debug)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    options: Options,
    reads_body: bool,
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str, options: Options) -> Result<Template, String> {
        let invalid = |message: String| format!("invalid Liquid template: {message}");
        let translated = translate::translate(text).map_err(invalid)?;
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        filters::add(&mut environment, options.parses_dates);
        environment
            .add_template_owned("body", translated)
            .map_err(|error| invalid(error.kind().to_string()))?;
        Ok(Template { environment: Arc::new(environment), options, reads_body: text.contains("body") })
    }

    /// Whether the template names the body of the message.
    pub fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// Renders the template for the message of the section.
    pub fn render(&self, context: &Context<'_>) -> Result<String, Failure> {
        let failed = |error: minijinja::Error| Failure::statement(format!("set-body: {}", error.kind()));
        let template = self.environment.get_template("body").map_err(failed)?;
        let body = if self.reads_body { body(context, self.options)? } else { serde_json::Value::Null };
        let values = minijinja::context! {
            body => minijinja::value::Serde(&body),
            context => minijinja::value::Serde(&members(context)),
        };
        template.render(values).map_err(failed)
    }
}

/// The body of the message, parsed by its `Content-Type`.
fn body(context: &Context<'_>, options: Options) -> Result<serde_json::Value, Failure> {
    let (head, bytes) = match context.section.is_response() {
        true => match &context.response {
            Some(response) => match &response.body {
                Body::Bytes(bytes) => (&response.head, bytes.clone()),
                _ => return Ok(serde_json::Value::Null),
            },
            None => return Ok(serde_json::Value::Null),
        },
        false => (&context.exchange.request, context.request_body().cloned().unwrap_or_default()),
    };
    if bytes.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    let media_type =
        head.get(b"Content-Type").map(|value| String::from_utf8_lossy(value).to_ascii_lowercase());
    let text = String::from_utf8_lossy(&bytes);
    if media_type.is_some_and(|media_type| media_type.contains("xml")) {
        let root = xml::parse(&text).map_err(|error| {
            Failure::content(context.section, format!("the body is not valid XML: {error}"))
        })?;
        let to_value = ToJson {
            is_javascript_friendly: true,
            always_lists: false,
            nil: if options.nil_is_null { NilElements::Null } else { NilElements::EmptyText },
        };
        return to_json(&xml_to_value(&root, to_value)).map_err(|error| Failure::expression(&error));
    }
    Ok(serde_json::from_str(&text).unwrap_or_else(|_| text.into_owned().into()))
}

/// The members of `context` that templates read.
fn members(context: &Context<'_>) -> serde_json::Value {
    let leaf = |member: Member| {
        context.member(member).ok().and_then(|value| to_json(&value).ok()).unwrap_or_default()
    };
    let map = |member: Member| {
        let entries = context.entries(member).unwrap_or_default();
        let joined = entries.into_iter().map(|(name, value)| {
            let value = match &value {
                Value::List(items) if items.len() == 1 => items[0].clone(),
                value => value.clone(),
            };
            (name, to_json(&value).unwrap_or_default())
        });
        serde_json::Value::Object(joined.collect())
    };
    serde_json::json!({
        "RequestId": leaf(Member::RequestId),
        "Request": {
            "Method": leaf(Member::RequestMethod),
            "Url": request_url(context),
            "OriginalUrl": original_url(context),
            "Headers": map(Member::RequestHeaders),
            "MatchedParameters": map(Member::MatchedParameters),
            "IpAddress": leaf(Member::RequestIpAddress),
        },
        "Response": { "StatusCode": leaf(Member::ResponseStatusCode), "StatusReason": leaf(Member::ResponseStatusReason) },
        "Variables": map(Member::Variables),
        "Api": { "Id": leaf(Member::ApiId), "Name": leaf(Member::ApiName), "Path": leaf(Member::ApiPath) },
        "Operation": { "Id": leaf(Member::OperationId), "Name": leaf(Member::OperationName) },
        "Product": { "Id": leaf(Member::ProductId), "Name": leaf(Member::ProductName) },
        "Subscription": { "Id": leaf(Member::SubscriptionId), "Name": leaf(Member::SubscriptionName) },
        "User": { "Id": leaf(Member::UserId), "Email": leaf(Member::UserEmail) },
    })
}

/// The members of a URL.
fn url(scheme: &str, host: &str, port: u16, path: String, query: &str) -> serde_json::Value {
    let query_string = if query.is_empty() { String::new() } else { format!("?{query}") };
    serde_json::json!({ "Scheme": scheme, "Host": host, "Port": port, "Path": path, "QueryString": query_string })
}

fn original_url(context: &Context<'_>) -> serde_json::Value {
    let original = &context.original;
    let scheme = if original.is_https { "https" } else { "http" };
    url(scheme, &original.host, original.port, original.path.clone(), &original.query)
}

/// What the service would be asked now.
fn request_url(context: &Context<'_>) -> serde_json::Value {
    let (path, query) = (context.target.full_path(), context.target.full_query());
    match &context.target.url {
        Some(service) => url(service.scheme(), &service.host, service.port, path, &query),
        None => url("", "", 0, path, &query),
    }
}
