//! Custom rules: native conditions on the request, evaluated in order of priority.

use super::country::CountryDatabase;
use crate::base::{ip_set::IpSet, percent::put_percent};
use crate::stages::partition_key::KeyPart;
use crate::stages::rate_limit::fixed_window::FixedWindow;
use crate::waf::request::parts::{Kind, Request, Source};
use crate::waf::transform::Transform;
use regex::bytes::Regex;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomAction {
    /// Ends the inspection.
    Allow,
    /// Rejects the request.
    Block,
    /// Logs and goes on.
    Log,
}

/// A part of the request that a condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the variable of its name")]
pub enum CustomVariable {
    RemoteAddr,
    RequestMethod,
    RequestUri,
    RequestPath,
    QueryString,
    RequestBody,
    RequestHeader(String),
    RequestCookie(String),
    PostArg(String),
}

impl CustomVariable {
    /// Reads a variable with its name.
    pub fn parse(text: &str) -> Option<Self> {
        let (variable, name) =
            text.split_once(':').map_or((text, None), |(variable, name)| (variable, Some(name)));
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        Some(match (variable, name) {
            ("RemoteAddr", None) => Self::RemoteAddr,
            ("RequestMethod", None) => Self::RequestMethod,
            ("RequestUri", None) => Self::RequestUri,
            ("RequestPath", None) => Self::RequestPath,
            ("QueryString", None) => Self::QueryString,
            ("RequestBody", None) => Self::RequestBody,
            ("RequestHeaders", Some(name)) => Self::RequestHeader(name),
            ("RequestCookies", Some(name)) => Self::RequestCookie(name),
            ("PostArgs", Some(name)) => Self::PostArg(name),
            _ => return None,
        })
    }

    /// The part of the request in the log, `header User-Agent`.
    pub fn part(&self) -> String {
        match self {
            Self::RemoteAddr => "client address".to_owned(),
            Self::RequestMethod => "method".to_owned(),
            Self::RequestUri => "uri".to_owned(),
            Self::RequestPath => "path".to_owned(),
            Self::QueryString => "query string".to_owned(),
            Self::RequestBody => "body".to_owned(),
            Self::RequestHeader(name) => format!("header {name}"),
            Self::RequestCookie(name) => format!("cookie {name}"),
            Self::PostArg(name) => format!("form {name}"),
        }
    }

    /// Whether it needs the body.
    pub fn is_body(&self) -> bool {
        matches!(self, Self::RequestBody | Self::PostArg(_))
    }
}

/// A transformation of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomTransform {
    /// One of the rule language.
    Rule(Transform),
    /// Percent-encodes everything but unreserved characters.
    UrlEncode,
}

/// How a variable is compared.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant is the operator of its name")]
pub enum CustomOperator {
    IpMatch(IpSet),
    GeoMatch(Vec<String>, Arc<CountryDatabase>),
    Equal(Vec<Vec<u8>>),
    Contains(Vec<Vec<u8>>),
    BeginsWith(Vec<Vec<u8>>),
    EndsWith(Vec<Vec<u8>>),
    Regex(Vec<Regex>),
    LessThan(Vec<f64>),
    GreaterThan(Vec<f64>),
    LessThanOrEqual(Vec<f64>),
    GreaterThanOrEqual(Vec<f64>),
    Any,
}

/// A condition.
#[derive(Clone, Debug)]
pub struct CustomCondition {
    /// The variables, of which one must match.
    pub variables: Vec<CustomVariable>,
    /// The comparison.
    pub operator: CustomOperator,
    /// Whether the result is inverted.
    pub is_inverted: bool,
    /// Applied to the variable before.
    pub transforms: Vec<CustomTransform>,
}

/// A limit of the requests that match a rule.
#[derive(Clone, Debug)]
pub struct CustomRateLimit {
    /// The window.
    pub window: FixedWindow,
    /// What has a separate counter.
    pub parts: Vec<KeyPart>,
    /// Whether countries have separate counters.
    pub by_country: Option<Arc<CountryDatabase>>,
    /// The name of the counters.
    pub counter: String,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct CustomRule {
    /// The name.
    pub name: String,
    /// What it does.
    pub action: CustomAction,
    /// All of these must hold.
    pub conditions: Vec<CustomCondition>,
    /// The status of the response to a blocked request.
    pub status: Option<u16>,
    /// The limit of matching requests.
    pub rate_limit: Option<CustomRateLimit>,
}

/// The request as conditions read it.
pub struct CustomInput<'r> {
    /// The parts.
    pub request: &'r Request,
    /// The address of the client.
    pub address: IpAddr,
    /// The raw body, if it was read.
    pub body: &'r [u8],
}

impl CustomRule {
    /// Whether it needs the body.
    pub fn reads_body(&self) -> bool {
        self.conditions.iter().flat_map(|condition| &condition.variables).any(CustomVariable::is_body)
    }

    /// Whether it runs after authentication.
    pub fn is_late(&self) -> bool {
        let parts = self.rate_limit.iter().flat_map(|limit| &limit.parts);
        self.reads_body() || parts.into_iter().any(KeyPart::is_claim)
    }

    /// Whether all conditions hold.
    pub fn is_match(&self, input: &CustomInput<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(input))
    }
}

impl CustomCondition {
    fn holds(&self, input: &CustomInput<'_>) -> bool {
        self.variables.iter().any(|variable| self.matches_variable(variable, input)) != self.is_inverted
    }

    fn matches_variable(&self, variable: &CustomVariable, input: &CustomInput<'_>) -> bool {
        if *variable == CustomVariable::RemoteAddr {
            return match &self.operator {
                CustomOperator::IpMatch(set) => set.contains(input.address),
                CustomOperator::GeoMatch(countries, database) => {
                    let country = database.country(input.address);
                    countries.contains(&country)
                }
                _ => self.matches_text(input.address.to_string().as_bytes()),
            };
        }
        values(variable, input).into_iter().any(|value| self.matches_text(value))
    }

    fn matches_text(&self, value: &[u8]) -> bool {
        let value = self.transforms.iter().fold(Cow::Borrowed(value), |value, transform| {
            Cow::Owned(match transform {
                CustomTransform::Rule(transform) => transform.apply(&value).into_owned(),
                CustomTransform::UrlEncode => encode(&value),
            })
        });
        let any =
            |texts: &[Vec<u8>], test: fn(&[u8], &[u8]) -> bool| texts.iter().any(|text| test(&value, text));
        match &self.operator {
            CustomOperator::Any => true,
            CustomOperator::Equal(texts) => any(texts, |value, text| value == text),
            CustomOperator::Contains(texts) => any(texts, crate::waf::bytes::contains),
            CustomOperator::BeginsWith(texts) => any(texts, |value, text| value.starts_with(text)),
            CustomOperator::EndsWith(texts) => any(texts, |value, text| value.ends_with(text)),
            CustomOperator::Regex(patterns) => patterns.iter().any(|pattern| pattern.is_match(&value)),
            operator => operator.compares(&value),
        }
    }
}

impl CustomOperator {
    /// Compares numbers; a value that is no number does not match.
    fn compares(&self, value: &[u8]) -> bool {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<f64>().ok());
        let Some(number) = number.filter(|number| number.is_finite()) else { return false };
        match self {
            Self::LessThan(limits) => limits.iter().any(|limit| number < *limit),
            Self::GreaterThan(limits) => limits.iter().any(|limit| number > *limit),
            Self::LessThanOrEqual(limits) => limits.iter().any(|limit| number <= *limit),
            Self::GreaterThanOrEqual(limits) => limits.iter().any(|limit| number >= *limit),
            _ => false,
        }
    }
}

/// The values of a variable; none if it is absent.
fn values<'r>(variable: &CustomVariable, input: &CustomInput<'r>) -> Vec<&'r [u8]> {
    let request = input.request;
    let target = || request.first(Kind::RawUri);
    match variable {
        CustomVariable::RequestMethod => vec![request.first(Kind::Method)],
        CustomVariable::RequestUri => vec![target()],
        CustomVariable::RequestPath => vec![target().split(|byte| *byte == b'?').next().unwrap_or_default()],
        CustomVariable::QueryString => {
            request.positions(Kind::QueryString).map(|_| request.first(Kind::QueryString)).collect()
        }
        CustomVariable::RequestBody if input.body.is_empty() => Vec::new(),
        CustomVariable::RequestBody => vec![input.body],
        CustomVariable::RequestHeader(name) => named(request, Kind::HeaderValue, name, true),
        CustomVariable::RequestCookie(name) => named(request, Kind::CookieValue, name, false),
        CustomVariable::PostArg(name) => named(request, Kind::BodyValue, name, false),
        CustomVariable::RemoteAddr => Vec::new(),
    }
}

fn named<'r>(request: &'r Request, kind: Kind, name: &str, ignores_case: bool) -> Vec<&'r [u8]> {
    let values = request.positions(kind).map(|at| &request.values()[at]);
    let is_named = |found: &[u8]| match ignores_case {
        true => found.eq_ignore_ascii_case(name.as_bytes()),
        false => found == name.as_bytes(),
    };
    let is_post =
        |source: Source| kind != Kind::BodyValue || matches!(source, Source::Form | Source::Multipart);
    let found = values.filter(|value| is_post(value.source) && is_named(request.bytes(value.name)));
    found.map(|value| request.bytes(value.value)).collect()
}

fn encode(value: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(value.len());
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte);
        } else {
            put_percent(byte, &mut encoded);
        }
    }
    encoded
}
