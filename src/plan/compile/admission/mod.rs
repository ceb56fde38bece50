//! Who is let in, how often, how many at one time, and how large a request may be: from option objects to settings.

mod cors;
mod period;
mod rate_limit;

use super::limits;
use super::route::RouteCompiler;
use crate::base::ip_set::IpRange;
use crate::config::document::{
    ConcurrencyLimitDocument, ConcurrencyLimitOptions, List, RequestSizeOptions, Setting,
};
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::admission::Admission;
use crate::plan::check::items;
use crate::plan::inherit::{self, Authentication, merge};
use crate::stages::concurrency_limit;
use crate::stages::ip_filter::IpFilter;
use crate::stages::partition_key::{self, KeyPart};
use crate::stages::request_size::RequestSize;
use std::time::Duration;

impl RouteCompiler<'_, '_, '_> {
    /// Everything of the route that admits requests, its mistakes going to the diagnostics.
    pub(super) fn admission(&mut self, state_key: &str) -> Admission {
        Admission {
            addresses: self.ip_filter(),
            cors: self.cors(),
            request_size: self.request_size(),
            rate_limit: self.rate_limits(state_key),
            concurrency: self.concurrency(state_key),
        }
    }

    fn key(&self) -> Option<&str> {
        self.document.key.as_ref().map(|key| key.as_str())
    }

    /// Entries that are no addresses were reported; Ocelot ignores them.
    fn ip_filter(&self) -> Option<IpFilter> {
        let options = inherit::security(&self.document.security, &self.scope.global.security)?;
        let set =
            |list: &List<String>| items(list).iter().filter_map(|entry| IpRange::parse(entry)).collect();
        let addresses = IpFilter {
            allowed: set(&options.allowed),
            blocked: set(&options.blocked),
            exclude_allowed: options.exclude_allowed.as_ref().is_some_and(|on| on.value),
        };
        Some(addresses).filter(|addresses| !addresses.is_empty())
    }

    fn request_size(&mut self) -> Option<RequestSize> {
        let group = self.scope.groups.request_size.as_ref();
        let options = merge(&self.document.request_size, group, self.key())?.into_owned();
        let written = self.scope.check_document.limits.as_ref().map(|limits| &limits.value);
        // What is wrong with the limits themselves is said elsewhere.
        let limits = limits::limits(written, self.scope.ocelot, &mut Diagnostics::default());
        let RequestSizeOptions {
            max_request_body_size,
            max_request_headers_total_size,
            max_request_header_count,
        } = options;
        let size = |set: &Setting<_>| {
            set.as_ref()
                .map(|size: &Spanned<crate::base::units::SizeText>| Spanned::new(size.value.0, size.span))
        };
        let count = self.positive_count(&max_request_header_count, "MaxRequestHeaderCount");
        let body = self.within_limits(
            "MaxRequestBodySize",
            size(&max_request_body_size),
            limits.body.unwrap_or(u64::MAX),
        );
        let headers = size(&max_request_headers_total_size);
        let headers = self.within_limits("MaxRequestHeadersTotalSize", headers, limits.headers_total as u64);
        let count = self.within_limits("MaxRequestHeaderCount", count, limits.header_count as u64);
        let size = RequestSize {
            max_body: body,
            max_headers_bytes: headers.map(|n| n as usize),
            max_header_count: count.map(|n| n as usize),
        };
        Some(size).filter(|size| !size.is_empty())
    }

    fn within_limits(&mut self, name: &str, set: Option<Spanned<u64>>, most: u64) -> Option<u64> {
        let set = set?;
        if set.value > most {
            let message = format!("{name} is {}, and Limits lets in {most}", set.value);
            self.diagnostics
                .error(codes::LARGER_THAN_LIMITS, set.span, message)
                .help(format!("write a smaller number, or raise Limits.{name}"));
        }
        Some(set.value)
    }

    /// A whole number greater than zero.
    fn positive_count(&mut self, set: &Setting<i64>, name: &str) -> Option<Spanned<u64>> {
        let set = set.as_ref()?;
        if set.value < 1 {
            self.diagnostics
                .error(codes::BAD_COUNT, set.span, format!("{name} is {}", set.value))
                .help("write a number greater than zero");
        }
        Some(Spanned::new(u64::try_from(set.value).unwrap_or(1).max(1), set.span))
    }

    /// What is counted apart; parts that mean nothing are said to.
    fn partition_parts(
        &mut self,
        written: &[Spanned<String>],
        client_id_header: Option<&str>,
    ) -> Vec<KeyPart> {
        let mut parts = Vec::with_capacity(written.len());
        for text in written {
            let part = KeyPart::parse(text, client_id_header.unwrap_or_default());
            match part.filter(|part| client_id_header.is_some() || !matches!(part, KeyPart::ClientId(_))) {
                Some(part) if !parts.contains(&part) => {
                    self.warn_anonymous_claims(&part, text.span);
                    parts.push(part);
                }
                Some(_) => {}
                None => {
                    let client_id = if client_id_header.is_some() { "ClientId, " } else { "" };
                    self.diagnostics
                        .error(
                            codes::BAD_PARTITION,
                            text.span,
                            format!("PartitionBy cannot hold \"{}\"", text.value),
                        )
                        .help(format!("write {client_id}IP, Route, Claim:TYPE or Header:NAME"));
                }
            }
        }
        parts
    }
}

/// What is wrong.
impl RouteCompiler<'_, '_, '_> {
    /// Callers who never say who they are have no claims: all of them count as one.
    fn warn_anonymous_claims(&mut self, part: &KeyPart, place: Span) {
        let group = self.scope.groups.authentication.as_ref();
        let options = merge(&self.document.authentication, group, self.key());
        let asked = options.is_some_and(|options| Authentication::resolve(&options).is_requested().is_some());
        if part.is_claim() && !asked {
            let message =
                "callers are told apart by a claim, and not asked who they are: all of them count as one";
            self.diagnostics.warning(codes::NOBODY_TO_JUDGE, place, message).help(
                "name the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }",
            );
        }
    }
}

/// Concurrency.
impl RouteCompiler<'_, '_, '_> {
    fn concurrency(&mut self, state_key: &str) -> Vec<concurrency_limit::Settings> {
        let group = self.scope.groups.concurrency.as_ref();
        let Some(options) = merge(&self.document.concurrency, group, self.key()).map(|o| o.into_owned())
        else {
            return Vec::new();
        };
        if options.enable_concurrency_limit.as_ref().is_some_and(|on| !on.value) {
            return Vec::new();
        }
        let place = self.document.concurrency.as_ref().map(|own| own.span);
        let place = place.or(self.scope.global.concurrency.as_ref().map(|global| global.span));
        let place = place.unwrap_or(self.document.span);
        let own = ConcurrencyLimitDocument { limit: options.limit.clone(), ..Default::default() };
        let several = items(&options.limits).iter().map(|limit| (limit.value.clone(), limit.span));
        let own = (options.limit.is_some() || options.limits.is_none()).then_some((own, place));
        let all: Vec<_> = own.into_iter().chain(several).collect();
        all.iter().map(|(limit, place)| self.places(limit, *place, &options, state_key)).collect()
    }

    fn places(
        &mut self,
        limit: &ConcurrencyLimitDocument,
        place: Span,
        around: &ConcurrencyLimitOptions,
        state_key: &str,
    ) -> concurrency_limit::Settings {
        if limit.limit.is_none() {
            self.diagnostics
                .error(codes::LIMIT_MISSING, place, "a concurrency limit without a Limit")
                .help("write how many requests may be under way at one time: \"Limit\": 100");
        }
        let most = self.positive_count(&limit.limit, "Limit").map_or(1, |n| n.value);
        let queue = limit.queue_limit.as_ref().or(around.queue_limit.as_ref());
        if let Some(queue) = queue.filter(|queue| queue.value < 0) {
            let message = format!("QueueLimit is {}", queue.value);
            self.diagnostics.error(codes::BAD_COUNT, queue.span, message).help("write 0 or more");
        }
        let wait = limit.queue_timeout.as_ref().or(around.queue_timeout.as_ref());
        let range = Duration::from_millis(1)..=Duration::from_secs(600);
        if let Some(wait) = wait.filter(|wait| !range.contains(&wait.value.0)) {
            let message = format!("QueueTimeout is {}", wait.value);
            self.diagnostics.error(codes::BAD_MAX_TIME, wait.span, message).help("it may be 1ms to 10m");
        }
        let by =
            if items(&limit.partition_by).is_empty() { &around.partition_by } else { &limit.partition_by };
        let parts = match items(by) {
            [] => vec![KeyPart::Route],
            by => self.partition_parts(by, None),
        };
        concurrency_limit::Settings {
            limit: usize::try_from(most).unwrap_or(usize::MAX),
            queue: queue.map_or(0, |queue| usize::try_from(queue.value).unwrap_or(0)),
            queue_timeout: wait.map_or(Duration::from_secs(1), |wait| wait.value.0),
            name: limit_name(&parts, "", state_key),
            partition_by: parts,
        }
    }
}

/// Under which name a limit counts: with the route's own where routes are counted apart.
fn limit_name(parts: &[KeyPart], rule: &str, state_key: &str) -> String {
    let route = if parts.contains(&KeyPart::Route) { state_key } else { "" };
    format!("{rule}|{}|{route}", partition_key::format_list(parts))
}
