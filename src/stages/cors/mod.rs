//! `CorsOptions`: which origins may read the responses (the CORS protocol of the Fetch standard; Envoy's `cors` filter).
//!
//! Two stages: `cors` is outside every stage that rejects, so that pages can read errors too; `preflight` responds to
//! preflight requests, after the address lists and before authentication and limits. Nothing outlives a reload.

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

pub const NAME: &str = "cors";
pub const NAME_PREFLIGHT: &str = "cors-preflight";

const ORIGIN: &[u8] = b"Origin";
const REQUEST_METHOD: &[u8] = b"Access-Control-Request-Method";
const REQUEST_HEADERS: &[u8] = b"Access-Control-Request-Headers";

/// The method that a preflight asks for; none when the request is no preflight.
pub fn preflight(head: &Head) -> Option<&[u8]> {
    if head.method() != b"OPTIONS" {
        return None;
    }
    head.get(ORIGIN)?;
    head.get(REQUEST_METHOD).filter(|method| !method.is_empty())
}

/// Origins that may read answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    pub any: bool,
    /// As browsers write them: `https://app.example`.
    pub exact: Vec<String>,
    /// `https://` and `.example`, for every host below it.
    pub wildcard_suffixes: Vec<(String, String)>,
}

impl Origins {
    /// Whether it is one of them; hosts and schemes are compared without regard to case.
    pub fn contains(&self, origin: &[u8]) -> bool {
        if self.any {
            return true;
        }
        let exact = |known: &String| known.as_bytes().eq_ignore_ascii_case(origin);
        self.exact.iter().any(exact)
            || self.wildcard_suffixes.iter().any(|(start, end)| matches_wildcard(origin, start, end))
    }
}

/// `https://` + one or more labels + `.example`; nothing between may be more than a host.
fn matches_wildcard(origin: &[u8], start: &str, end: &str) -> bool {
    let (start, end) = (start.as_bytes(), end.as_bytes());
    let Some(labels) = origin.len().checked_sub(start.len() + end.len()).filter(|n| *n > 0) else {
        return false;
    };
    let between = &origin[start.len()..start.len() + labels];
    let host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    origin[..start.len()].eq_ignore_ascii_case(start)
        && origin[start.len() + labels..].eq_ignore_ascii_case(end)
        && between.iter().all(host)
}

/// A list, or everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    Any,
    List(Vec<String>),
}

/// What pages of other origins may do on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsConfig {
    pub origins: Origins,
    pub methods: Names,
    pub headers: Names,
    /// Fields of the answer that pages may read beside the usual ones.
    pub expose_header: Vec<String>,
    pub credentials: bool,
    /// How long a browser keeps what a preflight said.
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
    let expose_header = config.expose_header.join(", ");
    (Cors { settings: config.clone(), expose_header }, Preflight::new(config))
}

/// Says on every answer who may read it.
#[derive(Debug)]
pub struct Cors {
    settings: Arc<CorsConfig>,
    expose_header: String,
}

impl Stage for Cors {
    fn name(&self) -> &'static str {
        NAME
    }

    /// The origin is remembered: later stages may change the request.
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let Exchange { request, response, .. } = exchange;
        if let Some(origin) = request.get(ORIGIN).filter(|origin| self.settings.origins.contains(origin)) {
            response.cors_origin.extend_from_slice(origin);
        }
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let preflight = preflight(&exchange.request).is_some();
        if let (Ok(answer), false) = (&mut *outcome, preflight) {
            // What the service says about pages is not what the gateway says about them.
            answer.head.remove_if(|_, name| is_cors_header(name));
        }
        let anyone = self.settings.origins.any && !self.settings.credentials;
        if !anyone {
            append_header(outcome, "Vary", b"Origin");
        }
        if exchange.response.cors_origin.is_empty() {
            return;
        }
        append_header(
            outcome,
            "Access-Control-Allow-Origin",
            if anyone { b"*" } else { &exchange.response.cors_origin },
        );
        if self.settings.credentials {
            append_header(outcome, "Access-Control-Allow-Credentials", b"true");
        }
        if !preflight && !self.expose_header.is_empty() {
            append_header(outcome, "Access-Control-Expose-Headers", self.expose_header.as_bytes());
        }
    }

    fn describe(&self) -> String {
        let Origins { any, exact, wildcard_suffixes: below } = &self.settings.origins;
        let below = below.iter().map(|(start, end)| format!("{start}*{end}"));
        let origins: Vec<String> = exact.iter().cloned().chain(below).collect();
        let origins = if *any { "any origin".to_owned() } else { origins.join(", ") };
        format!("{origins}{}", if self.settings.credentials { ", with credentials" } else { "" })
    }
}

fn is_cors_header(name: &[u8]) -> bool {
    const SIMPLE_HEADERS: &[u8] = b"access-control-";
    name.len() > SIMPLE_HEADERS.len() && name[..SIMPLE_HEADERS.len()].eq_ignore_ascii_case(SIMPLE_HEADERS)
}

/// Answers a preflight in the place of the service.
#[derive(Debug)]
pub struct Preflight {
    settings: Arc<CorsConfig>,
    /// None: what was asked for is allowed.
    methods: Option<String>,
    headers: Option<String>,
}

impl Preflight {
    fn new(settings: Arc<CorsConfig>) -> Preflight {
        let joined = |names: &Names| match names {
            Names::Any => None,
            Names::List(names) => Some(names.join(", ")),
        };
        Preflight { methods: joined(&settings.methods), headers: joined(&settings.headers), settings }
    }

    fn preflight_response(&self, head: &Head) -> Response {
        let mut answer = Response::local(204, "", Bytes::new());
        let allowed = |list: &Option<String>, asked: &[u8]| match list {
            Some(list) => list.as_bytes().to_vec(),
            None => names(asked),
        };
        let method = head.get(REQUEST_METHOD).unwrap_or_default();
        let headers = allowed(&self.headers, head.get(REQUEST_HEADERS).unwrap_or_default());
        answer.head.append(b"Access-Control-Allow-Methods", &allowed(&self.methods, method));
        if !headers.is_empty() {
            answer.head.append(b"Access-Control-Allow-Headers", &headers);
        }
        if let Some(age) = self.settings.max_age {
            answer.head.append_number(b"Access-Control-Max-Age", age.as_secs());
        }
        answer.head.append(b"Vary", b"Access-Control-Request-Method, Access-Control-Request-Headers");
        answer
    }
}

/// What was asked for, but only names: nothing else of a stranger's goes into an answer.
fn names(asked: &[u8]) -> Vec<u8> {
    let is_name =
        |name: &&[u8]| name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b));
    comma_list(asked).filter(is_name).collect::<Vec<_>>().join(&b", "[..])
}

impl Stage for Preflight {
    fn name(&self) -> &'static str {
        NAME_PREFLIGHT
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if preflight(&exchange.request).is_none() {
            return Step::Next;
        }
        if exchange.response.cors_origin.is_empty() {
            return Step::Fail(GatewayError::new(
                ErrorCode::CorsOriginDenied,
                "pages of this origin may not call the route",
            ));
        }
        Step::Respond(self.preflight_response(&exchange.request))
    }

    fn describe(&self) -> String {
        format!("answers preflights: {}", self.methods.as_deref().unwrap_or("any method"))
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
            methods: Names::List(vec!["GET".into(), "PUT".into()]),
            headers: Names::Any,
            expose_header: vec!["X-Total".into()],
            credentials,
            max_age: Some(Duration::from_secs(600)),
        }
    }

    fn exact(origin: &str) -> Origins {
        Origins { exact: vec![origin.into()], ..Origins::default() }
    }

    fn exchange(method: &str, fields: &[(&str, &str)]) -> Exchange {
        let from = "10.0.0.1:1".parse().expect("address");
        let mut x = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        x.request = Head::request(method.as_bytes(), b"/");
        fields.iter().for_each(|(name, value)| x.request.append(name.as_bytes(), value.as_bytes()));
        x
    }

    /// Both stages, there and back; the service answers with fields of its own.
    fn through(settings: &CorsConfig, exchange: &mut Exchange) -> RouteResult {
        let (cors, preflight) = stages(settings);
        assert!(matches!(cors.on_request(exchange), Step::Next));
        let mut outcome = match preflight.on_request(exchange) {
            Step::Respond(answer) => Ok(answer),
            Step::Fail(cause) => Err(cause),
            _ => {
                let mut answer = Response::local(200, "", Bytes::new());
                answer.head.append(b"Access-Control-Allow-Origin", b"https://evil.example");
                Ok(answer)
            }
        };
        cors.on_response(exchange, &mut outcome);
        outcome
    }

    fn fields(outcome: &RouteResult, name: &str) -> Vec<String> {
        match outcome {
            Ok(answer) => answer
                .head
                .get_all(name.as_bytes())
                .map(|v| String::from_utf8_lossy(v).into_owned())
                .collect(),
            Err(cause) => {
                let all = cause.extra.iter().flat_map(|extra| &extra.headers);
                all.filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect()
            }
        }
    }

    const ALLOW: &str = "Access-Control-Allow-Origin";

    #[test]
    fn an_allowed_page_may_read_the_answer_and_what_the_service_says_of_pages_is_not_passed_on() {
        let mut x = exchange("GET", &[("Origin", "https://app.example")]);
        let answer = through(&settings(exact("https://app.example"), true), &mut x);
        assert_eq!(fields(&answer, ALLOW), ["https://app.example"]);
        assert_eq!(fields(&answer, "Access-Control-Allow-Credentials"), ["true"]);
        assert_eq!(fields(&answer, "Access-Control-Expose-Headers"), ["X-Total"]);
        assert_eq!(fields(&answer, "Vary"), ["Origin"]);
    }

    #[test]
    fn another_page_may_not_and_who_is_no_page_is_served_as_ever() {
        let settings = settings(exact("https://app.example"), false);
        for fields_sent in [&[("Origin", "https://evil.example")][..], &[]] {
            let answer = through(&settings, &mut exchange("GET", fields_sent));
            assert!(answer.is_ok());
            assert_eq!((fields(&answer, ALLOW).len(), fields(&answer, "Vary").len()), (0, 1));
        }
    }

    #[test]
    fn everybody_is_a_star_and_no_reason_to_vary() {
        let any = Origins { any: true, ..Origins::default() };
        let answer = through(&settings(any, false), &mut exchange("GET", &[("Origin", "https://x.example")]));
        assert_eq!((fields(&answer, ALLOW), fields(&answer, "Vary").len()), (vec!["*".to_owned()], 0));
    }

    #[test]
    fn a_preflight_is_answered_with_what_the_route_allows() {
        let mut x = exchange(
            "OPTIONS",
            &[
                ("Origin", "https://app.example"),
                ("Access-Control-Request-Method", "PUT"),
                ("Access-Control-Request-Headers", "x-a, bad name,x-b"),
            ],
        );
        let answer = through(&settings(exact("https://app.example"), false), &mut x);
        assert_eq!(answer.as_ref().map(Response::status).ok(), Some(204));
        assert_eq!(fields(&answer, ALLOW), ["https://app.example"]);
        assert_eq!(fields(&answer, "Access-Control-Allow-Methods"), ["GET, PUT"]);
        assert_eq!(fields(&answer, "Access-Control-Allow-Headers"), ["x-a, x-b"]);
        assert_eq!(fields(&answer, "Access-Control-Max-Age"), ["600"]);
        assert!(fields(&answer, "Access-Control-Expose-Headers").is_empty());
    }

    #[test]
    fn a_preflight_of_another_page_is_refused() {
        let mut x = exchange(
            "OPTIONS",
            &[("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT")],
        );
        let refused = through(&settings(exact("https://app.example"), false), &mut x);
        assert_eq!(refused.as_ref().err().map(|cause| cause.why), Some(ErrorCode::CorsOriginDenied));
        assert!(fields(&refused, ALLOW).is_empty());
    }

    #[test]
    fn options_without_what_makes_a_preflight_goes_to_the_service() {
        for fields in [&[("Origin", "https://app.example")][..], &[("Access-Control-Request-Method", "PUT")]]
        {
            assert!(preflight(&exchange("OPTIONS", fields).request).is_none());
        }
    }

    #[test]
    fn hosts_below_a_domain_are_hosts_and_nothing_else() {
        let below = vec![("https://".to_owned(), ".example.com".to_owned())];
        let origins = Origins { wildcard_suffixes: below, ..Origins::default() };
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
