//! `cache-lookup` and `cache-store`: responses.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    messages::{switch, word},
    value_cache::seconds,
};
use crate::{
    base::expr::{HeldResponse, ResponsePart, Usage, Value},
    config::codes,
    pipeline::{body::Body, response::Response},
    stages::program::{
        Context, Failure, Flow, Statement, StatementFuture, Template, body::collect_backend_response,
        template::usage_of,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) const CLIENT_CACHING: [&str; 3] = ["none", "private", "public"];

pub(super) const TYPES: [&str; 3] = ["internal", "external", "prefer-external"];

/// `external` needs a shared cache.
pub(super) fn check_type(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<()> {
    let is_external = args.text("caching-type").is_some_and(|kind| &*kind == "external");
    if is_external {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span_of("caching-type"), "there is no external cache")
            .help("use \"prefer-external\"");
        return None;
    }
    Some(())
}

pub(super) fn lookup(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    check_type(args, compiler)?;
    let names = |name: &str| {
        let all = args.templates(name)?;
        let texts = all.iter().filter_map(Template::literal_text);
        let parts: Vec<String> = texts
            .flat_map(|text| text.split(';').map(|part| part.trim().to_owned()).collect::<Vec<_>>())
            .collect();
        Some(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>())
    };
    done(CacheLookup {
        by_user: args.template("vary-by-developer"),
        by_groups: args.template("vary-by-developer-groups"),
        client_caching: args.template("downstream-caching-type"),
        revalidate: args.template("must-revalidate"),
        allows_private: args.template("allow-private-response-caching"),
        headers: names("vary-by-header").unwrap_or_default(),
        parameters: names("vary-by-query-parameter"),
    })
}

#[derive(Debug)]
struct CacheLookup {
    by_user: Option<Template>,
    by_groups: Option<Template>,
    client_caching: Option<Template>,
    revalidate: Option<Template>,
    allows_private: Option<Template>,
    headers: Vec<String>,
    parameters: Option<Vec<String>>,
}

/// What `cache-lookup` leaves for `cache-store`.
struct LookupNote {
    key: String,
    client_caching: &'static str,
    revalidates: bool,
    is_hit: bool,
}

impl CacheLookup {
    /// The part of the key that query parameters and headers make.
    fn varying(&self, context: &Context<'_>) -> (String, Vec<String>) {
        let target = context.operation;
        let query = match &self.parameters {
            None => crate::stages::program::run::without_parameter(
                &context.original.query,
                target.map_or("", |target| target.api.key_query.as_str()),
            ),
            Some(names) => names
                .iter()
                .map(|name| {
                    let value = crate::stages::program::target::query_value(&context.original.query, name);
                    format!("{name}={}", value.unwrap_or("\u{0}"))
                })
                .collect::<Vec<_>>()
                .join("&"),
        };
        let head = &context.exchange.request;
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|name| {
                let lines: Vec<_> = head.get_all(name.as_bytes()).map(String::from_utf8_lossy).collect();
                if lines.is_empty() { format!("{name}:\u{0}") } else { format!("{name}:{}", lines.join(",")) }
            })
            .collect();
        (query, headers)
    }

    fn key(&self, context: &Context<'_>) -> Result<String, Failure> {
        let target = context.operation;
        let (api, version) =
            target.map_or(("", ""), |target| (target.api.id.as_str(), target.api.version.as_str()));
        let (query, headers) = self.varying(context);
        let owner = context.caller.subscription.as_ref().and_then(|subscription| subscription.owner.as_ref());
        let by_user = switch(&self.by_user, false, context)?;
        let by_groups = switch(&self.by_groups, false, context)?;
        let user = owner.filter(|_| by_user).map(|user| user.id.as_str()).unwrap_or_default();
        let groups: Vec<&str> = owner
            .filter(|_| by_groups)
            .iter()
            .flat_map(|user| user.groups.iter().map(|(id, _)| id.as_str()))
            .collect();
        let url = &context.original;
        Ok(format!(
            "response\n{}\n{}:{}\n{api}\n{version}\n{}\n{query}\n{}\n{user}\n{}",
            u8::from(url.is_https),
            url.host.to_lowercase(),
            url.port,
            url.path,
            headers.join("\n"),
            groups.join(",")
        ))
    }
}

impl Statement for CacheLookup {
    fn usage(&self) -> Usage {
        usage_of(
            self.by_user
                .iter()
                .chain(&self.by_groups)
                .chain(&self.client_caching)
                .chain(&self.revalidate)
                .chain(&self.allows_private),
        )
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let is_private = context.exchange.request.get(b"Authorization").is_some();
        if context.exchange.request.method() != b"GET"
            || is_private && !switch(&self.allows_private, false, context)?
        {
            return Ok(Flow::Next);
        }
        let key = self.key(context)?;
        let client_caching = word(&self.client_caching, &CLIENT_CACHING, "none", context)?;
        let revalidates = switch(&self.revalidate, true, context)?;
        let kept = context.shared.counters.kept(&key);
        let is_hit = kept.is_some();
        if let Some(kept) = kept
            && let Value::Response(held, _) = &kept.value
        {
            let mut response = Response::local(held.status, "", "");
            response.head.remove(b"Content-Length");
            response.head.set_status(held.status, held.reason.as_bytes());
            held.headers
                .iter()
                .for_each(|(name, value)| response.head.append(name.as_bytes(), value.as_bytes()));
            response.body = if held.body.is_empty() { Body::Empty } else { Body::Bytes(held.body.clone()) };
            let now = Instant::now();
            let left = kept.expires.saturating_duration_since(now).as_secs_f64().ceil() as u64;
            mark(&mut response, client_caching, revalidates, left);
            response
                .head
                .set(b"Age", now.saturating_duration_since(kept.stored).as_secs().to_string().as_bytes());
            context.response = Some(response);
            context.is_cache_hit = true;
        }
        context
            .notes
            .push(("cache-lookup", Box::new(LookupNote { key, client_caching, revalidates, is_hit })));
        Ok(if is_hit { Flow::EndSection } else { Flow::Next })
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

/// What clients may keep of a response.
fn mark(response: &mut Response, client_caching: &str, revalidates: bool, left: u64) {
    let head = &mut response.head;
    if client_caching == "none" {
        head.set(b"Cache-Control", b"no-store, must-revalidate, no-cache");
        head.set(b"Pragma", b"no-cache");
        return;
    }
    let end = if revalidates { ", must-revalidate" } else { "" };
    head.remove(b"Pragma");
    head.set(b"Cache-Control", format!("{client_caching}, max-age={left}{end}").as_bytes());
}

#[derive(Debug)]
pub(super) struct CacheStore {
    pub(super) duration: Template,
    pub(super) condition: Option<Template>,
}

impl CacheStore {
    async fn store(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let Some(note) = context.note::<LookupNote>("cache-lookup") else { return Ok(Flow::Next) };
        if note.is_hit {
            return Ok(Flow::Next);
        }
        let (key, client_caching, revalidates) = (note.key.clone(), note.client_caching, note.revalidates);
        let status = context.response.as_ref().map_or(0, |response| response.head.status);
        let is_wanted = match &self.condition {
            None => status == 200,
            Some(condition) => condition.bool_value(context)?,
        };
        let duration = seconds(&self.duration, context)?;
        let Some(response) = &context.response else { return Ok(Flow::Next) };
        let varies = response.head.get_all(b"Vary").any(|value| value.contains(&b'*'));
        let is_allowed = is_wanted && !varies && response.head.get(b"Set-Cookie").is_none();
        if is_allowed && !duration.is_zero() {
            collect_backend_response(context).await?;
            keep(context, key, duration);
        }
        if let Some(response) = &mut context.response
            && is_wanted
        {
            mark(response, client_caching, revalidates, duration.as_secs_f64().ceil() as u64);
        }
        Ok(Flow::Next)
    }
}

pub(super) fn keep(context: &Context<'_>, key: String, duration: Duration) {
    let Some(response) = &context.response else { return };
    let hop = ["connection", "keep-alive", "transfer-encoding", "content-length", "age"];
    let headers: Vec<(String, String)> = response
        .head
        .fields()
        .map(|(_, name, value)| {
            (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned())
        })
        .filter(|(name, _)| !hop.iter().any(|hop| hop.eq_ignore_ascii_case(name)))
        .collect();
    let body = match &response.body {
        Body::Bytes(bytes) => bytes.clone(),
        _ => bytes::Bytes::new(),
    };
    let bytes = body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let held = HeldResponse {
        status: response.head.status,
        reason: String::from_utf8_lossy(response.head.reason()).into_owned(),
        headers,
        body,
    };
    let value = Value::Response(Arc::new(held), ResponsePart::Whole);
    context.shared.counters.keep(&key, value, duration, bytes);
}

impl Statement for CacheStore {
    fn usage(&self) -> Usage {
        usage_of(self.condition.iter().chain([&self.duration]))
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.store(context))
    }

    fn runs_dry(&self) -> bool {
        false
    }
}
