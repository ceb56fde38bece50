//! `RateLimitOptions` after inheritance: legacy names folded into current ones, defaults applied. A legacy name takes
//! precedence after the merge, so that a legacy name in `GlobalConfiguration` overrides a current name on the route,
//! as in Ocelot.

use super::options::{RateLimitDocument, RateLimitOptions};
use crate::config::{
    Span, Spanned,
    values::{List, Setting, non_blank},
};

/// The options with legacy names folded into current ones and defaults applied.
#[derive(Clone, Debug)]
pub(super) struct ResolvedRateLimit {
    pub client_id_header: String,
    pub whitelist: Vec<Spanned<String>>,
    pub headers: bool,
    pub limit: i64,
    pub period: String,
    pub wait: String,
    pub status: i32,
    pub message: String,
    pub key_prefix: String,
    /// Where limit, period, wait and status are set; `None`: the default.
    pub spans: [Option<Span>; 4],
    pub algorithm: Option<Spanned<String>>,
    pub burst: Option<Spanned<i64>>,
    pub scope: Option<Spanned<String>>,
    pub lease: Option<Spanned<String>>,
    /// `None`: Ocelot's partition.
    pub partition: Option<Vec<Spanned<String>>>,
    /// The limits of the list.
    pub nested_limits: Vec<Spanned<RateLimitDocument>>,
}

impl ResolvedRateLimit {
    /// Folds the old names into the new ones and fills in the defaults.
    pub fn resolve(options: &RateLimitOptions) -> Self {
        let status = or(&options.http_status_code, &options.status_code);
        let wait = match &options.period_timespan {
            Some(seconds) => format!("{}s", seconds.value),
            None => with_default(&options.wait, "0ms"),
        };
        let partition = texts(&options.partition_by);
        ResolvedRateLimit {
            spans: spans(options),
            algorithm: non_blank(&options.algorithm).cloned(),
            burst: options.burst.clone(),
            scope: non_blank(&options.scope).cloned(),
            lease: non_blank(&options.lease).cloned(),
            partition: Some(partition).filter(|parts| !parts.is_empty()),
            nested_limits: options.limits.as_ref().map(|list| list.value.clone()).unwrap_or_default(),
            client_id_header: with_default(&options.client_id_header, "Oc-Client"),
            whitelist: texts(&options.client_whitelist),
            headers: match &options.disable_rate_limit_headers {
                Some(disabled) => !disabled.value,
                None => options.enable_headers.as_ref().is_none_or(|on| on.value),
            },
            limit: options.limit.as_ref().map_or(0, |limit| limit.value.saturating_abs()),
            period: with_default(&options.period, "1s"),
            wait,
            status: status.map_or(429, |status| status.value),
            message: prefer_legacy(&options.quota_exceeded_message, &options.quota_message, QUOTA_MESSAGE),
            key_prefix: prefer_legacy(
                &options.rate_limit_counter_prefix,
                &options.key_prefix,
                "Ocelot.RateLimiting",
            ),
        }
    }
}

/// The default body of a rejection.
const QUOTA_MESSAGE: &str = "API calls quota exceeded! Maximum admitted {0} per {1}.";

/// Where limit, period, wait and status are set.
fn spans(options: &RateLimitOptions) -> [Option<Span>; 4] {
    let wait = options.period_timespan.as_ref().map(|set| set.span);
    [
        options.limit.as_ref().map(|set| set.span),
        options.period.as_ref().map(|set| set.span),
        wait.or(options.wait.as_ref().map(|set| set.span)),
        or(&options.http_status_code, &options.status_code).map(|set| set.span),
    ]
}

fn with_default(set: &Setting<String>, default: &str) -> String {
    non_blank(set).map_or_else(|| default.to_owned(), |text| text.value.clone())
}

fn prefer_legacy(old: &Setting<String>, new: &Setting<String>, default: &str) -> String {
    non_blank(old).map_or_else(|| with_default(new, default), |text| text.value.clone())
}

fn texts(list: &List<String>) -> Vec<Spanned<String>> {
    list.as_ref().map(|list| list.value.clone()).unwrap_or_default()
}

fn or<T: Copy>(old: &Setting<T>, new: &Setting<T>) -> Option<Spanned<T>> {
    old.as_ref().or(new.as_ref()).map(|set| Spanned::new(set.value, set.span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::merged;

    fn limited(global: &str, own: Option<&str>) -> Option<ResolvedRateLimit> {
        merged::<RateLimitOptions>(Some(global), own, None)
            .map(|options| ResolvedRateLimit::resolve(&options))
    }

    #[test]
    fn a_rate_limit_can_be_disabled_by_the_route_or_its_group() {
        let on = r#"{ "Limit": 3, "Period": "1s" }"#;
        let off = r#"{ "EnableRateLimiting": false }"#;
        assert!(limited(on, None).is_some());
        assert!(limited(on, Some(off)).is_none());
        assert!(limited(off, Some(on)).is_none());
        assert!(limited(r#"{ "EnableRateLimiting": false, "RouteKeys": ["Z"] }"#, Some(on)).is_some());
    }

    #[test]
    fn blank_texts_and_empty_lists_are_inherited_and_legacy_names_take_precedence() {
        let global = r#"{ "Limit": 3, "Period": "1h", "ClientWhitelist": ["vip"],
            "QuotaExceededMessage": "old", "HttpStatusCode": 428, "DisableRateLimitHeaders": true }"#;
        let own = r#"{ "Period": "1m", "ClientIdHeader": " ", "ClientWhitelist": [],
            "QuotaMessage": "new", "StatusCode": 418, "EnableHeaders": true }"#;
        let limit = limited(global, Some(own)).expect("enabled");
        assert_eq!((limit.limit, limit.period.as_str()), (3, "1m"));
        assert_eq!(limit.client_id_header, "Oc-Client");
        assert_eq!((limit.message.as_str(), limit.status, limit.headers), ("old", 428, false));
        assert_eq!(limit.whitelist.len(), 1);
    }
}
