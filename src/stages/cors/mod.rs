//! `CorsOptions`: which origins may read the responses (the CORS protocol of the Fetch standard).
//!
//! - Elsewhere: Envoy's `cors` filter, ASP.NET CORS middleware under YARP.
//! - Entry points: two stages. [`Cors`] is outside every stage that rejects, so that pages can read errors too;
//!   [`Preflight`] responds to preflight requests, after the IP filter and before authentication and limits.
//! - Callers: the table of stages builds them; `compile` checks the options. `plan` routes preflights by
//!   [`preflight_method`].
//! - Owns: the settings of a route. Nothing outlives a reload.

mod compile;
mod options;

pub use options::{CorsOptions, GlobalCorsOptions};

use crate::{
    base::bytes::comma_list,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::Head,
        response::{Response, RouteResult, append_header},
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "cors";
/// Name of the stage that responds to preflights, which runs after the IP filter.
pub const NAME_PREFLIGHT: &str = "cors-preflight";

const ORIGIN: &[u8] = b"Origin";
const REQUEST_METHOD: &[u8] = b"Access-Control-Request-Method";
const REQUEST_HEADERS: &[u8] = b"Access-Control-Request-Headers";

/// The requested method of a preflight; `None` for other requests.
pub fn preflight_method(head: &Head) -> Option<&[u8]> {
    if head.method() != b"OPTIONS" {
        return None;
    }
    head.get(ORIGIN)?;
    head.get(REQUEST_METHOD).filter(|method| !method.is_empty())
}

/// Allowed origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    pub any: bool,
    /// As browsers send them: `https://app.example`.
    pub exact: Vec<String>,
    /// Scheme prefix and domain suffix, `https://` and `.example`, for all subdomains.
    pub wildcard_suffixes: Vec<(String, String)>,
}

impl Origins {
    /// Whether the origin is allowed; case-insensitive.
    pub fn contains(&self, origin: &[u8]) -> bool {
        if self.any {
            return true;
        }
        let exact = |known: &String| known.as_bytes().eq_ignore_ascii_case(origin);
        self.exact.iter().any(exact)
            || self.wildcard_suffixes.iter().any(|(prefix, suffix)| matches_wildcard(origin, prefix, suffix))
    }
}

/// `https://` + one or more labels + `.example`; only bytes of a host name between them.
fn matches_wildcard(origin: &[u8], prefix: &str, suffix: &str) -> bool {
    let (prefix, suffix) = (prefix.as_bytes(), suffix.as_bytes());
    let Some(labels) = origin.len().checked_sub(prefix.len() + suffix.len()).filter(|n| *n > 0) else {
        return false;
    };
    let label_bytes = &origin[prefix.len()..prefix.len() + labels];
    let is_host_byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    origin[..prefix.len()].eq_ignore_ascii_case(prefix)
        && origin[prefix.len() + labels..].eq_ignore_ascii_case(suffix)
        && label_bytes.iter().all(is_host_byte)
}

/// A list of names, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedNames {
    Any,
    List(Vec<String>),
}

/// The CORS settings of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsConfig {
    pub origins: Origins,
    pub methods: AllowedNames,
    pub headers: AllowedNames,
    /// Response fields that pages may read in addition to the safelisted ones.
    pub exposed_headers: Vec<String>,
    pub credentials: bool,
    /// How long browsers cache the result of a preflight.
    pub max_age: Option<Duration>,
}

impl StageConfig for CorsConfig {
    type State = ();

    fn build(&self, (): &(), _: &BuildContext) -> Vec<BoxStage> {
        let (cors, preflight) = stages(self);
        vec![Box::new(cors), Box::new(preflight)]
    }
}

fn stages(config: &CorsConfig) -> (Cors, Preflight) {
    let config = Arc::new(config.clone());
    let expose_header = config.exposed_headers.join(", ");
    (Cors { settings: config.clone(), expose_header }, Preflight::new(config))
}

/// Adds the CORS fields to every response.
#[derive(Debug)]
pub struct Cors {
    settings: Arc<CorsConfig>,
    expose_header: String,
}

impl Stage for Cors {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Stores the origin: later stages may change the request.
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let Exchange { request, response, .. } = exchange;
        if let Some(value) = request.get(ORIGIN).filter(|value| self.settings.origins.contains(value)) {
            response.cors_origin.extend_from_slice(value);
        }
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let is_preflight = preflight_method(&exchange.request).is_some();
        if let (Ok(response), false) = (&mut *outcome, is_preflight) {
            // CORS fields of the backend are replaced.
            response.head.remove_if(|_, name| is_cors_header(name));
        }
        let is_wildcard = self.settings.origins.any && !self.settings.credentials;
        if !is_wildcard {
            append_header(outcome, "Vary", b"Origin");
        }
        if exchange.response.cors_origin.is_empty() {
            return;
        }
        append_header(
            outcome,
            "Access-Control-Allow-Origin",
            if is_wildcard { b"*" } else { &exchange.response.cors_origin },
        );
        if self.settings.credentials {
            append_header(outcome, "Access-Control-Allow-Credentials", b"true");
        }
        if !is_preflight && !self.expose_header.is_empty() {
            append_header(outcome, "Access-Control-Expose-Headers", self.expose_header.as_bytes());
        }
    }

    fn describe(&self) -> String {
        let Origins { any, exact, wildcard_suffixes: suffixes } = &self.settings.origins;
        let suffixes = suffixes.iter().map(|(prefix, suffix)| format!("{prefix}*{suffix}"));
        let origins: Vec<String> = exact.iter().cloned().chain(suffixes).collect();
        let origins = if *any { "any origin".to_owned() } else { origins.join(", ") };
        format!("{origins}{}", if self.settings.credentials { ", with credentials" } else { "" })
    }
}

fn is_cors_header(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"access-control-";
    name.len() > PREFIX.len() && name[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
}

/// Responds to preflights instead of the backend.
#[derive(Debug)]
pub struct Preflight {
    settings: Arc<CorsConfig>,
    /// `None`: the requested method is allowed.
    methods: Option<String>,
    headers: Option<String>,
}

impl Preflight {
    fn new(settings: Arc<CorsConfig>) -> Preflight {
        let join = |names: &AllowedNames| match names {
            AllowedNames::Any => None,
            AllowedNames::List(names) => Some(names.join(", ")),
        };
        Preflight { methods: join(&settings.methods), headers: join(&settings.headers), settings }
    }

    fn preflight_response(&self, head: &Head) -> Response {
        let mut response = Response::local(204, "", Bytes::new());
        let allowed = |list: &Option<String>, requested: &[u8]| match list {
            Some(list) => list.as_bytes().to_vec(),
            None => valid_names(requested),
        };
        let method = head.get(REQUEST_METHOD).unwrap_or_default();
        let headers = allowed(&self.headers, head.get(REQUEST_HEADERS).unwrap_or_default());
        response.head.append(b"Access-Control-Allow-Methods", &allowed(&self.methods, method));
        if !headers.is_empty() {
            response.head.append(b"Access-Control-Allow-Headers", &headers);
        }
        if let Some(age) = self.settings.max_age {
            response.head.append_number(b"Access-Control-Max-Age", age.as_secs());
        }
        response.head.append(b"Vary", b"Access-Control-Request-Method, Access-Control-Request-Headers");
        response
    }
}

/// The requested names, without invalid ones: no other bytes of the client go into the response.
fn valid_names(requested: &[u8]) -> Vec<u8> {
    let is_name =
        |name: &&[u8]| name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b));
    comma_list(requested).filter(is_name).collect::<Vec<_>>().join(&b", "[..])
}

impl Stage for Preflight {
    fn name(&self) -> &'static str {
        NAME_PREFLIGHT
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if preflight_method(&exchange.request).is_none() {
            return Step::Next;
        }
        if exchange.response.cors_origin.is_empty() {
            return Step::Fail(GatewayError::new(
                ErrorCode::CorsOriginDenied,
                "the origin is not allowed to call the route",
            ));
        }
        Step::Respond(self.preflight_response(&exchange.request))
    }

    fn describe(&self) -> String {
        format!("responds to preflights: {}", self.methods.as_deref().unwrap_or("any method"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::time::Instant;

    fn settings(origins: Origins, credentials: bool) -> CorsConfig {
        CorsConfig {
            origins,
            methods: AllowedNames::List(vec!["GET".into(), "PUT".into()]),
            headers: AllowedNames::Any,
            exposed_headers: vec!["X-Total".into()],
            credentials,
            max_age: Some(Duration::from_secs(600)),
        }
    }

    fn exact(origin: &str) -> Origins {
        Origins { exact: vec![origin.into()], ..Origins::default() }
    }

    fn exchange(method: &str, fields: &[(&str, &str)]) -> Exchange {
        let from = "10.0.0.1:1".parse().expect("address");
        let mut exchange = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        exchange.request = Head::request(method.as_bytes(), b"/");
        fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
        exchange
    }

    /// Request and response through both stages; the backend sends its own CORS fields.
    fn run(settings: &CorsConfig, exchange: &mut Exchange) -> RouteResult {
        let (cors, preflight) = stages(settings);
        assert!(matches!(cors.on_request(exchange), Step::Next));
        let mut outcome = match preflight.on_request(exchange) {
            Step::Respond(response) => Ok(response),
            Step::Fail(cause) => Err(cause),
            _ => {
                let mut response = Response::local(200, "", Bytes::new());
                response.head.append(b"Access-Control-Allow-Origin", b"https://evil.example");
                Ok(response)
            }
        };
        cors.on_response(exchange, &mut outcome);
        outcome
    }

    fn fields(outcome: &RouteResult, name: &str) -> Vec<String> {
        match outcome {
            Ok(response) => response
                .head
                .get_all(name.as_bytes())
                .map(|v| String::from_utf8_lossy(v).into_owned())
                .collect(),
            Err(cause) => {
                let headers = cause.extra.iter().flat_map(|extra| &extra.headers);
                headers.filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect()
            }
        }
    }

    const ALLOW: &str = "Access-Control-Allow-Origin";

    #[test]
    fn an_allowed_origin_gets_cors_fields_and_those_of_the_backend_are_removed() {
        let mut exchange = exchange("GET", &[("Origin", "https://app.example")]);
        let response = run(&settings(exact("https://app.example"), true), &mut exchange);
        assert_eq!(fields(&response, ALLOW), ["https://app.example"]);
        assert_eq!(fields(&response, "Access-Control-Allow-Credentials"), ["true"]);
        assert_eq!(fields(&response, "Access-Control-Expose-Headers"), ["X-Total"]);
        assert_eq!(fields(&response, "Vary"), ["Origin"]);
    }

    #[test]
    fn other_origins_and_requests_without_one_get_no_cors_fields() {
        let settings = settings(exact("https://app.example"), false);
        for fields_sent in [&[("Origin", "https://evil.example")][..], &[]] {
            let response = run(&settings, &mut exchange("GET", fields_sent));
            assert!(response.is_ok());
            assert_eq!((fields(&response, ALLOW).len(), fields(&response, "Vary").len()), (0, 1));
        }
    }

    #[test]
    fn any_origin_is_a_star_without_vary() {
        let any = Origins { any: true, ..Origins::default() };
        let response = run(&settings(any, false), &mut exchange("GET", &[("Origin", "https://x.example")]));
        assert_eq!((fields(&response, ALLOW), fields(&response, "Vary").len()), (vec!["*".to_owned()], 0));
    }

    #[test]
    fn a_preflight_response_has_the_allowed_methods_and_headers() {
        let mut exchange = exchange(
            "OPTIONS",
            &[
                ("Origin", "https://app.example"),
                ("Access-Control-Request-Method", "PUT"),
                ("Access-Control-Request-Headers", "x-a, bad name,x-b"),
            ],
        );
        let response = run(&settings(exact("https://app.example"), false), &mut exchange);
        assert_eq!(response.as_ref().map(Response::status).ok(), Some(204));
        assert_eq!(fields(&response, ALLOW), ["https://app.example"]);
        assert_eq!(fields(&response, "Access-Control-Allow-Methods"), ["GET, PUT"]);
        assert_eq!(fields(&response, "Access-Control-Allow-Headers"), ["x-a, x-b"]);
        assert_eq!(fields(&response, "Access-Control-Max-Age"), ["600"]);
        assert!(fields(&response, "Access-Control-Expose-Headers").is_empty());
    }

    #[test]
    fn a_preflight_of_another_origin_is_rejected() {
        let mut exchange = exchange(
            "OPTIONS",
            &[("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT")],
        );
        let rejected = run(&settings(exact("https://app.example"), false), &mut exchange);
        assert_eq!(rejected.as_ref().err().map(|cause| cause.code), Some(ErrorCode::CorsOriginDenied));
        assert!(fields(&rejected, ALLOW).is_empty());
    }

    #[test]
    fn options_without_both_fields_is_not_a_preflight() {
        for fields in [&[("Origin", "https://app.example")][..], &[("Access-Control-Request-Method", "PUT")]]
        {
            assert!(preflight_method(&exchange("OPTIONS", fields).request).is_none());
        }
    }

    #[test]
    fn wildcards_match_subdomains_only() {
        let suffixes = vec![("https://".to_owned(), ".example.com".to_owned())];
        let origins = Origins { wildcard_suffixes: suffixes, ..Origins::default() };
        for origin in ["https://a.example.com", "https://a.b.EXAMPLE.com"] {
            assert!(origins.contains(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "http://a.example.com",
            "https://evil.test/.example.com",
            "https://evil.test:1.example.com",
            "https://a.example.com.evil.test",
            "https://aexample.com",
            "null",
        ] {
            assert!(!origins.contains(origin.as_bytes()), "{origin}");
        }
    }
}
