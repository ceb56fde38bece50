//! `Exclusions`, `Presets` and `LogScrubbing`.

use super::choice::report_unknown;
use crate::config::values::items;
use crate::config::{Diagnostics, Spanned, codes};
use crate::stages::waf::options::{WafExclusionDocument, WafPolicyDocument, WafScrubbingDocument};
use crate::stages::waf::scrubbing::Scrubbing;
use crate::waf::language::rule::Rule;
use crate::waf::policy::compiled::ExclusionRule;
use crate::waf::policy::exclusion::{ExcludedPart, Exclusion, JsonSelector, NameTest, PathPattern};
use std::collections::HashSet;

const PARTS: [(&str, ExcludedPart); 10] = [
    ("RequestArgValues", ExcludedPart::ArgumentValues),
    ("RequestArgKeys", ExcludedPart::ArgumentNames),
    ("RequestHeaderValues", ExcludedPart::HeaderValues),
    ("RequestHeaderKeys", ExcludedPart::HeaderNames),
    ("RequestCookieValues", ExcludedPart::CookieValues),
    ("RequestCookieKeys", ExcludedPart::CookieNames),
    ("RequestFileNames", ExcludedPart::FileNames),
    ("RequestXml", ExcludedPart::Xml),
    ("RequestBody", ExcludedPart::Body),
    ("RequestPath", ExcludedPart::Path),
];

const OPERATORS: [&str; 5] = ["Equals", "StartsWith", "EndsWith", "Contains", "EqualsAny"];

const ODATA: [&str; 11] = [
    "$filter", "$select", "$orderby", "$expand", "$search", "$apply", "$compute", "$top", "$skip", "$count",
    "$format",
];

/// The ids and groups that the loaded rules have.
pub(super) struct KnownRules {
    pub ids: HashSet<u32>,
    pub groups: HashSet<u32>,
}

impl KnownRules {
    /// The nearest existing number.
    pub fn nearest(known: &HashSet<u32>, wanted: u32) -> Option<u32> {
        known.iter().copied().min_by_key(|id| (id.abs_diff(wanted), *id))
    }
}

/// All exclusions of a policy.
pub(super) fn exclusions(
    document: &WafPolicyDocument,
    known: &KnownRules,
    diagnostics: &mut Diagnostics,
) -> Vec<ExclusionRule> {
    let list = items(&document.exclusions);
    if let Some(last) = list.get(10_000) {
        diagnostics.error(codes::WAF_EXCLUSION, last.span, "more than 10000 exclusions");
    }
    let mut found: Vec<ExclusionRule> =
        list.iter().filter_map(|exclusion| exclusion_rule(exclusion, known, diagnostics)).collect();
    for preset in items(&document.presets) {
        match preset.as_str() {
            "GraphQL" => found.extend(graphql()),
            "OData" => found.extend(odata()),
            _ => report_unknown(codes::UNKNOWN_CHOICE, "preset", preset, &["GraphQL", "OData"], diagnostics),
        }
    }
    found
}

fn preset(part: ExcludedPart, name: NameTest, groups: &'static [u32]) -> ExclusionRule {
    let is_selected =
        Box::new(move |rule: &Rule| groups.contains(&rule.group()) || built_in_group(rule, groups));
    ExclusionRule { exclusion: Exclusion { path: None, part, name }, is_selected }
}

/// The groups of the built-in rules that correspond to those of CRS: 1xx for 9xx.
fn built_in_group(rule: &Rule, groups: &[u32]) -> bool {
    (100..200).contains(&rule.group()) && groups.contains(&(rule.group() + 800))
}

fn graphql() -> Vec<ExclusionRule> {
    const GROUPS: &[u32] = &[932, 934, 941, 942];
    let plain = ["query", "operations"].map(|name| NameTest::Equals(name.as_bytes().to_vec()));
    let json = ["$.query", "$[*].query"].into_iter().filter_map(JsonSelector::parse).map(NameTest::Json);
    let names = plain.into_iter().chain(json);
    names.map(|name| preset(ExcludedPart::ArgumentValues, name, GROUPS)).collect()
}

fn odata() -> Vec<ExclusionRule> {
    const GROUPS: &[u32] = &[932, 942];
    let names = ODATA.iter().chain(&["$skiptoken", "$deltatoken"]);
    let parts = [ExcludedPart::ArgumentValues, ExcludedPart::ArgumentNames];
    let test = |name: &&str| NameTest::Equals(name.as_bytes().to_vec());
    names.flat_map(|name| parts.map(|part| preset(part, test(name), GROUPS))).collect()
}

fn exclusion_rule(
    document: &Spanned<WafExclusionDocument>,
    known: &KnownRules,
    diagnostics: &mut Diagnostics,
) -> Option<ExclusionRule> {
    let part = part(document.variable.as_ref(), document.span, diagnostics)?;
    let name =
        name_test(part, document.operator.as_ref(), document.selector.as_ref(), document.span, diagnostics)?;
    let path = document.path.as_ref().map(|path| {
        if !path.starts_with(['/', '*']) {
            diagnostics
                .error(codes::WAF_EXCLUSION, path.span, format!("invalid Path \"{}\"", path.value))
                .help("must begin with `/` or `*`, such as /cms/*");
        }
        PathPattern::new(path)
    });
    let rules = numbers(&document.rules, known, diagnostics);
    let groups = groups(document, known, diagnostics);
    let is_selected: Box<dyn Fn(&Rule) -> bool> = match (rules.is_empty(), groups.is_empty()) {
        (true, true) => Box::new(|_| true),
        _ => Box::new(move |rule| rules.contains(&rule.id) || groups.contains(&rule.group())),
    };
    Some(ExclusionRule { exclusion: Exclusion { path, part, name }, is_selected })
}

fn numbers(
    list: &crate::config::values::List<i64>,
    known: &KnownRules,
    diagnostics: &mut Diagnostics,
) -> HashSet<u32> {
    let mut ids = HashSet::new();
    for id in items(list) {
        match u32::try_from(id.value) {
            Ok(number) if known.ids.contains(&number) => {
                ids.insert(number);
            }
            _ => report_rule(id.span, &id.value.to_string(), &known.ids, "rule", diagnostics),
        }
    }
    ids
}

fn groups(
    document: &WafExclusionDocument,
    known: &KnownRules,
    diagnostics: &mut Diagnostics,
) -> HashSet<u32> {
    let mut groups = HashSet::new();
    for group in items(&document.groups) {
        match group.trim().parse() {
            Ok(number) if known.groups.contains(&number) => {
                groups.insert(number);
            }
            _ => report_rule(group.span, group, &known.groups, "group", diagnostics),
        }
    }
    groups
}

/// Reports a rule or a group that the loaded rules do not have.
pub(super) fn report_rule(
    span: crate::config::Span,
    text: &str,
    known: &HashSet<u32>,
    kind: &str,
    diagnostics: &mut Diagnostics,
) {
    let diagnostic = diagnostics.error(codes::WAF_MANAGED_RULE, span, format!("unknown {kind} {text}"));
    let nearest = text.trim().parse().ok().and_then(|wanted| KnownRules::nearest(known, wanted));
    match nearest {
        Some(nearest) => diagnostic.help(format!("the nearest {kind} of the loaded rules is {nearest}")),
        None => diagnostic.help(format!("expected the number of a {kind}")),
    };
}

fn part(
    variable: Option<&Spanned<String>>,
    span: crate::config::Span,
    diagnostics: &mut Diagnostics,
) -> Option<ExcludedPart> {
    let found = variable.and_then(|variable| PARTS.iter().find(|(name, _)| *name == variable.value));
    if found.is_none() {
        let names = PARTS.map(|(name, _)| name);
        match variable {
            Some(variable) => {
                report_unknown(codes::WAF_EXCLUSION, "Variable", variable, &names, diagnostics);
            }
            None => {
                diagnostics
                    .error(codes::WAF_EXCLUSION, span, "missing Variable")
                    .help(format!("expected {}", names.join(", ")));
            }
        }
    }
    found.map(|(_, part)| *part)
}

fn name_test(
    part: ExcludedPart,
    operator: Option<&Spanned<String>>,
    selector: Option<&Spanned<String>>,
    span: crate::config::Span,
    diagnostics: &mut Diagnostics,
) -> Option<NameTest> {
    let word = operator.map_or("Equals", |operator| operator.as_str());
    let is_single = matches!(part, ExcludedPart::Xml | ExcludedPart::Body | ExcludedPart::Path);
    if is_single || word == "EqualsAny" {
        let unused = selector.or(operator.filter(|_| word != "EqualsAny"));
        if let Some(unused) = unused {
            let message = format!("unused \"{}\": all parts of the variable are excluded", unused.value);
            let help = if is_single { "remove Selector and Operator" } else { "remove Selector" };
            diagnostics.error(codes::WAF_EXCLUSION, unused.span, message).help(help);
        }
        return Some(NameTest::Any);
    }
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        diagnostics
            .error(codes::WAF_EXCLUSION, span, "missing Selector")
            .help("name the part, or write \"Operator\": \"EqualsAny\" for all of them");
        return None;
    };
    let is_header = matches!(part, ExcludedPart::HeaderValues | ExcludedPart::HeaderNames);
    let text = if is_header { selector.to_ascii_lowercase() } else { selector.value.clone() };
    let is_argument = matches!(part, ExcludedPart::ArgumentValues | ExcludedPart::ArgumentNames);
    if is_argument && (text.starts_with("$.") || text.starts_with("$[")) {
        return json_test(word, selector, diagnostics);
    }
    let test = text_test(word, text.into_bytes());
    if let Some(operator) = operator.filter(|_| test.is_none()) {
        report_unknown(codes::WAF_EXCLUSION, "Operator", operator, &OPERATORS, diagnostics);
    }
    test
}

fn text_test(operator: &str, text: Vec<u8>) -> Option<NameTest> {
    Some(match operator {
        "Equals" => NameTest::Equals(text),
        "StartsWith" => NameTest::StartsWith(text),
        "EndsWith" => NameTest::EndsWith(text),
        "Contains" => NameTest::Contains(text),
        _ => return None,
    })
}

fn json_test(word: &str, selector: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<NameTest> {
    match JsonSelector::parse(selector) {
        Some(path) if word == "Equals" => Some(NameTest::Json(path)),
        _ => {
            diagnostics
                .error(
                    codes::WAF_EXCLUSION,
                    selector.span,
                    format!("invalid Selector \"{}\"", selector.value),
                )
                .help("expected a path such as $.items[*].text, with the operator Equals");
            None
        }
    }
}

/// What the log does not contain.
pub(super) fn scrubbing(list: &[Spanned<WafScrubbingDocument>], diagnostics: &mut Diagnostics) -> Scrubbing {
    let mut scrubbing = Scrubbing::default();
    for document in list {
        if document.variable.as_ref().is_some_and(|variable| variable.value == "RemoteAddr") {
            scrubbing.hides_address = true;
            if let Some(unused) = document.operator.as_ref().or(document.selector.as_ref()) {
                diagnostics
                    .error(codes::WAF_EXCLUSION, unused.span, format!("unused \"{}\"", unused.value))
                    .help("remove Operator and Selector: RemoteAddr is one value");
            }
            continue;
        }
        let Some(part) = part(document.variable.as_ref(), document.span, diagnostics) else { continue };
        let (operator, selector) = (document.operator.as_ref(), document.selector.as_ref());
        if let Some(name) = name_test(part, operator, selector, document.span, diagnostics) {
            scrubbing.parts.push(Exclusion { path: None, part, name });
        }
    }
    scrubbing
}
