//! `cors`: browsers of other origins.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    cross_domain::SPEC,
    messages::{switch, texts},
    schema::{Kind, attribute},
    spec::Spec,
};
use crate::{
    base::expr::Usage,
    config::codes,
    pipeline::response::Response,
    stages::program::{
        Context, Failure, Flow, Statement, Template, context::AfterResponse, instruction::Preflight,
        template::usage_of,
    },
};
use std::sync::Arc;

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    SPEC,
    Spec {
        name: "cors",
        sections: "i",
        scopes: &[],
        is_once: true,
        bare: None,
        attributes: &[
            attribute(
                "allow-credentials",
                Kind::Bool,
                "Whether responses to requests with credentials may be read. Default: false.",
            )
            .dynamic(),
            attribute(
                "terminate-unmatched-request",
                Kind::Bool,
                "Whether GET and HEAD from other origins get an empty 200. Default: true.",
            )
            .dynamic(),
            attribute("allowed-origins", Kind::Texts, "Origins such as https://app.example, or `*` alone.")
                .dynamic()
                .required(),
            attribute("allowed-methods", Kind::Texts, "Methods, or `*`. Default: GET and POST.").dynamic(),
            attribute(
                "preflight-result-max-age",
                Kind::Number(0.0, 86_400_000.0),
                "Seconds for which browsers keep the answer. Default: 0.",
            )
            .dynamic(),
            attribute("allowed-headers", Kind::Texts, "Headers of requests, or `*`.").dynamic().required(),
            attribute("expose-headers", Kind::Texts, "Headers of responses that scripts may read.").dynamic(),
        ],
        about: "Answers CORS preflight requests and marks responses for other origins.",
        compile,
    },
];

fn compile(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let origins = args.templates("allowed-origins").unwrap_or_default();
    let literals: Vec<Arc<str>> = origins.iter().filter_map(Template::literal_text).collect();
    let is_any = literals.iter().any(|origin| &**origin == "*");
    if is_any && args.flag("allow-credentials", false) {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span, "`allow-credentials` with the origin `*`")
            .help("list the origins");
        return None;
    }
    if is_any && origins.len() > 1 {
        compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span, "`*` must be the only origin");
        return None;
    }
    for origin in literals.iter().filter(|origin| &***origin != "*" && &***origin != "null") {
        if !origin.contains("://") || origin.trim_end_matches('/').matches('/').count() > 2 {
            compiler
                .diagnostics
                .error(codes::POLICY_ATTRIBUTE, args.span, format!("invalid origin \"{origin}\""))
                .help("must be scheme://host[:port]");
            return None;
        }
    }
    done(Cors(Arc::new(Rules {
        credentials: args.template("allow-credentials"),
        terminates: args.template("terminate-unmatched-request"),
        origins,
        methods: args.templates("allowed-methods"),
        max_age: args.template("preflight-result-max-age"),
        headers: args.templates("allowed-headers").unwrap_or_default(),
        exposed: args.templates("expose-headers").unwrap_or_default(),
    })))
}

#[derive(Debug)]
struct Rules {
    credentials: Option<Template>,
    terminates: Option<Template>,
    origins: Vec<Template>,
    methods: Option<Vec<Template>>,
    max_age: Option<Template>,
    headers: Vec<Template>,
    exposed: Vec<Template>,
}

/// The value of `Access-Control-Allow-Origin` for an allowed origin.
#[derive(Debug)]
struct Allowed {
    origin: String,
    credentials: bool,
    exposed: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Cors(Arc<Rules>);

impl Rules {
    fn allowed(&self, origin: &str, context: &Context<'_>) -> Result<Option<Allowed>, Failure> {
        let known = texts(&self.origins, context)?;
        let is_any = known.iter().any(|known| &**known == "*");
        let is_known = known.iter().any(|known| known.trim_end_matches('/').eq_ignore_ascii_case(origin));
        if !is_any && !is_known {
            return Ok(None);
        }
        Ok(Some(Allowed {
            origin: if is_any { "*".to_owned() } else { origin.to_owned() },
            // Browsers refuse `*` together with credentials.
            credentials: !is_any && switch(&self.credentials, false, context)?,
            exposed: texts(&self.exposed, context)?,
        }))
    }

    /// The response to a preflight from an allowed origin.
    fn preflight(&self, allowed: &Allowed, context: &Context<'_>) -> Result<Response, Failure> {
        let request = |name: &[u8]| {
            context.exchange.request.get(name).map(|value| String::from_utf8_lossy(value).trim().to_owned())
        };
        let mut response = Response::local(200, "", "");
        let method = request(b"Access-Control-Request-Method").unwrap_or_default();
        let methods: Vec<Arc<str>> = match &self.methods {
            Some(methods) => texts(methods, context)?,
            None => vec!["GET".into(), "POST".into()],
        };
        let any_method = methods.iter().any(|known| &**known == "*");
        let headers = texts(&self.headers, context)?;
        let any_header = headers.iter().any(|known| &**known == "*");
        let asked = request(b"Access-Control-Request-Headers").unwrap_or_default();
        let mut names = asked.split(',').map(str::trim).filter(|name| !name.is_empty());
        let fits_headers =
            any_header || names.all(|name| headers.iter().any(|known| known.eq_ignore_ascii_case(name)));
        if !(any_method || methods.iter().any(|known| known.eq_ignore_ascii_case(&method))) || !fits_headers {
            return Ok(response);
        }
        let head = &mut response.head;
        head.append(b"Access-Control-Allow-Origin", allowed.origin.as_bytes());
        let methods = if any_method { method } else { methods.join(", ") };
        head.append(b"Access-Control-Allow-Methods", methods.as_bytes());
        let headers = if any_header { asked.clone() } else { headers.join(", ") };
        if !headers.is_empty() {
            head.append(b"Access-Control-Allow-Headers", headers.as_bytes());
        }
        let max_age = self.max_age.as_ref().map(|age| age.int(context)).transpose()?.unwrap_or(0);
        if max_age > 0 {
            head.append(b"Access-Control-Max-Age", max_age.to_string().as_bytes());
        }
        if allowed.credentials {
            head.append(b"Access-Control-Allow-Credentials", b"true");
        }
        if allowed.origin != "*" {
            head.append(b"Vary", b"Origin");
        }
        Ok(response)
    }
}

fn origin(context: &Context<'_>) -> Option<String> {
    context.exchange.request.get(b"Origin").map(|value| String::from_utf8_lossy(value).trim().to_owned())
}

impl Statement for Cors {
    fn usage(&self) -> Usage {
        let rules = &self.0;
        let lists = rules
            .origins
            .iter()
            .chain(&rules.headers)
            .chain(&rules.exposed)
            .chain(rules.methods.iter().flatten());
        usage_of(lists.chain(&rules.credentials).chain(&rules.terminates).chain(&rules.max_age))
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let Some(origin) = origin(context) else { return Ok(Flow::Next) };
        if let Some(allowed) = self.0.allowed(&origin, context)? {
            context.after_response.push(Arc::new(allowed));
            return Ok(Flow::Next);
        }
        let is_read = matches!(context.exchange.request.method(), b"GET" | b"HEAD");
        if is_read && switch(&self.0.terminates, true, context)? {
            return Ok(Flow::End(Box::new(Response::local(200, "", ""))));
        }
        Ok(Flow::Next)
    }

    fn preflight(&self, context: &Context<'_>) -> Option<Preflight> {
        let origin = origin(context)?;
        let empty = || Preflight::Respond(Box::new(Response::local(200, "", "")));
        match self.0.allowed(&origin, context) {
            Ok(Some(allowed)) => Some(
                self.0
                    .preflight(&allowed, context)
                    .map_or_else(|_| empty(), |response| Preflight::Respond(Box::new(response))),
            ),
            Ok(None) if switch(&self.0.terminates, true, context).unwrap_or(true) => Some(empty()),
            Ok(None) => Some(Preflight::Next),
            Err(_) => Some(empty()),
        }
    }
}

impl AfterResponse for Allowed {
    /// Marks the response, in the place of what the service says.
    fn finish(&self, context: &mut Context<'_>) {
        let Some(response) = &mut context.response else { return };
        let head = &mut response.head;
        head.remove_if(|_, name| name.len() > 15 && name[..15].eq_ignore_ascii_case(b"access-control-"));
        head.append(b"Access-Control-Allow-Origin", self.origin.as_bytes());
        if self.credentials {
            head.append(b"Access-Control-Allow-Credentials", b"true");
        }
        if !self.exposed.is_empty() {
            head.append(b"Access-Control-Expose-Headers", self.exposed.join(", ").as_bytes());
        }
        if self.origin != "*" && !head.get_all(b"Vary").any(|vary| vary.eq_ignore_ascii_case(b"origin")) {
            head.append(b"Vary", b"Origin");
        }
    }
}
