//! Who is let in, how often, how many at one time, and how large a request may be: from option objects to settings.

mod cors;
mod period;
mod rates;

use super::own;
use super::route::Reader;
use crate::base::ip::IpRange;
use crate::config::document::{
    ConcurrencyLimitDocument, ConcurrencyLimitOptions, List, RequestSizeOptions, Set,
};
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::admission::Admission;
use crate::plan::check::items;
use crate::plan::inherit::{self, Authentication, merged};
use crate::stages::address::Addresses;
use crate::stages::concurrency;
use crate::stages::partition::{self, Part};
use crate::stages::size::RequestSize;
use std::time::Duration;

impl Reader<'_, '_, '_> {
    /// Everything of the route that admits requests, its mistakes going to the diagnostics.
    pub(super) fn admission(&mut self, state_key: &str) -> Admission {
        Admission {
            addresses: self.addresses(),
            cors: self.cors(),
            size: self.size(),
            rates: self.rates(state_key),
            concurrency: self.concurrency(state_key),
        }
    }

    fn key(&self) -> Option<&str> {
        self.written.key.as_ref().map(|key| key.as_str())
    }

    /// Entries that are no addresses were reported; Ocelot ignores them.
    fn addresses(&self) -> Option<Addresses> {
        let options = inherit::security(&self.written.security, &self.scope.global.security)?;
        let set =
            |list: &List<String>| items(list).iter().filter_map(|entry| IpRange::parse(entry)).collect();
        let addresses = Addresses {
            allowed: set(&options.allowed),
            blocked: set(&options.blocked),
            exclude_allowed: options.exclude_allowed.as_ref().is_some_and(|on| on.value),
        };
        Some(addresses).filter(|addresses| !addresses.is_empty())
    }

    fn size(&mut self) -> Option<RequestSize> {
        let group = self.scope.groups.request_size.as_ref();
        let options = merged(&self.written.request_size, group, self.key())?.into_owned();
        let written = self.scope.document.limits.as_ref().map(|limits| &limits.value);
        // What is wrong with the limits themselves is said elsewhere.
        let limits = own::limits(written, self.scope.ocelot, &mut Diagnostics::default());
        let RequestSizeOptions {
            max_request_body_size,
            max_request_headers_total_size,
            max_request_header_count,
        } = options;
        let size = |set: &Set<_>| {
            set.as_ref()
                .map(|size: &Spanned<crate::base::units::SizeText>| Spanned::new(size.value.0, size.span))
        };
        let count = self.positive(&max_request_header_count, "MaxRequestHeaderCount");
        let body =
            self.within("MaxRequestBodySize", size(&max_request_body_size), limits.body.unwrap_or(u64::MAX));
        let headers = size(&max_request_headers_total_size);
        let headers = self.within("MaxRequestHeadersTotalSize", headers, limits.headers_total as u64);
        let count = self.within("MaxRequestHeaderCount", count, limits.header_count as u64);
        let size =
            RequestSize { body, headers: headers.map(|n| n as usize), count: count.map(|n| n as usize) };
        Some(size).filter(|size| !size.is_empty())
    }

    fn within(&mut self, name: &str, set: Option<Spanned<u64>>, most: u64) -> Option<u64> {
        let set = set?;
        if set.value > most {
            let message = format!("{name} is {}, and Limits lets in {most}", set.value);
            self.out
                .error(codes::LARGER_THAN_LIMITS, set.span, message)
                .help(format!("write a smaller number, or raise Limits.{name}"));
        }
        Some(set.value)
    }

    /// A whole number greater than zero.
    fn positive(&mut self, set: &Set<i64>, name: &str) -> Option<Spanned<u64>> {
        let set = set.as_ref()?;
        if set.value < 1 {
            self.out
                .error(codes::BAD_COUNT, set.span, format!("{name} is {}", set.value))
                .help("write a number greater than zero");
        }
        Some(Spanned::new(u64::try_from(set.value).unwrap_or(1).max(1), set.span))
    }

    /// What is counted apart; parts that mean nothing are said to.
    fn parts(&mut self, written: &[Spanned<String>], client_id_header: Option<&str>) -> Vec<Part> {
        let mut parts = Vec::with_capacity(written.len());
        for text in written {
            let part = Part::parse(text, client_id_header.unwrap_or_default());
            match part.filter(|part| client_id_header.is_some() || !matches!(part, Part::ClientId(_))) {
                Some(part) if !parts.contains(&part) => {
                    self.nobody(&part, text.span);
                    parts.push(part);
                }
                Some(_) => {}
                None => {
                    let client_id = if client_id_header.is_some() { "ClientId, " } else { "" };
                    self.out
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
impl Reader<'_, '_, '_> {
    /// Callers who never say who they are have no claims: all of them count as one.
    fn nobody(&mut self, part: &Part, place: Span) {
        let group = self.scope.groups.authentication.as_ref();
        let options = merged(&self.written.authentication, group, self.key());
        let asked = options.is_some_and(|options| Authentication::of(&options).asked_for().is_some());
        if part.is_claim() && !asked {
            let message =
                "callers are told apart by a claim, and not asked who they are: all of them count as one";
            self.out.warning(codes::NOBODY_TO_JUDGE, place, message).help(
                "name the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }",
            );
        }
    }
}

/// Concurrency.
impl Reader<'_, '_, '_> {
    fn concurrency(&mut self, state_key: &str) -> Vec<concurrency::Settings> {
        let group = self.scope.groups.concurrency.as_ref();
        let Some(options) = merged(&self.written.concurrency, group, self.key()).map(|o| o.into_owned())
        else {
            return Vec::new();
        };
        if options.enable_concurrency_limit.as_ref().is_some_and(|on| !on.value) {
            return Vec::new();
        }
        let place = self.written.concurrency.as_ref().map(|own| own.span);
        let place = place.or(self.scope.global.concurrency.as_ref().map(|global| global.span));
        let place = place.unwrap_or(self.written.span);
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
    ) -> concurrency::Settings {
        if limit.limit.is_none() {
            self.out
                .error(codes::LIMIT_MISSING, place, "a concurrency limit without a Limit")
                .help("write how many requests may be under way at one time: \"Limit\": 100");
        }
        let most = self.positive(&limit.limit, "Limit").map_or(1, |n| n.value);
        let queue = limit.queue_limit.as_ref().or(around.queue_limit.as_ref());
        if let Some(queue) = queue.filter(|queue| queue.value < 0) {
            let message = format!("QueueLimit is {}", queue.value);
            self.out.error(codes::BAD_COUNT, queue.span, message).help("write 0 or more");
        }
        let wait = limit.queue_timeout.as_ref().or(around.queue_timeout.as_ref());
        let range = Duration::from_millis(1)..=Duration::from_secs(600);
        if let Some(wait) = wait.filter(|wait| !range.contains(&wait.value.0)) {
            let message = format!("QueueTimeout is {}", wait.value);
            self.out.error(codes::BAD_MAX_TIME, wait.span, message).help("it may be 1ms to 10m");
        }
        let by =
            if items(&limit.partition_by).is_empty() { &around.partition_by } else { &limit.partition_by };
        let parts = match items(by) {
            [] => vec![Part::Route],
            by => self.parts(by, None),
        };
        concurrency::Settings {
            limit: usize::try_from(most).unwrap_or(usize::MAX),
            queue: queue.map_or(0, |queue| usize::try_from(queue.value).unwrap_or(0)),
            wait: wait.map_or(Duration::from_secs(1), |wait| wait.value.0),
            name: name_of(&parts, "", state_key),
            parts,
        }
    }
}

/// Under which name a limit counts: with the route's own where routes are counted apart.
fn name_of(parts: &[Part], rule: &str, state_key: &str) -> String {
    let route = if parts.contains(&Part::Route) { state_key } else { "" };
    format!("{rule}|{}|{route}", partition::list(parts))
}
