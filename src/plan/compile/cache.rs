//! `CacheOptions` and `Cache`: from what is written to the caches of routes.

use super::ranges::RangeChecker;
use crate::base::units::{DurationText, SizeText};
use crate::config::document::{CacheDocument, CacheOptions, List, RouteDocument, Setting};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::{Match, RouteBlueprint};
use crate::plan::check::{CheckContext, items, non_blank, values};
use crate::plan::inherit::{Authentication, merge};
use crate::stages::cache::{MemoryConfig, Mode, Settings, Statuses, freshness::Defaults, key::KeyRules};
use std::time::Duration;

const MODES: [&str; 3] = ["Ocelot", "Http", "Off"];
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// The header of Ocelot's key.
const HEADER: &str = "OC-Cache-Control";

/// The cache of a route, if it has one.
pub fn of(
    scope: &CheckContext,
    document: &Spanned<RouteDocument>,
    route: &RouteBlueprint,
    diagnostics: &mut Diagnostics,
) -> Option<Settings> {
    CacheCompiler { scope, document, diagnostics: diagnostics }.caching(route)
}

/// What of a route decides about its answers: a change of it begins with an empty cache, a change of addresses does not.
fn namespace(route: &RouteBlueprint) -> String {
    let Match { client_path, case_sensitive, methods, host, header_templates, listeners, .. } =
        &route.matcher;
    let asked = (&client_path.value, case_sensitive, methods, host, header_templates, listeners);
    format!("{asked:?} {:?}", (&route.backend_path.value, &route.backend_method))
}

struct CacheCompiler<'s, 'd, 'o> {
    scope: &'s CheckContext<'d>,
    document: &'s Spanned<RouteDocument>,
    diagnostics: &'o mut Diagnostics,
}

impl CacheCompiler<'_, '_, '_> {
    fn caching(&mut self, route: &RouteBlueprint) -> Option<Settings> {
        let (written, groups) = (self.document, &self.scope.groups);
        let own = if written.old_cache.is_some() { &written.old_cache } else { &written.cache };
        let options = merge(own, groups.cache.as_ref(), route.key.as_deref())?.into_owned();
        let identity = merge(&written.authentication, groups.authentication.as_ref(), route.key.as_deref());
        let authenticated =
            identity.is_some_and(|asked| Authentication::resolve(&asked).is_requested().is_some());
        let mode = self.cache_mode(&options)?;
        let ttl =
            options.ttl_seconds.as_ref().and_then(|ttl| u64::try_from(ttl.value).ok()).filter(|n| *n > 0);
        self.cache_contradictions(&options, mode);
        let settings = Settings {
            mode,
            ocelot_exact: self.scope.ocelot && mode == Mode::Ocelot,
            defaults: Defaults {
                ttl: ttl.map(Duration::from_secs),
                negative: self.cache_time(&options.negative_ttl, "NegativeTtl"),
                stale_while_revalidate: self
                    .cache_time(&options.stale_while_revalidate, "StaleWhileRevalidate")
                    .unwrap_or_default(),
                stale_if_error: self.cache_time(&options.stale_if_error, "StaleIfError").unwrap_or_default(),
            },
            methods: self.cache_methods(&options, mode),
            statuses: self.cache_statuses(&options, mode),
            key: self.cache_key(&options, mode, authenticated),
            region: non_blank(&options.region)
                .map_or_else(|| route.state_key.clone(), |name| name.value.clone()),
            hash_body: mode == Mode::Ocelot && is_mode(&options.enable_content_hashing, false),
            coalesce: is_mode(&options.collapse, !self.scope.ocelot),
            cookies: is_mode(&options.store_cookies, self.scope.ocelot && mode == Mode::Ocelot),
            namespace: namespace(route),
        };
        (mode == Mode::Http || ttl.is_some()).then_some(settings)
    }

    fn cache_mode(&mut self, options: &CacheOptions) -> Option<Mode> {
        let Some(written) = non_blank(&options.mode) else { return Some(Mode::Ocelot) };
        match written.to_ascii_lowercase().as_str() {
            "ocelot" => Some(Mode::Ocelot),
            "http" => Some(Mode::Http),
            "off" => None,
            _ => {
                let message = format!("there is no cache mode \"{}\"", written.value);
                let said = self.diagnostics.error(codes::CACHE_MODE, written.span, message);
                match suggest::closest_match(written, MODES.iter().copied()) {
                    Some(meant) => said.help(format!("did you mean \"{meant}\"?")),
                    None => said.help("write \"Http\", \"Ocelot\" or \"Off\""),
                };
                None
            }
        }
    }

    /// Settings that mean nothing in the mode.
    fn cache_contradictions(&mut self, options: &CacheOptions, mode: Mode) {
        fn place<T>(set: &Setting<T>) -> Option<Span> {
            set.as_ref().map(|set| set.span)
        }
        let of_http = [
            (place(&options.stale_while_revalidate), "StaleWhileRevalidate"),
            (place(&options.stale_if_error), "StaleIfError"),
            (place(&options.negative_ttl), "NegativeTtl"),
        ];
        let hashing = options.enable_content_hashing.as_ref().filter(|on| on.value);
        let of_ocelot = [(hashing.map(|set| set.span), "EnableContentHashing")];
        let (wrong, other): (&[_], _) = match mode {
            Mode::Http => (&of_ocelot, "Ocelot"),
            Mode::Ocelot => (&of_http, "Http"),
        };
        for (place, name) in wrong {
            if let Some(place) = place {
                let message = format!("{name} has no meaning in this cache mode");
                self.diagnostics
                    .error(codes::CACHE_SETTING, *place, message)
                    .help(format!("leave it out, or write \"Mode\": \"{other}\""));
            }
        }
    }

    fn cache_time(&mut self, set: &Setting<DurationText>, name: &str) -> Option<Duration> {
        set.is_some().then(|| {
            let mut read = RangeChecker::for_code(codes::CACHE_TIME, self.diagnostics);
            read.time(name, set, YEAR, Duration::ZERO, YEAR)
        })
    }

    fn cache_methods(&mut self, options: &CacheOptions, mode: Mode) -> Vec<String> {
        let written = items(&options.methods);
        for method in written {
            let kept = ["GET", "HEAD", "POST"].iter().any(|known| known.eq_ignore_ascii_case(method));
            if !values::is_token(method) || mode == Mode::Http && !kept {
                let message = format!("answers to {} are not kept", method.value);
                self.diagnostics
                    .error(codes::CACHE_METHOD, method.span, message)
                    .help("write GET, HEAD or POST");
            }
        }
        match written {
            [] if self.scope.ocelot && mode == Mode::Ocelot => Vec::new(),
            [] => vec!["GET".to_owned(), "HEAD".to_owned()],
            written => written.iter().map(|method| method.to_ascii_uppercase()).collect(),
        }
    }

    fn cache_statuses(&mut self, options: &CacheOptions, mode: Mode) -> Statuses {
        let written = items(&options.status_codes);
        for status in written {
            if !(200..600).contains(&status.value) || matches!(status.value, 206 | 304) {
                let message = format!("answers with the status {} are not kept", status.value);
                self.diagnostics
                    .error(codes::CACHE_STATUS, status.span, message)
                    .help("write statuses of 200 to 599, but 206 and 304");
            }
        }
        match (written, mode) {
            ([], Mode::Http) => Statuses::Standard,
            ([], Mode::Ocelot) if self.scope.ocelot => Statuses::All,
            ([], Mode::Ocelot) => Statuses::Successful,
            (written, _) => {
                Statuses::Listed(written.iter().filter_map(|one| u16::try_from(one.value).ok()).collect())
            }
        }
    }

    fn cache_key(&mut self, options: &CacheOptions, mode: Mode, authenticated: bool) -> KeyRules {
        let exact = self.scope.ocelot && mode == Mode::Ocelot;
        let mut headers: Vec<Box<str>> = Vec::new();
        match (non_blank(&options.header), mode) {
            (Some(header), _) => headers.push(header.as_str().into()),
            (None, Mode::Ocelot) => headers.push(HEADER.into()),
            (None, Mode::Http) => {}
        }
        headers.extend(self.cache_headers(&options.vary_by_header));
        let claims = self.cache_claims(&options.vary_by_claim, authenticated);
        let by_identity = is_mode(&options.vary_by_identity, claims.is_empty() && !self.scope.ocelot);
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

    /// Ocelot gives everybody what it kept for the first.
    fn warn_shared_responses(&mut self, options: &CacheOptions, headers: &[Box<str>]) {
        if headers.iter().any(|name| name.eq_ignore_ascii_case("authorization")) {
            return;
        }
        let place = options.ttl_seconds.as_ref().map(|ttl| ttl.span);
        let place = place.or(options.mode.as_ref().map(|mode| mode.span)).unwrap_or(self.document.span);
        self.diagnostics
            .warning(codes::CACHE_SHARED, place, "callers get answers that were made for other callers, as in Ocelot")
            .help("write \"VaryByIdentity\": true, or \"Header\": \"Authorization\"; \"VaryByIdentity\": false says that it is meant");
    }

    fn cache_headers(&mut self, list: &List<String>) -> Vec<Box<str>> {
        for name in items(list).iter().filter(|name| !values::is_token(name)) {
            let message = format!("VaryByHeader: \"{}\" is not the name of a header", name.value);
            self.diagnostics.error(codes::CACHE_KEY, name.span, message);
        }
        items(list).iter().map(|name| name.as_str().into()).collect()
    }

    fn cache_claims(&mut self, list: &List<String>, authenticated: bool) -> Vec<Box<str>> {
        for name in items(list).iter().filter(|name| name.trim().is_empty()) {
            self.diagnostics.error(codes::CACHE_KEY, name.span, "VaryByClaim: a claim without a name");
        }
        if let Some(list) = list.as_ref().filter(|list| !authenticated && !list.is_empty()) {
            let message = "answers are kept apart by a claim, and callers are not asked who they are";
            self.diagnostics.warning(codes::NOBODY_TO_JUDGE, list.span, message).help(
                "name the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }",
            );
        }
        items(list).iter().map(|name| name.as_str().into()).collect()
    }
}

fn is_mode(set: &Setting<bool>, default: bool) -> bool {
    set.as_ref().map_or(default, |on| on.value)
}

/// None: the whole query.
fn cache_query(list: &List<String>) -> Option<Vec<Box<str>>> {
    let names = items(list);
    let all = names.is_empty() || names.iter().any(|name| name.value == "*");
    (!all).then(|| names.iter().map(|name| name.as_str().into()).collect())
}

const MIN_MEMORY: u64 = 1 << 20;
const MAX_MEMORY: u64 = 1 << 40;

/// The memory for stored answers, each bound within its range.
pub fn memory(document: Option<&CacheDocument>, diagnostics: &mut Diagnostics) -> MemoryConfig {
    let usual = MemoryConfig::default();
    let Some(written) = document else { return usual };
    let size =
        read_size(&written.max_size, "MaxSize", MIN_MEMORY..=MAX_MEMORY, diagnostics).unwrap_or(usual.size);
    let mut regions = Vec::new();
    for (name, region) in written.regions.iter().flat_map(|regions| regions.value.iter()) {
        match read_size(&region.max_size, "MaxSize", MIN_MEMORY..=MAX_MEMORY, diagnostics) {
            Some(bytes) => regions.push((name.value.clone(), bytes)),
            None if region.max_size.is_none() => {
                let message = format!("the region \"{}\" has no MaxSize", name.value);
                diagnostics
                    .error(codes::CACHE_SIZE, region.span, message)
                    .help("such as \"MaxSize\": \"64MiB\"");
            }
            None => {}
        }
    }
    let taken: u64 = regions.iter().map(|(_, bytes)| bytes).sum();
    if taken.saturating_add(MIN_MEMORY) > size {
        let place = written.regions.as_ref().map(|regions| regions.span);
        let message = format!("the regions take {taken} bytes, and MaxSize is {size}");
        diagnostics
            .error(codes::CACHE_SIZE, place, message)
            .help("raise Cache.MaxSize, and leave 1MiB for all other regions");
    }
    let smallest = regions.iter().map(|(_, bytes)| *bytes).chain([size.saturating_sub(taken)]).min();
    let quarter = (smallest.unwrap_or(size) / 4).max(1);
    let largest = read_size(&written.max_object_size, "MaxObjectSize", 1..=quarter, diagnostics);
    MemoryConfig { size, max_object_size: largest.unwrap_or(usual.max_object_size.min(quarter)), regions }
}

fn read_size(
    set: &Setting<SizeText>,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
    diagnostics: &mut Diagnostics,
) -> Option<u64> {
    let Spanned { value: SizeText(bytes), span } = set.as_ref()?;
    if range.contains(bytes) {
        return Some(*bytes);
    }
    let message = format!("{name} is {bytes} bytes");
    let (least, most) = (SizeText(*range.start()), SizeText(*range.end()));
    diagnostics.error(codes::CACHE_SIZE, *span, message).help(format!("it may be {least} to {most}"));
    None
}
