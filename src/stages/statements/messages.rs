//! Statements that change messages: fields, query, body, method, status, variables.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    message_bodies::{FindAndReplace, Jsonp, RedirectContentUrls, set_body},
    schema::{Attribute, Kind, attribute, expression, text},
    spec::Spec,
};
use crate::{
    base::{
        bytes::is_token,
        expr::{Usage, to_bool},
    },
    config::{codes, suggest},
    pipeline::error::reason,
    stages::program::{
        Context, Failure, Flow, Statement, Template,
        message::{ExistsAction, is_gateway_field, set_field, set_query_parameter},
        template::usage_of,
    },
};
use std::sync::Arc;

const EXISTS: Attribute = attribute(
    "exists-action",
    Kind::Choice(&ExistsAction::NAMES),
    "What happens to a name that is there: `override`, `skip`, `append`, `delete`. Default: `override`.",
)
.dynamic();

const VALUE: Attribute =
    attribute("value", Kind::Texts, "The value, or several. Null values do not count.").dynamic();

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "set-header",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[expression("name", "The name of the header.").required(), EXISTS, VALUE],
        about: "Sets, appends or deletes a header of the message.",
        compile: |args, compiler| named(args, compiler, true),
    },
    Spec {
        name: "set-query-parameter",
        sections: "ib",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[expression("name", "The name of the parameter.").required(), EXISTS, VALUE],
        about: "Sets, appends or deletes a parameter of the query that the service gets.",
        compile: |args, compiler| named(args, compiler, false),
    },
    Spec {
        name: "set-body",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: Some("value"),
        attributes: &[
            expression("value", "The new body."),
            attribute("json", Kind::Json, "The new body as a JSON value whose texts may be expressions.")
                .dynamic(),
            attribute("template", Kind::Choice(&["liquid"]), "`liquid`: `value` is a template."),
            attribute(
                "xsi-nil",
                Kind::Choice(&["blank", "null"]),
                "How templates see `xsi:nil`. Default: `blank`.",
            ),
            attribute("parse-date", Kind::Bool, "Whether templates parse dates. Default: true."),
        ],
        about: "Replaces the body of the message.",
        compile: set_body,
    },
    Spec {
        name: "set-method",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: Some("value"),
        attributes: &[expression("value", "The method.").required()],
        about: "Sets the method with which the service is called.",
        compile: |args, _| done(SetMethod(args.required("value"))),
    },
    Spec {
        name: "set-status",
        sections: "oe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            attribute("code", Kind::Int(200, 599), "The status, 200 to 599.").dynamic().required(),
            expression("reason", "The reason phrase. Default: the usual one."),
        ],
        about: "Sets the status of the response.",
        compile: |args, _| done(SetStatus { code: args.required("code"), reason: args.template("reason") }),
    },
    Spec {
        name: "set-variable",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            text("name", "The name of the variable.").required(),
            attribute("value", Kind::Any, "The value; JSON literals keep their type.").dynamic().required(),
        ],
        about: "Sets a variable that later statements read.",
        compile: |args, _| {
            done(SetVariable { name: args.text("name").unwrap_or_default(), value: args.required("value") })
        },
    },
    Spec {
        name: "find-and-replace",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("from", "The text to find; not empty.").required(),
            expression("to", "The text in its place.").required(),
        ],
        about: "Replaces a text in a UTF-8 body.",
        compile: find_and_replace,
    },
    Spec {
        name: "redirect-content-urls",
        sections: "io",
        scopes: &[],
        is_once: true,
        bare: None,
        attributes: &[],
        about: "Replaces URLs of the service in response bodies by those of the API, and the other way around in requests.",
        compile: |_, _| done(RedirectContentUrls),
    },
    Spec {
        name: "jsonp",
        sections: "o",
        scopes: &[],
        is_once: true,
        bare: None,
        attributes: &[expression(
            "callback-parameter-name",
            "The query parameter with the name of the function.",
        )
        .required()],
        about: "Wraps the body in a call of the function that the client names.",
        compile: |args, _| done(Jsonp(args.required("callback-parameter-name"))),
    },
];

fn find_and_replace(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let from = args.required("from");
    if from.literal_text().is_some_and(|text| text.is_empty()) {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span_of("from"), "invalid `from`")
            .help("must not be empty");
        return None;
    }
    done(FindAndReplace { from, to: args.required("to") })
}

/// Reports a literal name of a header that cannot be set.
pub fn check_header_name(
    args: &Args,
    is_response: bool,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<()> {
    let Some(literal) = args.required("name").literal_text() else { return Some(()) };
    let message = if is_gateway_field(&literal) {
        format!("the header {literal} is written by the gateway alone")
    } else if literal.eq_ignore_ascii_case("Host") && is_response {
        "`Host` is a header of requests".to_owned()
    } else if is_token(literal.as_bytes()) {
        return Some(());
    } else {
        format!("invalid header name \"{literal}\"")
    };
    compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span_of("name"), message);
    None
}

/// `set-header` and `set-query-parameter`.
fn named(
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
    is_header: bool,
) -> Option<Arc<dyn Statement>> {
    let name = args.required("name");
    let action = args.template("exists-action");
    let values = args.templates("value").unwrap_or_default();
    if is_header {
        check_header_name(args, compiler.section.is_response(), compiler)?;
    }
    let is_delete =
        action.as_ref().and_then(Template::literal_text).is_some_and(|action| &*action == "delete");
    if values.is_empty() && !is_delete && action.as_ref().is_none_or(|action| action.literal().is_some()) {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span, "a `value` is missing")
            .help("only \"exists-action\": \"delete\" needs no value");
        return None;
    }
    done(SetNamed { is_header, name, action, values })
}

/// The texts of values; null values do not count.
pub fn texts(values: &[Template], context: &Context<'_>) -> Result<Vec<Arc<str>>, Failure> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        texts.extend(value.text_value(context)?);
    }
    Ok(texts)
}

/// The action of a statement.
pub fn action(template: &Option<Template>, context: &Context<'_>) -> Result<ExistsAction, Failure> {
    let Some(template) = template else { return Ok(ExistsAction::Override) };
    let name = template.text_or_empty(context)?;
    ExistsAction::from_name(&name).ok_or_else(|| Failure::statement("unknown exists-action"))
}

#[derive(Debug)]
struct SetNamed {
    is_header: bool,
    name: Template,
    action: Option<Template>,
    values: Vec<Template>,
}

impl Statement for SetNamed {
    fn usage(&self) -> Usage {
        usage_of(self.values.iter().chain([&self.name]).chain(&self.action))
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let name = self.name.text_or_empty(context)?;
        let action = action(&self.action, context)?;
        let values = texts(&self.values, context)?;
        if !self.is_header {
            let query = set_query_parameter(&context.target.query, &name, action, &values);
            context.target.query = query;
            return Ok(Flow::Next);
        }
        if name.eq_ignore_ascii_case("Host") {
            if context.section.is_response() {
                return Err(Failure::statement("Host is a header of requests"));
            }
            context.notes.push(("own-host", Box::new(())));
        }
        if let Some(head) = context.message_head() {
            set_field(head, &name, action, &values)?;
        }
        Ok(Flow::Next)
    }
}

#[derive(Debug)]
struct SetMethod(Template);

impl Statement for SetMethod {
    fn usage(&self) -> Usage {
        self.0.usage()
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let method = self.0.text_or_empty(context)?;
        if !is_token(method.trim().as_bytes()) {
            return Err(Failure::statement("set-method needs a method such as POST"));
        }
        context.exchange.request.set_method(method.trim().to_ascii_uppercase().as_bytes());
        Ok(Flow::Next)
    }
}

/// The status and the reason phrase of a response.
#[derive(Debug)]
pub struct SetStatus {
    pub code: Template,
    pub reason: Option<Template>,
}

impl SetStatus {
    /// The status and its phrase.
    pub fn status(&self, context: &Context<'_>) -> Result<(u16, String), Failure> {
        let code = self.code.int(context)?;
        let status = u16::try_from(code).ok().filter(|code| (200..600).contains(code));
        let status = status.ok_or_else(|| Failure::statement("the status must be 200 to 599"))?;
        let phrase = match &self.reason {
            Some(reason) => reason.text_or_empty(context)?.to_string(),
            None => reason(status).to_owned(),
        };
        if phrase.bytes().any(|b| b < b' ') {
            return Err(Failure::statement("the reason phrase contains a line break"));
        }
        Ok((status, phrase))
    }
}

impl Statement for SetStatus {
    fn usage(&self) -> Usage {
        usage_of([&self.code].into_iter().chain(&self.reason))
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let (status, phrase) = self.status(context)?;
        if let Some(response) = &mut context.response {
            response.head.set_status(status, phrase.as_bytes());
        }
        Ok(Flow::Next)
    }
}

#[derive(Debug)]
struct SetVariable {
    name: Arc<str>,
    value: Template,
}

impl Statement for SetVariable {
    fn usage(&self) -> Usage {
        self.value.usage()
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let value = self.value.value(context)?;
        context.set_variable(&self.name, value);
        Ok(Flow::Next)
    }
}

/// The word of an attribute that is one of some; literals were checked with the document.
pub fn word(
    template: &Option<Template>,
    names: &[&'static str],
    default: &'static str,
    context: &Context<'_>,
) -> Result<&'static str, Failure> {
    let Some(template) = template else { return Ok(default) };
    let text = template.text_or_empty(context)?;
    let known = names.iter().find(|name| name.eq_ignore_ascii_case(text.trim()));
    known.copied().ok_or_else(|| Failure::statement(format!("expected {}", suggest::one_of(names))))
}

/// Whether a literal or computed switch is on.
pub fn switch(template: &Option<Template>, default: bool, context: &Context<'_>) -> Result<bool, Failure> {
    match template {
        None => Ok(default),
        Some(Template::Literal(value)) => to_bool(value).map_err(|error| Failure::expression(&error)),
        Some(template) => template.bool_value(context),
    }
}
