//! `CustomRules`.

use super::choice::{choose, report_unknown};
use crate::base::ip_set::IpRange;
use crate::config::ranges::RangeChecker;
use crate::config::values::items;
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::stages::partition_key::KeyPart;
use crate::stages::rate_limit::fixed_window::FixedWindow;
use crate::stages::rate_limit::period;
use crate::stages::waf::country::CountryDatabase;
use crate::stages::waf::custom_rules::{
    CustomAction, CustomCondition, CustomOperator, CustomRateLimit, CustomRule, CustomTransform,
    CustomVariable,
};
use crate::stages::waf::options::{WafConditionDocument, WafCustomRuleDocument, WafRateLimitDocument};
use crate::waf::transform::Transform;
use std::collections::HashSet;
use std::sync::Arc;

const VARIABLES: [&str; 9] = [
    "RemoteAddr",
    "RequestMethod",
    "RequestUri",
    "RequestPath",
    "QueryString",
    "RequestBody",
    "RequestHeaders:NAME",
    "RequestCookies:NAME",
    "PostArgs:NAME",
];

const OPERATORS: [&str; 12] = [
    "IPMatch",
    "GeoMatch",
    "Equal",
    "Contains",
    "BeginsWith",
    "EndsWith",
    "Regex",
    "LessThan",
    "GreaterThan",
    "LessThanOrEqual",
    "GreaterThanOrEqual",
    "Any",
];

const PARTITIONS: [&str; 6] = ["ClientId", "IP", "Claim:TYPE", "Header:NAME", "Route", "Country"];

const TRANSFORMS: [(&str, CustomTransform); 7] = [
    ("Lowercase", CustomTransform::Rule(Transform::Lowercase)),
    ("Uppercase", CustomTransform::Rule(Transform::Uppercase)),
    ("Trim", CustomTransform::Rule(Transform::Trim)),
    ("UrlDecode", CustomTransform::Rule(Transform::UrlDecode)),
    ("UrlEncode", CustomTransform::UrlEncode),
    ("RemoveNulls", CustomTransform::Rule(Transform::RemoveNulls)),
    ("HtmlEntityDecode", CustomTransform::Rule(Transform::HtmlEntityDecode)),
];

/// Compiles the custom rules of a policy.
pub(super) struct CustomRuleCompiler<'c> {
    pub policy: &'c str,
    pub countries: Option<&'c Arc<CountryDatabase>>,
    pub is_body_inspected: bool,
    pub diagnostics: &'c mut Diagnostics,
}

impl CustomRuleCompiler<'_> {
    /// The rules in the order of their priorities.
    pub fn compile(mut self, documents: &[Spanned<WafCustomRuleDocument>]) -> Vec<CustomRule> {
        if let Some(last) = documents.get(1000) {
            self.fail(last.span, "more than 1000 custom rules", "split them into several policies");
        }
        let (mut names, mut priorities) = (HashSet::new(), HashSet::new());
        let mut rules = Vec::new();
        for document in documents {
            let name = document.name.as_ref().map_or("", |name| name.trim());
            if name.is_empty() || name.len() > 128 || !names.insert(name) {
                let text = format!("invalid Name \"{name}\" of a custom rule");
                self.fail(document.span, &text, "must be unique and have 1 to 128 characters");
            }
            let priority = document.priority.as_ref().map_or(0, |priority| priority.value);
            if !(1..=10_000).contains(&priority) || !priorities.insert(priority) {
                let text = format!("invalid Priority {priority} of custom rule \"{name}\"");
                self.fail(document.span, &text, "must be unique and between 1 and 10000");
            }
            let rule = self.rule(name, document);
            if document.enabled.as_ref().is_none_or(|on| on.value) {
                rules.push((priority, rule));
            }
        }
        rules.sort_by_key(|(priority, _)| *priority);
        rules.into_iter().map(|(_, rule)| rule).collect()
    }

    fn fail(&mut self, span: Span, message: &str, help: &str) {
        self.diagnostics.error(codes::WAF_CUSTOM_RULE, span, message.to_owned()).help(help.to_owned());
    }

    fn fail_unknown(&mut self, name: &str, setting: &Spanned<String>, words: &[&str]) {
        report_unknown(codes::WAF_CUSTOM_RULE, name, setting, words, self.diagnostics);
    }

    fn rule(&mut self, name: &str, document: &Spanned<WafCustomRuleDocument>) -> CustomRule {
        let actions =
            [("Block", CustomAction::Block), ("Allow", CustomAction::Allow), ("Log", CustomAction::Log)];
        if document.action.is_none() {
            self.fail(
                document.span,
                &format!("custom rule \"{name}\" without Action"),
                "expected Allow, Block, Log",
            );
        }
        let action = choose("Action", document.action.as_ref(), &actions, self.diagnostics);
        let conditions = items(&document.conditions);
        if conditions.is_empty() {
            let help =
                "add a condition; {\"Variables\": [\"RequestMethod\"], \"Operator\": \"Any\"} holds for all";
            self.fail(document.span, &format!("custom rule \"{name}\" without Conditions"), help);
        }
        let conditions = conditions.iter().filter_map(|condition| self.condition(condition)).collect();
        let mut ranges = RangeChecker::for_code(codes::WAF_CUSTOM_RULE, self.diagnostics);
        let status = ranges.number("Status", &document.status, 200, 599).map(|status| status as u16);
        self.check_action(action, document);
        let rate_limit = document.rate_limit.as_ref().and_then(|limit| self.rate_limit(name, limit));
        let rule = CustomRule { name: name.to_owned(), action, conditions, status, rate_limit };
        if rule.reads_body() && !self.is_body_inspected {
            let message = format!("custom rule \"{name}\" reads the body, which is not inspected");
            self.fail(document.span, &message, "set RequestBody.Inspect to true, or use other variables");
        }
        rule
    }

    /// Settings that the action does not use.
    fn check_action(&mut self, action: CustomAction, document: &WafCustomRuleDocument) {
        if let (Some(limit), CustomAction::Allow) = (&document.rate_limit, action) {
            self.fail(limit.span, "RateLimit of a rule that allows", "use Block or Log");
        }
        if let Some(status) = document.status.as_ref().filter(|_| action != CustomAction::Block) {
            self.fail(status.span, "Status of a rule that does not block", "use Block, or remove Status");
        }
    }

    fn rate_limit(
        &mut self,
        name: &str,
        document: &Spanned<WafRateLimitDocument>,
    ) -> Option<CustomRateLimit> {
        let mut ranges = RangeChecker::for_code(codes::WAF_CUSTOM_RULE, self.diagnostics);
        let limit = ranges.number("Limit", &document.limit, 1, 1 << 40);
        let period =
            document.period.as_ref().and_then(|period| period::read(period)).filter(|time| !time.is_zero());
        let (Some(limit), Some(period)) = (limit, period) else {
            let help = "set Limit, 1 or more, and Period, such as 1m";
            self.fail(document.span, "invalid RateLimit", help);
            return None;
        };
        let (mut parts, mut is_by_country) = (Vec::new(), false);
        if document.partition_by.is_none() {
            parts.push(KeyPart::Ip);
        }
        for text in items(&document.partition_by) {
            match KeyPart::parse(text, "Oc-Client") {
                Some(part) => parts.push(part),
                None if text.value == "Country" => is_by_country = true,
                None => self.fail_unknown("PartitionBy entry", text, &PARTITIONS),
            }
        }
        let by_country = if is_by_country { self.country_database(document.span) } else { None };
        let window = FixedWindow { limit, period_ns: period.as_nanos() as u64, penalty_ns: 0 };
        let counter = format!("waf|{}|{name}|{limit}/{}", self.policy, period.as_nanos());
        Some(CustomRateLimit { window, parts, by_country, counter })
    }

    fn country_database(&mut self, span: Span) -> Option<Arc<CountryDatabase>> {
        if self.countries.is_none() {
            self.fail(span, "countries without a database", "set WafEngine.CountryFile to a MaxMind DB file");
        }
        self.countries.cloned()
    }

    fn condition(&mut self, document: &Spanned<WafConditionDocument>) -> Option<CustomCondition> {
        let mut variables = Vec::new();
        for text in items(&document.variables) {
            match CustomVariable::parse(text) {
                Some(variable) => variables.push(variable),
                None => self.fail_unknown("variable", text, &VARIABLES),
            }
        }
        if items(&document.variables).is_empty() {
            let help = format!("expected {}", VARIABLES.join(", "));
            self.fail(document.span, "condition without Variables", &help);
        }
        let transforms = self.transforms(document);
        let operator = self.operator(document, &variables)?;
        let is_inverted = document.not.as_ref().is_some_and(|on| on.value);
        Some(CustomCondition { variables, operator, is_inverted, transforms })
    }

    fn transforms(&mut self, document: &WafConditionDocument) -> Vec<CustomTransform> {
        let mut transforms = Vec::new();
        for text in items(&document.transforms) {
            match TRANSFORMS.iter().find(|(name, _)| *name == text.value) {
                Some((_, transform)) => transforms.push(*transform),
                None => {
                    let names = TRANSFORMS.map(|(name, _)| name);
                    self.fail_unknown("transform", text, &names);
                }
            }
        }
        transforms
    }

    fn operator(
        &mut self,
        document: &Spanned<WafConditionDocument>,
        variables: &[CustomVariable],
    ) -> Option<CustomOperator> {
        let values = items(&document.values);
        let Some(operator) = &document.operator else {
            let help = format!("expected {}", OPERATORS.join(", "));
            self.fail(document.span, "condition without Operator", &help);
            return None;
        };
        self.check_unused(operator, document);
        let is_address = matches!(operator.as_str(), "IPMatch" | "GeoMatch");
        if is_address && variables.iter().any(|variable| *variable != CustomVariable::RemoteAddr) {
            let message = format!("{} of another variable than RemoteAddr", operator.value);
            self.fail(operator.span, &message, "use RemoteAddr");
        }
        if operator.as_str() != "Any" && values.is_empty() {
            self.fail(document.span, &format!("{} without Values", operator.value), "add at least one value");
        }
        let texts = values.iter().map(|text| text.value.clone().into_bytes()).collect();
        Some(match operator.as_str() {
            "Equal" => CustomOperator::Equal(texts),
            "Contains" => CustomOperator::Contains(texts),
            "BeginsWith" => CustomOperator::BeginsWith(texts),
            "EndsWith" => CustomOperator::EndsWith(texts),
            "Any" => CustomOperator::Any,
            _ => return self.other_operator(operator, values),
        })
    }

    /// Settings that the operator does not use.
    fn check_unused(&mut self, operator: &Spanned<String>, document: &WafConditionDocument) {
        let name = operator.as_str();
        if let Some(value) = items(&document.values).first().filter(|_| name == "Any") {
            self.fail(value.span, "Values of Any", "remove Values: Any holds for every value of a field");
        }
        if let Some(transform) = items(&document.transforms).first()
            && matches!(name, "Any" | "IPMatch" | "GeoMatch")
        {
            let help = format!("remove Transforms: {name} does not read the text of the variable");
            self.fail(transform.span, &format!("Transforms of {name}"), &help);
        }
    }

    fn other_operator(
        &mut self,
        operator: &Spanned<String>,
        values: &[Spanned<String>],
    ) -> Option<CustomOperator> {
        Some(match operator.as_str() {
            "IPMatch" => CustomOperator::IpMatch(self.networks(values).into_iter().collect()),
            "GeoMatch" => {
                let countries = self.country_codes(values);
                CustomOperator::GeoMatch(countries, self.country_database(operator.span)?)
            }
            "Regex" => CustomOperator::Regex(self.patterns(values)),
            "LessThan" => CustomOperator::LessThan(self.limits(values)),
            "GreaterThan" => CustomOperator::GreaterThan(self.limits(values)),
            "LessThanOrEqual" => CustomOperator::LessThanOrEqual(self.limits(values)),
            "GreaterThanOrEqual" => CustomOperator::GreaterThanOrEqual(self.limits(values)),
            _ => {
                self.fail_unknown("operator", operator, &OPERATORS);
                return None;
            }
        })
    }

    fn country_codes(&mut self, values: &[Spanned<String>]) -> Vec<String> {
        let mut codes = Vec::new();
        for text in values {
            let code = text.trim().to_ascii_uppercase();
            if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
                codes.push(code);
            } else {
                let message = format!("invalid country \"{}\"", text.value);
                self.fail(
                    text.span,
                    &message,
                    "expected an ISO 3166 alpha-2 code such as AT, or ZZ for unknown",
                );
            }
        }
        codes
    }

    fn networks(&mut self, values: &[Spanned<String>]) -> Vec<IpRange> {
        let mut ranges = Vec::new();
        for text in values {
            match IpRange::parse(text) {
                Some(range) => ranges.push(range),
                None => {
                    let help = "expected 10.0.0.1, 10.0.0.1-9, 10.0.0.1-10.0.1.9 or 10.0.0.0/8";
                    self.fail(text.span, &format!("invalid address \"{}\"", text.value), help);
                }
            }
        }
        ranges
    }

    fn patterns(&mut self, values: &[Spanned<String>]) -> Vec<regex::bytes::Regex> {
        let mut patterns = Vec::new();
        for text in values {
            match regex::bytes::Regex::new(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => {
                    let last = error.to_string();
                    let last = last.lines().last().unwrap_or_default().to_owned();
                    self.fail(text.span, &format!("invalid regular expression \"{}\"", text.value), &last);
                }
            }
        }
        patterns
    }

    fn limits(&mut self, values: &[Spanned<String>]) -> Vec<f64> {
        let mut limits = Vec::new();
        for text in values {
            match text.trim().parse::<f64>() {
                Ok(limit) if limit.is_finite() => limits.push(limit),
                _ => self.fail(
                    text.span,
                    &format!("invalid number \"{}\"", text.value),
                    "expected a number such as 10",
                ),
            }
        }
        limits
    }
}
