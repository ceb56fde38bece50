//! `CacheOptions` → the cache of a route.

use super::{CacheConfig, Mode, Statuses, freshness::Defaults, key::KeyRules, options::CacheOptions};
use crate::{
    base::{bytes::is_token, units::DurationText},
    config::{
        Span, codes,
        ranges::RangeChecker,
        suggest,
        values::{List, Setting, items, non_blank},
    },
    stages::feature::{CompileContext, Feature},
};
use std::time::Duration;

const MODES: [&str; 3] = ["Ocelot", "Http", "Off"];
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// The header of Ocelot's key.
const HEADER: &str = "OC-Cache-Control";

impl Feature for CacheOptions {
    type Config = CacheConfig;

    fn compile(&self, context: &mut CompileContext) -> Option<CacheConfig> {
        let mut compiler = CacheCompiler { ocelot: context.gateway.ocelot, context };
        let mode = compiler.cache_mode(self)?;
        compiler.cache_contradictions(self, mode);
        compiler.config(self, mode)
    }
}

/// nginx's `proxy_cache_lock_timeout`.
const DEFAULT_COALESCING_TIMEOUT: Duration = Duration::from_secs(5);

struct CacheCompiler<'c, 'd> {
    ocelot: bool,
    context: &'c mut CompileContext<'d>,
}

impl CacheCompiler<'_, '_> {
    fn config(&mut self, options: &CacheOptions, mode: Mode) -> Option<CacheConfig> {
        let ttl =
            options.ttl_seconds.as_ref().and_then(|ttl| u64::try_from(ttl.value).ok()).filter(|n| *n > 0);
        let route = self.context.route;
        let region =
            non_blank(&options.region).map_or_else(|| route.state_key.to_owned(), |name| name.value.clone());
        let config = CacheConfig {
            mode,
            ocelot_exact: self.ocelot && mode == Mode::Ocelot,
            defaults: self.defaults(options, ttl.map(Duration::from_secs)),
            methods: self.cache_methods(options, mode),
            statuses: self.cache_statuses(options, mode),
            key: self.cache_key(options, mode, route.is_authenticated),
            region,
            hash_body: mode == Mode::Ocelot && is_mode(&options.enable_content_hashing, false),
            coalesce: is_mode(&options.collapse, !self.ocelot),
            coalescing_timeout: self
                .cache_time(&options.collapse_timeout, "CollapseTimeout")
                .unwrap_or(DEFAULT_COALESCING_TIMEOUT),
            cookies: is_mode(&options.store_cookies, self.ocelot && mode == Mode::Ocelot),
            namespace: (route.request_identity)(),
        };
        if let Some(region) = options.region.as_ref().filter(|_| options.ttl_seconds.is_none()) {
            self.warn_no_ttl(mode, region.span);
        }
        (mode == Mode::Http || ttl.is_some()).then_some(config)
    }

    /// Ocelot ignores such options too, without a word.
    fn warn_no_ttl(&mut self, mode: Mode, span: Span) {
        if mode == Mode::Ocelot && !self.ocelot {
            let message = "CacheOptions without TtlSeconds: no response is cached";
            let diagnostic = self.context.diagnostics.warning(codes::CACHE_NO_TTL, span, message);
            diagnostic.help("set \"TtlSeconds\": 60, or \"Mode\": \"Http\" for the times of the responses");
        }
    }

    fn defaults(&mut self, options: &CacheOptions, ttl: Option<Duration>) -> Defaults {
        let stale = self.cache_time(&options.stale_while_revalidate, "StaleWhileRevalidate");
        Defaults {
            ttl,
            negative: self.cache_time(&options.negative_ttl, "NegativeTtl"),
            stale_while_revalidate: stale.unwrap_or_default(),
            stale_if_error: self.cache_time(&options.stale_if_error, "StaleIfError").unwrap_or_default(),
        }
    }

    fn cache_mode(&mut self, options: &CacheOptions) -> Option<Mode> {
        let Some(mode) = non_blank(&options.mode) else { return Some(Mode::Ocelot) };
        match mode.to_ascii_lowercase().as_str() {
            "ocelot" => Some(Mode::Ocelot),
            "http" => Some(Mode::Http),
            "off" => None,
            _ => {
                let message = format!("unknown cache mode \"{}\"", mode.value);
                let diagnostic = self.context.diagnostics.error(codes::CACHE_MODE, mode.span, message);
                match suggest::closest_match(mode, MODES.iter().copied()) {
                    Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
                    None => diagnostic.help("expected \"Http\", \"Ocelot\" or \"Off\""),
                };
                None
            }
        }
    }

    /// Reports settings that have no effect in the mode.
    fn cache_contradictions(&mut self, options: &CacheOptions, mode: Mode) {
        fn span<T>(set: &Setting<T>) -> Option<Span> {
            set.as_ref().map(|set| set.span)
        }
        let of_http = [
            (span(&options.stale_while_revalidate), "StaleWhileRevalidate"),
            (span(&options.stale_if_error), "StaleIfError"),
            (span(&options.negative_ttl), "NegativeTtl"),
        ];
        let hashing = options.enable_content_hashing.as_ref().filter(|on| on.value);
        let of_ocelot = [(hashing.map(|set| set.span), "EnableContentHashing")];
        let (unused, other): (&[_], _) = match mode {
            Mode::Http => (&of_ocelot, "Ocelot"),
            Mode::Ocelot => (&of_http, "Http"),
        };
        for (span, name) in unused {
            if let Some(span) = span {
                let message = format!("{name} has no effect in this cache mode");
                self.context
                    .diagnostics
                    .error(codes::CACHE_SETTING, *span, message)
                    .help(format!("remove it, or set \"Mode\": \"{other}\""));
            }
        }
    }

    fn cache_time(&mut self, set: &Setting<DurationText>, name: &str) -> Option<Duration> {
        set.is_some().then(|| {
            let mut read = RangeChecker::for_code(codes::CACHE_TIME, self.context.diagnostics);
            read.time(name, set, YEAR, Duration::ZERO, YEAR)
        })
    }

    fn cache_methods(&mut self, options: &CacheOptions, mode: Mode) -> Vec<String> {
        let methods = items(&options.methods);
        for method in methods {
            let is_cacheable = ["GET", "HEAD", "POST"].iter().any(|known| known.eq_ignore_ascii_case(method));
            if !is_token(method.as_bytes()) || mode == Mode::Http && !is_cacheable {
                let message = format!("responses to {} are not cacheable", method.value);
                self.context
                    .diagnostics
                    .error(codes::CACHE_METHOD, method.span, message)
                    .help("expected GET, HEAD or POST");
            }
        }
        match methods {
            [] if self.ocelot && mode == Mode::Ocelot => Vec::new(),
            [] => vec!["GET".to_owned(), "HEAD".to_owned()],
            methods => methods.iter().map(|method| method.to_ascii_uppercase()).collect(),
        }
    }

    fn cache_statuses(&mut self, options: &CacheOptions, mode: Mode) -> Statuses {
        let statuses = items(&options.status_codes);
        for status in statuses {
            if !(200..600).contains(&status.value) || matches!(status.value, 206 | 304) {
                let message = format!("responses with status {} are not cacheable", status.value);
                self.context
                    .diagnostics
                    .error(codes::CACHE_STATUS, status.span, message)
                    .help("must be between 200 and 599, except 206 and 304");
            }
        }
        match (statuses, mode) {
            ([], Mode::Http) => Statuses::Standard,
            ([], Mode::Ocelot) if self.ocelot => Statuses::All,
            ([], Mode::Ocelot) => Statuses::Successful,
            (statuses, _) => {
                Statuses::Listed(statuses.iter().filter_map(|one| u16::try_from(one.value).ok()).collect())
            }
        }
    }

    fn cache_key(&mut self, options: &CacheOptions, mode: Mode, authenticated: bool) -> KeyRules {
        let exact = self.ocelot && mode == Mode::Ocelot;
        let mut headers: Vec<Box<str>> = Vec::new();
        match (non_blank(&options.header), mode) {
            (Some(header), _) => headers.push(header.as_str().into()),
            (None, Mode::Ocelot) => headers.push(HEADER.into()),
            (None, Mode::Http) => {}
        }
        headers.extend(self.cache_headers(&options.vary_by_header));
        let claims = self.cache_claims(&options.vary_by_claim, authenticated);
        let by_identity = is_mode(&options.vary_by_identity, claims.is_empty() && !self.ocelot);
        let identity = authenticated && by_identity;
        if authenticated && !identity && claims.is_empty() && options.vary_by_identity.is_none() {
            self.warn_shared_responses(options, &headers);
        }
        KeyRules {
            query: cache_query(&options.vary_by_query),
            headers,
            claims,
            identity,
            per_identity: !exact,
            credentials: !exact && mode == Mode::Ocelot,
            ocelot_literal: exact,
        }
    }

    /// Ocelot serves responses to all callers, whichever caller they were made for.
    fn warn_shared_responses(&mut self, options: &CacheOptions, headers: &[Box<str>]) {
        if headers.iter().any(|name| name.eq_ignore_ascii_case("authorization")) {
            return;
        }
        let span = options.ttl_seconds.as_ref().map(|ttl| ttl.span);
        let span = span.or(options.mode.as_ref().map(|mode| mode.span)).unwrap_or(self.context.route.span);
        self.context.diagnostics
            .warning(codes::CACHE_SHARED, span, "cached responses are shared between authenticated callers, as in Ocelot")
            .help("set \"VaryByIdentity\": true, or \"Header\": \"Authorization\"; \"VaryByIdentity\": false confirms the sharing");
    }

    fn cache_headers(&mut self, list: &List<String>) -> Vec<Box<str>> {
        for name in items(list).iter().filter(|name| !is_token(name.as_bytes())) {
            let message = format!("invalid header name \"{}\" in VaryByHeader", name.value);
            self.context.diagnostics.error(codes::CACHE_KEY, name.span, message);
        }
        items(list).iter().map(|name| name.as_str().into()).collect()
    }

    fn cache_claims(&mut self, list: &List<String>, authenticated: bool) -> Vec<Box<str>> {
        for name in items(list).iter().filter(|name| name.trim().is_empty()) {
            self.context.diagnostics.error(codes::CACHE_KEY, name.span, "empty claim name in VaryByClaim");
        }
        if let Some(list) = list.as_ref().filter(|list| !authenticated && !list.is_empty()) {
            let message = "responses vary by a claim, but callers do not authenticate";
            self.context.diagnostics.warning(codes::CLAIMS_WITHOUT_AUTHENTICATION, list.span, message).help(
                "set the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }",
            );
        }
        items(list).iter().map(|name| name.as_str().into()).collect()
    }
}

fn is_mode(set: &Setting<bool>, default: bool) -> bool {
    set.as_ref().map_or(default, |on| on.value)
}

/// `None`: the whole query.
fn cache_query(list: &List<String>) -> Option<Vec<Box<str>>> {
    let names = items(list);
    let all = names.is_empty() || names.iter().any(|name| name.value == "*");
    (!all).then(|| names.iter().map(|name| name.as_str().into()).collect())
}
