//! Requests that programs send themselves: `send-request`, `send-one-way-request`, `invoke-request`.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    credentials::{Credential, credential},
    forward::known_backend,
    message_bodies::{BodySource, body_source},
    messages::word,
    return_response::{InnerHeader, headers},
    schema::{Attribute, Kind, attribute, expression, flag, text},
    spec::Spec,
};
use crate::{
    base::expr::{HeldResponse, ResponsePart, Usage, Value},
    config::codes,
    pipeline::{body::Body, cancel::until_client_closes, head::KnownHeader, response::Response},
    stages::program::{
        Context, Failure, Flow, Statement, StatementFuture, Template,
        callout::{CallOut, PreparedCall, send_in_background},
        message::set_field,
        target::ServiceUrl,
        template::usage_of,
    },
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{sync::Arc, time::Duration};

/// The default timeout of a call-out.
const DEFAULT_TIMEOUT_SECONDS: f64 = 60.0;

const MODES: [&str; 2] = ["new", "copy"];
const MODE: Attribute = attribute(
    "mode",
    Kind::Choice(&MODES),
    "`new`, or `copy`: starts from the request as it is now. Default: `new`.",
)
.dynamic();
const TIMEOUT: Attribute =
    attribute("timeout", Kind::Number(0.001, 86_400.0), "Seconds. Default: 60.").dynamic();
const URL: Attribute =
    attribute("set-url", Kind::Text, "The URL; required unless `mode` is `copy`.").dynamic();
const METHOD: Attribute = attribute("set-method", Kind::Text, "The method. Default: GET.").dynamic();
const HEADERS: Attribute = attribute("set-header", Kind::InnerList("set-header"), "Headers.");
const BODY: Attribute = attribute("set-body", Kind::Inner("set-body"), "The body.");
const BASIC: Attribute =
    attribute("authentication-basic", Kind::Inner("authentication-basic"), "Basic authentication.");
const MANAGED: Attribute = attribute(
    "authentication-managed-identity",
    Kind::Inner("authentication-managed-identity"),
    "A token of one of `Identities`.",
);
const CERTIFICATE: Attribute = attribute(
    "authentication-certificate",
    Kind::Inner("authentication-certificate"),
    "A client certificate.",
);

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "send-request",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            MODE,
            text("response-variable-name", "The variable with the response.").required(),
            TIMEOUT,
            flag("ignore-error", "Whether the variable is null after a failure. Default: false."),
            URL,
            METHOD,
            HEADERS,
            BODY,
            BASIC,
            MANAGED,
            CERTIFICATE,
        ],
        about: "Sends a request and keeps the response in a variable.",
        compile: |args, compiler| send(args, compiler, Delivery::Variable),
    },
    Spec {
        name: "send-one-way-request",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[MODE, TIMEOUT, URL, METHOD, HEADERS, BODY, BASIC, MANAGED, CERTIFICATE],
        about: "Sends a request without waiting for the response.",
        compile: |args, compiler| send(args, compiler, Delivery::OneWay),
    },
    Spec {
        name: "invoke-request",
        sections: "ibo",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("method", "The method. Default: GET."),
            expression("url", "The URL."),
            expression("backend-id", "One of `Backends`, instead of `url`."),
            text(
                "response-variable-name",
                "The variable with the response. Default: the response becomes that of the program.",
            ),
            TIMEOUT,
            HEADERS,
            BODY,
        ],
        about: "Sends a request; without a variable its response becomes the response.",
        compile: |args, compiler| send(args, compiler, Delivery::Response),
    },
];

/// What happens to the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Variable,
    OneWay,
    Response,
}

fn send(
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
    delivery: Delivery,
) -> Option<Arc<dyn Statement>> {
    let url = checked_url(args, compiler)?;
    let body = match args.object("set-body") {
        Some(body) => Some(body_source(body, compiler)?),
        None => None,
    };
    let credential = inner_credential(args, compiler)?;
    let headers = headers(args.objects("set-header"), false, compiler)?;
    done(SendRequest {
        delivery,
        mode: args.template("mode"),
        variable: args.text("response-variable-name"),
        timeout: args.template("timeout"),
        ignores_errors: args.flag("ignore-error", false),
        url,
        backend: args.template("backend-id"),
        method: args.template("set-method").or_else(|| args.template("method")),
        headers,
        body,
        credential,
    })
}

fn inner_credential(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Option<Credential>> {
    let names = ["authentication-basic", "authentication-managed-identity", "authentication-certificate"];
    let given: Vec<_> = names.iter().filter_map(|name| Some((*name, args.object(name)?))).collect();
    let [(name, inner)] = given[..] else {
        if let Some((_, second)) = given.get(1) {
            let message = "a request has one `authentication-...`";
            compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, second.span, message);
            return None;
        }
        return Some(None);
    };
    if let Some(own) = ["output-token-variable-name", "ignore-error"].into_iter().find(|own| inner.has(own)) {
        let message = format!("`{own}` is for the statement `{name}` itself, not for that of a request");
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, inner.span_of(own), message)
            .help("set `ignore-error` of the request");
        return None;
    }
    credential(name, inner, compiler).map(Some)
}

/// The URL of a call-out; `Some(None)`: that of the request or of a backend.
fn checked_url(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Option<Template>> {
    let mode = args.template("mode");
    let is_copy = mode.as_ref().and_then(Template::literal_text).is_some_and(|mode| &*mode == "copy");
    let url = args.template("set-url").or_else(|| args.template("url"));
    if url.is_some() && args.has("backend-id") {
        let message = "`invoke-request` has either `url` or `backend-id`";
        compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span_of("backend-id"), message);
        return None;
    }
    if let Some(id) = args.template("backend-id") {
        known_backend(&id, args, compiler)?;
    }
    if url.is_none() && !is_copy && !args.has("backend-id") {
        compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span, "the request needs `set-url`");
        return None;
    }
    if let Some(literal) = url.as_ref().and_then(Template::literal_text)
        && ServiceUrl::parse(&literal).is_none()
    {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span_of("set-url"), "invalid URL")
            .help("must be an absolute URL such as https://api.example.com/path");
        return None;
    }
    if url.as_ref().is_some_and(|url| url.usage().request) && !compiler.facts.has_callout_rules {
        compiler
            .diagnostics
            .warning(
                codes::POLICY_CALLOUT_TARGET,
                args.span_of("set-url"),
                "the URL of a call-out is built from the request",
            )
            .help("list the hosts that may be called in ApiManagement.Callouts.Allow");
    }
    Some(url)
}

#[derive(Debug)]
struct SendRequest {
    delivery: Delivery,
    mode: Option<Template>,
    variable: Option<Arc<str>>,
    timeout: Option<Template>,
    ignores_errors: bool,
    url: Option<Template>,
    backend: Option<Template>,
    method: Option<Template>,
    headers: Vec<InnerHeader>,
    body: Option<BodySource>,
    credential: Option<Credential>,
}

impl SendRequest {
    fn call(&self, context: &Context<'_>) -> Result<CallOut, Failure> {
        let is_copy = word(&self.mode, &MODES, "new", context)? == "copy";
        let url = self.target(context)?;
        let mut call = CallOut::new(context, url, is_copy);
        if let Some(method) = &self.method {
            let method = method.text_or_empty(context)?;
            call.request.set_method(method.trim().to_ascii_uppercase().as_bytes());
        }
        for header in &self.headers {
            let (name, action, values) = header.evaluate(context)?;
            call.keeps_host |= name.eq_ignore_ascii_case("Host");
            set_field(&mut call.request, &name, action, &values)?;
        }
        if let Some(body) = &self.body {
            let (bytes, is_json) = body.bytes(context)?;
            if is_json && call.request.get(b"Content-Type").is_none() {
                call.request.append(b"Content-Type", b"application/json");
            }
            call.body = bytes;
        }
        if let Some(credential) = &self.credential {
            call.token = credential.apply(&mut call, context)?;
        }
        let seconds = self.timeout.as_ref().map(|timeout| timeout.number(context)).transpose()?;
        call.timeout =
            Duration::from_secs_f64(seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS).clamp(0.001, 86_400.0));
        Ok(call)
    }

    fn target(&self, context: &Context<'_>) -> Result<ServiceUrl, Failure> {
        if let Some(id) = &self.backend {
            let id = id.text_or_empty(context)?.to_lowercase();
            let backend = context.shared.backends.get(&id);
            if let Some(crate::stages::program::backend::Backend::Single(service)) =
                backend.map(|backend| &**backend)
                && let Some(url) = &service.url
            {
                return Ok((**url).clone());
            }
            return Err(Failure::statement("invoke-request: unknown backend"));
        }
        match &self.url {
            Some(url) => ServiceUrl::parse(&url.text_or_empty(context)?)
                .ok_or_else(|| Failure::statement("the URL of the call-out is not an absolute http(s) URL")),
            None => {
                let url = context.target.url.as_ref();
                let url = url.ok_or_else(|| Failure::statement("there is no URL to copy"))?;
                let (path, query) = (context.target.full_path(), context.target.full_query());
                Ok(ServiceUrl { base: path, query, ..(**url).clone() })
            }
        }
    }

    async fn send(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let call = self.call(context)?;
        if self.delivery == Delivery::OneWay {
            send_in_background(context, call);
            return Ok(Flow::Next);
        }
        let pending = call.start(context);
        let outcome = until_client_closes(pending, context.client).await.map_err(Failure::from_gateway)?;
        match (outcome, &self.variable) {
            (Ok(held), Some(name)) => {
                context.set_variable(name, Value::Response(Arc::new(held), ResponsePart::Whole));
            }
            (Ok(held), None) => {
                context.response = Some(to_response(&held));
                return Ok(Flow::EndSection);
            }
            (Err(_), Some(name)) if self.ignores_errors => context.set_variable(name, Value::Null),
            (Err(failure), _) => return Err(failure),
        }
        Ok(Flow::Next)
    }
}

fn to_response(held: &HeldResponse) -> Response {
    let mut response = Response::local(held.status, "", "");
    response.head.remove_known(KnownHeader::ContentLength);
    response.head.set_status(held.status, held.reason.as_bytes());
    let own = ["content-length", "transfer-encoding", "connection"];
    for (name, value) in
        held.headers.iter().filter(|(name, _)| !own.iter().any(|own| own.eq_ignore_ascii_case(name)))
    {
        response.head.append(name.as_bytes(), value.as_bytes());
    }
    response.body = if held.body.is_empty() { Body::Empty } else { Body::Bytes(held.body.clone()) };
    response
}

impl Statement for SendRequest {
    fn usage(&self) -> Usage {
        let own = usage_of(
            self.mode.iter().chain(&self.timeout).chain(&self.url).chain(&self.method).chain(&self.backend),
        );
        let headers = self.headers.iter().fold(Usage::default(), |all, header| all.and(header.usage()));
        let credential = self.credential.as_ref().map(Credential::usage).unwrap_or_default();
        let body = self.body.as_ref().map(BodySource::usage).unwrap_or_default();
        let mut all = own.and(headers).and(credential).and(body);
        all.request_body |= self.mode.as_ref().is_some_and(|mode| {
            mode.literal_text().is_none_or(|mode| &*mode == "copy") && self.body.is_none()
        });
        all
    }

    fn reads_message_body(&self) -> bool {
        self.body.as_ref().is_some_and(BodySource::reads_message_body)
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.send(context))
    }

    fn prepare_call(&self, context: &mut Context<'_>) -> Result<Option<PreparedCall>, Failure> {
        let call = self.call(context)?.start(context);
        Ok(Some(PreparedCall { call, variable: self.variable.clone(), ignores_errors: self.ignores_errors }))
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

/// Runs call-outs concurrently; with `any` the first that ends well ends the others.
pub async fn run_together(
    context: &mut Context<'_>,
    calls: Vec<PreparedCall>,
    any: bool,
) -> Result<(), Failure> {
    let mut pending: FuturesUnordered<_> = calls
        .into_iter()
        .map(|prepared| async move { (prepared.call.await, prepared.variable, prepared.ignores_errors) })
        .collect();
    let mut failed = None;
    loop {
        let next =
            until_client_closes(pending.next(), context.client).await.map_err(Failure::from_gateway)?;
        let Some((outcome, variable, ignores_errors)) = next else { break };
        match (outcome, variable) {
            (Ok(held), Some(name)) => {
                context.set_variable(&name, Value::Response(Arc::new(held), ResponsePart::Whole));
                if any {
                    return Ok(());
                }
            }
            (Err(_), Some(name)) if ignores_errors => context.set_variable(&name, Value::Null),
            (Err(failure), _) if !any => return Err(failure),
            (Err(failure), _) => failed = Some(failure),
            _ => {}
        }
    }
    match failed {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}
