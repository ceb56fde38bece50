//! Where the request goes: `forward-request`, `set-backend-service`, `rewrite-uri`.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    messages::switch,
    schema::{Kind, attribute, expression, flag, not_yet},
    spec::Spec,
};
use crate::{
    backend::attempt::Http2,
    base::expr::Usage,
    config::codes,
    stages::program::{
        Context, Failure, Flow, Statement, StatementFuture, Template,
        context::ForwardOptions,
        target::{ServiceUrl, decoded},
        template::usage_of,
    },
};
use std::{collections::HashSet, sync::Arc, time::Duration};

const SERVICE_FABRIC: &str = "Name a cluster with a `ServiceFabric` service in `backend-id` instead.";

const DAPR: &str = "Name the URL of the Dapr sidecar in `base-url` instead.";

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "forward-request",
        sections: "b",
        scopes: &[],
        is_once: true,
        bare: None,
        attributes: &[
            attribute(
                "timeout",
                Kind::Number(0.0, 86_400.0),
                "Seconds until the head of the response. Default: the timeout of the API.",
            )
            .dynamic(),
            attribute("timeout-ms", Kind::Number(1.0, 86_400_000.0), "The same in milliseconds.").dynamic(),
            not_yet(
                "continue-timeout",
                "The gateway answers `Expect: 100-continue` itself, and sends the body to the service at once: remove it.",
            ),
            attribute(
                "http-version",
                Kind::Choice(&["1", "2or1", "2"]),
                "The HTTP version; `2or1`: as the service negotiates it. Default: that of the backend.",
            ),
            attribute(
                "follow-redirects",
                Kind::Bool,
                "Whether redirects are followed, up to 5, to the same host and to those of `Callouts.Allow`. Default: false.",
            )
            .dynamic(),
            flag(
                "buffer-request-body",
                "Whether the request is held as a whole before it is sent. Default: false.",
            ),
            flag(
                "buffer-response",
                "Whether the response is held as a whole before `outbound`. Default: false.",
            ),
            flag("fail-on-error-status-code", "Whether 400 to 599 leads to `on-error`. Default: false."),
        ],
        about: "Sends the request to the service.",
        compile: forward_request,
    },
    Spec {
        name: "set-backend-service",
        sections: "ib",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("base-url", "The URL of the service."),
            expression("backend-id", "One of `Backends`, else of `Clusters`."),
            not_yet("sf-resolve-condition", SERVICE_FABRIC),
            not_yet("sf-service-instance-name", SERVICE_FABRIC),
            not_yet("sf-partition-key", SERVICE_FABRIC),
            not_yet("sf-listener-name", SERVICE_FABRIC),
            not_yet("dapr-app-id", DAPR),
            not_yet("dapr-method", DAPR),
            not_yet("dapr-namespace", DAPR),
        ],
        about: "Sends the request to another service.",
        compile: set_backend,
    },
    Spec {
        name: "rewrite-uri",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("template", "The path and query behind the base path of the service.").required(),
            flag(
                "copy-unmatched-params",
                "Whether the other parameters of the request are added. Default: true.",
            ),
        ],
        about: "Replaces the path of the request to the service.",
        compile: rewrite_uri,
    },
];

fn forward_request(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    if args.has("timeout") && args.has("timeout-ms") {
        let message = "`forward-request` has either `timeout` or `timeout-ms`";
        compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span_of("timeout-ms"), message);
        return None;
    }
    done(ForwardRequest {
        timeout: args.template("timeout"),
        timeout_ms: args.template("timeout-ms"),
        follow_redirects: args.template("follow-redirects"),
        buffers_request: args.flag("buffer-request-body", false),
        buffers_response: args.flag("buffer-response", false),
        fails_on_error_status: args.flag("fail-on-error-status-code", false),
        http2: args.text("http-version").map(|version| match &*version {
            "1" => Http2::Never,
            "2" => Http2::Always,
            _ => Http2::IfNegotiated,
        }),
    })
}

/// Sends the request; the built-in one has no attributes.
#[derive(Debug, Default)]
pub struct ForwardRequest {
    timeout: Option<Template>,
    timeout_ms: Option<Template>,
    follow_redirects: Option<Template>,
    buffers_request: bool,
    buffers_response: bool,
    fails_on_error_status: bool,
    http2: Option<Http2>,
}

impl ForwardRequest {
    fn options(&self, context: &Context<'_>) -> Result<ForwardOptions, Failure> {
        let seconds = self.timeout.as_ref().map(|timeout| timeout.number(context)).transpose()?;
        let millis = self.timeout_ms.as_ref().map(|timeout| timeout.number(context)).transpose()?;
        let seconds = seconds.or(millis.map(|millis| millis / 1000.0));
        let timeout = seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.001, 86_400.0)));
        let follow_redirects = switch(&self.follow_redirects, false, context)?;
        Ok(ForwardOptions { timeout, follow_redirects, http2: self.http2 })
    }

    async fn forward(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let options = self.options(context)?;
        crate::stages::program::forward::forward(context, options).await?;
        if self.buffers_response {
            crate::stages::program::body::collect_backend_response(context).await?;
        }
        let status = context.response.as_ref().map_or(0, |response| response.head.status);
        if self.fails_on_error_status && (400..600).contains(&status) {
            let response = context.response.take().map(Box::new);
            let code = crate::pipeline::error::ErrorCode::BackendMalformed;
            let failure =
                Failure::new("BackendErrorStatus", code, format!("The service responded with {status}."));
            return Err(Failure { response, ..failure });
        }
        Ok(Flow::Next)
    }
}

impl Statement for ForwardRequest {
    fn usage(&self) -> Usage {
        let mut usage = usage_of(self.timeout.iter().chain(&self.timeout_ms).chain(&self.follow_redirects));
        // A redirect may repeat the request with its body.
        let never = |template: &Template| {
            template.literal_text().is_some_and(|text| text.eq_ignore_ascii_case("false"))
        };
        usage.request_body |= self.buffers_request;
        usage.request_body |= self.follow_redirects.as_ref().is_some_and(|follows| !never(follows));
        usage
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.forward(context))
    }

    fn forwards(&self) -> bool {
        true
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

fn set_backend(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let (url, id) = (args.template("base-url"), args.template("backend-id"));
    match (&url, &id) {
        (Some(url), None) => {
            if let Some(text) = url.literal_text()
                && ServiceUrl::parse(&text).is_none()
            {
                compiler
                    .diagnostics
                    .error(codes::POLICY_ATTRIBUTE, args.span_of("base-url"), "invalid `base-url`")
                    .help("must be an absolute URL such as https://api.example.com/base");
                return None;
            }
        }
        (None, Some(id)) => known_backend(id, args, compiler)?,
        _ => {
            compiler.diagnostics.error(
                codes::POLICY_ATTRIBUTE,
                args.span,
                "`set-backend-service` has either `base-url` or `backend-id`",
            );
            return None;
        }
    }
    done(SetBackend { url, id })
}

/// Reports a backend that does not exist.
pub(super) fn known_backend(
    id: &Template,
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<()> {
    let Some(name) = id.literal_text() else { return Some(()) };
    if compiler.facts.backends.contains(&name.to_lowercase()) {
        return Some(());
    }
    let known = compiler.facts.backend_names.iter().map(String::as_str);
    let near = crate::config::suggest::closest_match(&name, known).map(str::to_owned);
    let span = args.span_of("backend-id");
    let diagnostic =
        compiler.diagnostics.error(codes::POLICY_BACKEND, span, format!("unknown backend \"{name}\""));
    match near {
        Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
        None => diagnostic.help("add it to Backends or to Clusters"),
    };
    None
}

#[derive(Debug)]
struct SetBackend {
    url: Option<Template>,
    id: Option<Template>,
}

impl Statement for SetBackend {
    fn usage(&self) -> Usage {
        usage_of(self.url.iter().chain(&self.id))
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        if let Some(url) = &self.url {
            let text = url.text_or_empty(context)?;
            let url = ServiceUrl::parse(&text).ok_or_else(|| {
                Failure::statement("set-backend-service: the URL is not an absolute http(s) URL")
            })?;
            context.target.url = Some(Arc::new(url));
            context.backend = None;
            context.has_own_service = true;
        }
        if let Some(id) = &self.id {
            let id = id.text_or_empty(context)?.to_lowercase();
            let backend = context.shared.backends.get(&id).cloned();
            let backend =
                backend.ok_or_else(|| Failure::statement("set-backend-service: unknown backend"))?;
            if let crate::stages::program::backend::Backend::Single(service) = &*backend {
                context.target.url.clone_from(&service.url);
            }
            context.has_own_service = false;
            context.backend = Some(backend);
        }
        Ok(Flow::Next)
    }
}

fn rewrite_uri(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let template = args.required("template");
    if let (Some(text), Some(known)) = (template.literal_text(), &compiler.placeholders) {
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        known.sort_unstable();
        if let Some(name) = placeholders(&text).into_iter().find(|name| !known.contains(&name.as_str())) {
            let near = crate::config::suggest::closest_match(&name, known.iter().copied()).map(str::to_owned);
            let message = format!("no operation has the placeholder `{name}`");
            let diagnostic =
                compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span_of("template"), message);
            match near {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => {
                    diagnostic.help(format!("the placeholders are {}", crate::config::suggest::list(&known)))
                }
            };
            return None;
        }
    }
    done(RewriteUri { template, copies_unmatched: args.flag("copy-unmatched-params", true) })
}

/// The names in braces.
fn placeholders(text: &str) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, next)) = after.split_once('}') else { break };
        names.push(name.to_owned());
        rest = next;
    }
    names
}

#[derive(Debug)]
struct RewriteUri {
    template: Template,
    copies_unmatched: bool,
}

impl Statement for RewriteUri {
    fn usage(&self) -> Usage {
        self.template.usage()
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let text = self.template.text_or_empty(context)?;
        let filled = fill(&text, context)?;
        let (path, query) = filled.split_once('?').unwrap_or((&filled, ""));
        if filled.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(Failure::statement("rewrite-uri: the path contains a space or a line break"));
        }
        let mut query = query.to_owned();
        if self.copies_unmatched {
            copy_unmatched(context, &mut query);
        }
        context.target.path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        context.target.query = query;
        Ok(Flow::Next)
    }
}

/// Replaces the placeholders by the values of the operation, as the client spelled them.
fn fill(text: &str, context: &Context<'_>) -> Result<String, Failure> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, next)) = after.split_once('}') else { break };
        filled.push_str(before);
        let value = context.raw_parameter(name);
        filled.push_str(&value.ok_or_else(|| Failure::statement("rewrite-uri: unknown placeholder"))?);
        rest = next;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Adds the parameters of the request that neither the operation nor the new query names.
fn copy_unmatched(context: &Context<'_>, query: &mut String) {
    let name_of = |part: &str| decoded(part.split('=').next().unwrap_or_default(), true);
    let mut known: HashSet<String> = query.split('&').filter(|part| !part.is_empty()).map(name_of).collect();
    if let Some(operation) = context.operation.and_then(|target| target.operation.as_ref()) {
        known.extend(operation.template.query_names().map(str::to_owned));
    }
    let own = context.target.query.clone();
    for part in own.split('&').filter(|part| !part.is_empty() && !known.contains(&name_of(part))) {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(part);
    }
}
