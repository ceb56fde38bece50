//! `RateLimitOptions` after inheritance → limits.

use super::super::route::RouteCompiler;
use super::{limit_name, period};
use crate::config::document::{Options, RateLimitDocument};
use crate::config::{Code, Diagnostic, Span, Spanned, codes, suggest};
use crate::plan::check::{OcelotBehavior, OcelotTolerated, items, non_blank};
use crate::plan::inherit::{self, RateLimit};
use crate::stages::partition_key::KeyPart;
use crate::stages::rate_limit::{
    Algorithm, Fields, Limit, Settings, fixed_window::FixedWindow, token_bucket::TokenBucket,
};
use std::num::NonZeroU32;
use std::time::Duration;

const ALGORITHMS: [&str; 2] = ["FixedWindow", "TokenBucket"];

/// A time as text, and where it is written.
type LimitDocument<'w> = (&'w str, Span);

/// One limit before it is understood, with everything it takes from its surroundings.
struct FlatLimit<'w> {
    name: Option<&'w str>,
    limit: Spanned<u64>,
    period: LimitDocument<'w>,
    wait: LimitDocument<'w>,
    algorithm: Option<&'w Spanned<String>>,
    burst: Option<&'w Spanned<i64>>,
    partition: &'w [Spanned<String>],
}

impl RouteCompiler<'_, '_, '_> {
    pub(super) fn rate_limits(&mut self, state_key: &str) -> Option<Settings> {
        let key = self.document.key.as_ref().map(|key| key.as_str());
        let options =
            inherit::rate_limit(&self.document.rate_limit, self.scope.groups.rate_limit.as_ref(), key)?;
        let own = self.document.rate_limit.as_ref().filter(|own| !own.value.is_empty()).map(|own| own.span);
        let place = own.or(self.scope.global.rate_limit.as_ref().map(|global| global.span));
        let place = place.unwrap_or(self.document.span);
        let mut limits = Vec::new();
        let header = KeyPart::ClientId(options.client_id_header.as_str().into());
        let status = self.status(&options, place);
        for raw in self.flatten_limits(&options, place) {
            let partition = match raw.partition {
                [] => vec![header.clone(), KeyPart::Route],
                written => self.partition_parts(written, Some(&options.client_id_header)),
            };
            if let Some(measure) = self.algorithm(&raw) {
                limits.push(self.limit(&raw, measure, partition, &options, status, state_key));
            }
        }
        let fields = match (options.headers, self.scope.ocelot) {
            (false, _) => Fields::None,
            (true, true) => Fields::Ocelot,
            (true, false) => Fields::Both,
        };
        Some(Settings { limits, fields, ocelot: self.scope.ocelot })
    }

    /// The surrounding limit, unless only the list has some, and those of the list.
    fn flatten_limits<'w>(&mut self, options: &'w RateLimit, place: Span) -> Vec<FlatLimit<'w>> {
        let [limit, period, wait, _] = options.places;
        let around = FlatLimit {
            name: None,
            limit: Spanned::new(options.limit.unsigned_abs(), limit.unwrap_or(place)),
            period: (&options.period, period.unwrap_or(place)),
            wait: (&options.wait, wait.unwrap_or(place)),
            algorithm: options.algorithm.as_ref(),
            burst: options.burst.as_ref(),
            partition: options.partition.as_deref().unwrap_or_default(),
        };
        let mut all: Vec<FlatLimit> = Vec::new();
        for other in &options.nested_limits {
            all.extend(self.nested_limit(other, &around));
        }
        if limit.is_some() || options.nested_limits.is_empty() {
            self.zero_limit(&around);
            all.insert(0, around);
        }
        all
    }

    /// Ocelot starts with a global limit of nothing, and then refuses every request.
    fn zero_limit(&mut self, raw: &FlatLimit) {
        // What a route itself says was looked at before anything was inherited.
        let own = self.document.rate_limit.as_ref().and_then(|own| own.limit.as_ref());
        if raw.limit.value == 0 && own.is_none_or(|own| own.span != raw.limit.span) {
            let wrong = OcelotTolerated::new(
                codes::RATE_LIMIT_WITHOUT_CALLS,
                OcelotBehavior::Effect("every request is refused"),
                "RateLimitOptions without a Limit greater than zero",
            );
            let cure = "write a Limit, or switch it off with \"EnableRateLimiting\": false";
            wrong.help(cure).report(self.diagnostics, self.scope.ocelot, raw.limit.span);
        }
    }

    fn nested_limit<'w>(
        &mut self,
        document: &'w Spanned<RateLimitDocument>,
        around: &FlatLimit<'w>,
    ) -> Option<FlatLimit<'w>> {
        let missing =
            [("Limit", document.limit.is_none()), ("Period", non_blank(&document.period).is_none())];
        for (name, _) in missing.iter().filter(|(_, missing)| *missing) {
            let message = format!("an entry of RateLimitOptions.Limits without a {name}");
            self.diagnostics
                .error(codes::LIMIT_MISSING, document.span, message)
                .help("such as { \"Limit\": 10, \"Period\": \"1s\" }");
        }
        let own_list = items(&document.partition_by);
        let period = non_blank(&document.period)?;
        Some(FlatLimit {
            name: non_blank(&document.name).map(|name| name.as_str()),
            limit: self.positive_count(&document.limit, "Limit")?,
            period: (period, period.span),
            wait: non_blank(&document.wait).map_or(around.wait, |wait| (wait, wait.span)),
            algorithm: non_blank(&document.algorithm).or(around.algorithm),
            burst: document.burst.as_ref(),
            partition: if own_list.is_empty() { around.partition } else { own_list },
        })
    }

    fn algorithm(&mut self, raw: &FlatLimit) -> Option<Algorithm> {
        let period = self.time("Period", raw.period)?;
        let wait = self.time("Wait", raw.wait)?;
        let bucket = match raw.algorithm {
            None => false,
            Some(word) => match ALGORITHMS.iter().position(|known| known.eq_ignore_ascii_case(word.trim())) {
                Some(at) => at == 1,
                None => return self.unknown_algorithm(word),
            },
        };
        if !bucket {
            if let Some(burst) = raw.burst {
                self.report_unused(burst.span, "Burst", "FixedWindow");
            }
            let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            let (period, wait) = (nanoseconds(period), nanoseconds(wait));
            return Some(Algorithm::Window(FixedWindow { limit: raw.limit.value, period, penalty: wait }));
        }
        if !wait.is_zero() {
            self.report_unused(raw.wait.1, "Wait", "TokenBucket");
        }
        self.bucket(raw, period).map(Algorithm::Bucket)
    }

    fn bucket(&mut self, raw: &FlatLimit, period: Duration) -> Option<TokenBucket> {
        let limit = self.tokens(&raw.limit, "Limit")?;
        let burst = match raw.burst {
            None => limit,
            Some(burst) => {
                let burst = self.positive_count(&Some(burst.clone()), "Burst")?;
                self.tokens(&burst, "Burst")?
            }
        };
        let bucket = TokenBucket::new(limit, period, burst);
        if bucket.is_none() {
            self.report_with_help(
                codes::BAD_PERIOD,
                raw.period.1,
                "the period is too short for so many calls",
                "write a longer one",
            );
        }
        bucket
    }

    fn tokens(&mut self, n: &Spanned<u64>, name: &str) -> Option<NonZeroU32> {
        let read = u32::try_from(n.value).ok().and_then(NonZeroU32::new);
        if read.is_none() && n.value > 0 {
            self.report_with_help(
                codes::BAD_COUNT,
                n.span,
                &format!("{name} is {}", n.value),
                "it may be 1 to 4294967295",
            );
        }
        read
    }

    fn limit(
        &self,
        raw: &FlatLimit,
        measure: Algorithm,
        parts: Vec<KeyPart>,
        options: &RateLimit,
        status: u16,
        state_key: &str,
    ) -> Limit {
        let (limit, (period, _), (wait, _)) = (raw.limit.value, raw.period, raw.wait);
        let rule = match measure {
            Algorithm::Window(_) => format!("{limit}/{period}/w{wait}"),
            Algorithm::Bucket(bucket) => format!("{limit}/{period}/b{}", bucket.burst()),
        };
        let short = format!("{limit}/{period}");
        let route = self.document.client_path.as_ref().map_or("", |path| path.as_str());
        let seconds = period::read(period).map_or(0, |time| time.as_nanos().div_ceil(1_000_000_000) as u64);
        Limit {
            name: raw.name.map_or(short, str::to_owned),
            counter: limit_name(&parts, &format!("{}|{rule}", options.key_prefix), state_key),
            policy: (limit, seconds),
            exempt_clients: options.whitelist.iter().map(|id| id.value.clone()).collect(),
            status,
            message: format_message(&options.message, &limit.to_string(), period),
            on_missing_client_id: format!(
                "Rate limiting client could not be identified for the route '{route}' due to a missing or unknown \
                 client ID header required by rule '{rule}'!"
            ),
            algorithm: measure,
            parts,
            rule,
        }
    }
}

/// What is wrong.
impl RouteCompiler<'_, '_, '_> {
    fn time(&mut self, name: &str, (text, span): LimitDocument) -> Option<Duration> {
        let said = |d: &Diagnostic| d.code == codes::BAD_PERIOD && d.span == Some(span);
        let read = period::read(text);
        if read.is_none() && self.diagnostics.list.iter().any(said) {
            return None;
        }
        let wrong = || {
            let message = format!("RateLimitOptions.{name} \"{text}\" is not a time");
            OcelotTolerated::new(codes::BAD_PERIOD, OcelotBehavior::Status(500), message)
                .help("write a number and ms, s, m, h or d, such as \"1m\" for one minute")
        };
        self.accept(span, read.ok_or_else(wrong))
    }

    fn status(&mut self, options: &RateLimit, place: Span) -> u16 {
        let is = options.status;
        if !(400..=599).contains(&is) {
            let message = format!("the status of a refusal is {is}");
            let wrong = OcelotTolerated::new(
                codes::BAD_STATUS,
                OcelotBehavior::Effect("it is sent as it is"),
                message,
            );
            let place = options.places[3].unwrap_or(place);
            wrong.help("statuses of refusals are 400 to 599").report(
                self.diagnostics,
                self.scope.ocelot,
                place,
            );
        }
        u16::try_from(is).ok().filter(|status| (200..=999).contains(status)).unwrap_or(429)
    }

    fn unknown_algorithm(&mut self, word: &Spanned<String>) -> Option<Algorithm> {
        let message = format!("there is no algorithm \"{}\"", word.value);
        let said = self.diagnostics.error(codes::UNKNOWN_CHOICE, word.span, message);
        if let Some(meant) = suggest::closest_match(word, ALGORITHMS) {
            said.help(format!("did you mean \"{meant}\"?"));
        }
        said.help(format!("the algorithms are {}", suggest::list(&ALGORITHMS)));
        None
    }

    fn report_unused(&mut self, span: Span, setting: &str, algorithm: &str) {
        let message = format!("{algorithm} knows no {setting}");
        self.report_with_help(
            codes::USELESS_IN_ALGORITHM,
            span,
            &message,
            "leave it out, or write another Algorithm",
        );
    }

    fn report_with_help(&mut self, code: Code, span: Span, message: &str, help: &str) {
        self.diagnostics.error(code, span, message).help(help);
    }
}

/// .NET's composite format with two values: `{0}` and `{1}`; doubled braces are braces.
fn format_message(message: &str, limit: &str, period: &str) -> String {
    let mut out = String::with_capacity(message.len() + 16);
    let mut rest = message;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (found, put) = [("{0}", limit), ("{1}", period), ("{{", "{"), ("}}", "}")]
            .into_iter()
            .find(|(found, _)| rest[at..].starts_with(found))
            .unwrap_or((&rest[at..at + 1], &rest[at..at + 1]));
        out.push_str(put);
        rest = &rest[at + found.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::format_message;

    #[test]
    fn messages_are_filled_as_dot_net_fills_them() {
        for (message, text) in [
            (
                "API calls quota exceeded! Maximum admitted {0} per {1}.",
                "API calls quota exceeded! Maximum admitted 3 per 1s.",
            ),
            ("{0}{0}", "33"),
            ("{1}!", "1s!"),
            ("{{0}} {{{0}}}", "{0} {3}"),
            ("no", "no"),
            ("{2} {", "{2} {"),
        ] {
            assert_eq!(format_message(message, "3", "1s"), text);
        }
    }
}
