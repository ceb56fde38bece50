//! Backends and call-outs: what documents may name apart from APIs and products.

use super::{
    blueprint::{BackendBlueprint, BackendKind},
    certificates::certificates,
    identities::{identities, loggers},
    named_values::{NamedValues, service_url},
    subscriptions::choice,
};
use crate::{
    base::{from_text::FromText, ip_set::IpRange, units::DurationText},
    config::{
        Diagnostics, Spanned, codes,
        ids::{Ids, report_unknown},
        values::items,
    },
    plan::{
        check::CheckContext,
        document::backends::{
            BackendDocument, BreakerRuleDocument, FailureConditionDocument, StatusRangeDocument,
        },
    },
    stages::{
        program::backend::{BreakerRule, Credentials, HostRule, ServiceCertificate, ServiceCertificates},
        statements::compiler::Facts,
    },
};
use std::{path::Path, sync::Arc, time::Duration};

/// The failures without a status that open a circuit.
const ERROR_REASONS: [&str; 2] = ["Timeout", "BackendConnectionFailure"];
/// Members of one pool at most.
const MAX_MEMBERS: usize = 30;
const DEFAULT_ENTRA: &str = "https://login.microsoftonline.com";
/// Link-local addresses, where clouds have their metadata.
const DEFAULT_DENY: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// A duration as `1m` or `PT1M`.
fn duration(setting: &Option<Spanned<String>>, default: Duration, diagnostics: &mut Diagnostics) -> Duration {
    let Some(set) = setting else { return default };
    let text = set.trim();
    let iso = text.strip_prefix('P').and_then(iso_duration);
    let read = iso.or_else(|| DurationText::from_text(text).ok().map(|time| time.0));
    if read.is_none_or(|time| time.is_zero()) {
        diagnostics
            .error(codes::BAD_TEXT, set.span, format!("invalid duration \"{}\"", set.value))
            .help("write a duration such as \"10s\" or \"PT10S\", greater than 0");
    }
    read.unwrap_or(default)
}

/// `T10S`, `1DT2H`.
fn iso_duration(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let mut seconds = 0.0;
    for (part, units) in
        [(date, &[('W', 604_800.0), ('D', 86_400.0)][..]), (time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])]
    {
        let mut rest = part;
        while !rest.is_empty() {
            let at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let unit = rest[at..].chars().next()?;
            let (_, factor) = units.iter().find(|(known, _)| *known == unit)?;
            seconds += rest[..at].parse::<f64>().ok()? * factor;
            rest = &rest[at + 1..];
        }
    }
    (seconds < 1e9).then(|| Duration::from_secs_f64(seconds))
}

/// The ids of `Backends`.
pub fn backend_ids(scope: &CheckContext) -> Ids {
    Ids::new(scope.document.backends.iter().flat_map(|map| map.iter()).map(|(id, _)| id.as_str()))
}

/// Compiles `Backends`.
pub fn backends(
    scope: &CheckContext,
    values: &NamedValues,
    certificates: &ServiceCertificates,
    diagnostics: &mut Diagnostics,
) -> Vec<BackendBlueprint> {
    let ids = backend_ids(scope);
    let entries = scope.document.backends.iter().flat_map(|map| map.iter());
    entries
        .filter_map(|(id, backend)| {
            let kind = match choice(&backend.kind, &["Single", "Pool"], diagnostics).as_str() {
                "Pool" => pool(scope, backend, &ids, diagnostics)?,
                _ => single(backend, values, certificates, diagnostics)?,
            };
            Some(BackendBlueprint { id: id.to_lowercase(), kind })
        })
        .collect()
}

fn single(
    backend: &Spanned<BackendDocument>,
    values: &NamedValues,
    certificates: &ServiceCertificates,
    diagnostics: &mut Diagnostics,
) -> Option<BackendKind> {
    let Some(url) = &backend.url else {
        diagnostics.error(codes::API_ENTITY, backend.span, "a backend needs Url");
        return None;
    };
    let url = service_url(url, values, diagnostics)?;
    let certificate = certificate(backend, certificates, diagnostics);
    let credentials = Credentials { certificate, ..credentials(backend, values, diagnostics) };
    let off = |setting: Option<&Option<Spanned<bool>>>| {
        setting.and_then(Option::as_ref).is_some_and(|on| !on.value)
    };
    let tls = backend.tls.as_ref();
    let accepts_any_certificate = off(tls.map(|tls| &tls.validate_certificate_chain));
    if let Some(set) = tls.and_then(|tls| tls.validate_certificate_name.as_ref()).filter(|set| !set.value)
        && !accepts_any_certificate
    {
        diagnostics
            .error(
                codes::API_ENTITY,
                set.span,
                "ValidateCertificateName is false, and ValidateCertificateChain is not",
            )
            .help(
                "set ValidateCertificateChain to false as well, or ServerName in the TlsOptions of a cluster",
            );
    }
    let rules = backend.circuit_breaker.as_ref().map(|breaker| &breaker.rules);
    let breaker = rules.and_then(|rules| breaker(rules, diagnostics));
    Some(BackendKind::Single { url, credentials, breaker, accepts_any_certificate })
}

/// What replaces the credentials of requests.
fn credentials(
    backend: &BackendDocument,
    values: &NamedValues,
    diagnostics: &mut Diagnostics,
) -> Credentials {
    let mut credentials = Credentials::default();
    if let Some(written) = &backend.credentials {
        let mut pairs = |map: &Option<Spanned<crate::config::SpannedMap<Spanned<String>>>>| {
            let entries = map.iter().flat_map(|map| map.iter());
            entries
                .map(|(name, value)| (name.value.clone(), values.fill(value, value.span, diagnostics)))
                .collect()
        };
        credentials.headers = pairs(&written.header);
        credentials.query = pairs(&written.query);
        if let Some(authorization) = &written.authorization {
            let text = |setting: &Option<Spanned<String>>| {
                setting.as_ref().map(|text| (text.value.clone(), text.span))
            };
            let (scheme, _) = text(&authorization.scheme).unwrap_or_default();
            let (parameter, span) = text(&authorization.parameter).unwrap_or_default();
            credentials.authorization =
                Some(format!("{scheme} {}", values.fill(&parameter, span, diagnostics)));
        }
    }
    credentials
}

/// The client certificate of a backend.
fn certificate(
    backend: &BackendDocument,
    certificates: &ServiceCertificates,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<ServiceCertificate>> {
    let list = backend.credentials.as_ref()?.certificate_ids.as_ref().filter(|list| !list.is_empty())?;
    let [id] = list.as_slice() else {
        diagnostics
            .error(codes::API_ENTITY, list.span, "a backend has one client certificate")
            .help("keep one id in CertificateIds");
        return None;
    };
    let found = certificates.get(&id.to_lowercase()).cloned();
    if found.is_none() {
        let known = Ids::new(certificates.values().map(|certificate| certificate.id.as_str()));
        report_unknown("certificate", id, id.span, &known, diagnostics);
    }
    found
}

fn breaker(
    rules: &crate::config::values::List<BreakerRuleDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<BreakerRule> {
    let all = items(rules);
    let [rule] = all else {
        if let Some(list) = rules.as_ref().filter(|list| !list.is_empty()) {
            diagnostics.error(codes::API_ENTITY, list.span, "a circuit breaker has one rule");
        }
        return None;
    };
    let Some(condition) = &rule.failure_condition else {
        diagnostics.error(codes::API_ENTITY, rule.span, "the rule needs FailureCondition");
        return None;
    };
    let (count, percentage) = threshold(condition, diagnostics)?;
    Some(BreakerRule {
        count,
        percentage,
        interval: duration(&condition.interval, Duration::from_secs(60), diagnostics),
        statuses: items(&condition.status_code_ranges)
            .iter()
            .map(|range| statuses(range, diagnostics))
            .collect(),
        reasons: items(&condition.error_reasons)
            .iter()
            .map(|reason| choice(&Some(reason.clone()), &ERROR_REASONS, diagnostics))
            .collect(),
        trip: duration(&rule.trip_duration, Duration::from_secs(60), diagnostics),
        accepts_retry_after: rule.accept_retry_after.as_ref().is_some_and(|on| on.value),
    })
}

/// The count or the percentage of failures that opens a circuit.
fn threshold(
    condition: &Spanned<FailureConditionDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<(Option<usize>, Option<f64>)> {
    let count =
        condition.count.as_ref().and_then(|count| usize::try_from(count.value).ok()).filter(|n| *n > 0);
    let percentage = condition.percentage.as_ref().map(|percentage| percentage.value);
    if count.is_some() == percentage.is_some() {
        let message = "FailureCondition has either Count or Percentage, greater than 0";
        diagnostics.error(codes::API_ENTITY, condition.span, message);
        return None;
    }
    let is_valid = |set: &f64| *set > 0.0 && *set <= 100.0;
    if let Some(set) = condition.percentage.as_ref().filter(|set| !is_valid(&set.value)) {
        diagnostics
            .error(codes::OUT_OF_RANGE, set.span, format!("invalid Percentage {}", set.value))
            .help("must be greater than 0, 100 at most");
    }
    Some((count, percentage))
}

/// The first and the last status of a range.
fn statuses(range: &Spanned<StatusRangeDocument>, diagnostics: &mut Diagnostics) -> (u16, u16) {
    let status = |setting: &Option<Spanned<i64>>, default| setting.as_ref().map_or(default, |set| set.value);
    let (min, max) = (status(&range.min, 100), status(&range.max, 599));
    if !(100..=599).contains(&min) || !(min..=599).contains(&max) {
        diagnostics
            .error(codes::OUT_OF_RANGE, range.span, format!("invalid range of statuses {min} to {max}"))
            .help("must be within 100 to 599, with Min not above Max");
    }
    (min.clamp(0, 599) as u16, max.clamp(0, 599) as u16)
}

fn pool(
    scope: &CheckContext,
    backend: &Spanned<BackendDocument>,
    ids: &Ids,
    diagnostics: &mut Diagnostics,
) -> Option<BackendKind> {
    let services = backend.pool.as_ref().map_or(&[][..], |pool| items(&pool.services));
    if services.is_empty() || services.len() > MAX_MEMBERS {
        diagnostics.error(codes::API_ENTITY, backend.span, format!("a pool has 1 to {MAX_MEMBERS} Services"));
        return None;
    }
    let mut members = Vec::new();
    for service in services {
        let Some(id) = &service.id else {
            diagnostics.error(codes::API_ENTITY, service.span, "a member of a pool needs Id");
            continue;
        };
        let Some(known) = ids.get(id) else {
            report_unknown("backend", id, id.span, ids, diagnostics);
            continue;
        };
        if is_pool(scope, known) {
            diagnostics.error(codes::API_ENTITY, id.span, "a pool cannot contain a pool");
        }
        let priority = one_to(1000, &service.priority, diagnostics);
        members.push((known.to_lowercase(), priority, one_to(100, &service.weight, diagnostics)));
    }
    let session = backend.pool.as_ref().and_then(|pool| pool.session_affinity.as_ref());
    let session = session.and_then(|affinity| affinity.session_id.as_ref());
    if let Some(id) = session {
        choice(&id.source, &["Cookie"], diagnostics);
    }
    let cookie =
        session.map(|id| id.name.as_ref().map_or_else(|| "SessionId".to_owned(), |name| name.value.clone()));
    Some(BackendKind::Pool { members, affinity_cookie: cookie })
}

fn is_pool(scope: &CheckContext, id: &str) -> bool {
    let entries = scope.document.backends.iter().flat_map(|map| map.iter());
    let found = entries.into_iter().find(|(known, _)| known.value == id);
    found.is_some_and(|(_, backend)| {
        backend.kind.as_ref().is_some_and(|kind| kind.eq_ignore_ascii_case("Pool"))
    })
}

/// A number from 1; 1 without a setting.
fn one_to(max: i64, setting: &Option<Spanned<i64>>, diagnostics: &mut Diagnostics) -> u32 {
    match setting {
        None => 1,
        Some(set) if (1..=max).contains(&set.value) => set.value as u32,
        Some(set) => {
            diagnostics
                .error(codes::OUT_OF_RANGE, set.span, "invalid number")
                .help(format!("must be 1 to {max}"));
            1
        }
    }
}

/// Host patterns and networks.
pub fn host_rules(list: &crate::config::values::List<String>, default: &[&str]) -> Vec<HostRule> {
    let rule = |text: &str| match IpRange::parse(text) {
        Some(range) => HostRule::Network(range),
        None => HostRule::Host(text.trim().to_ascii_lowercase()),
    };
    match list {
        Some(list) => list.iter().map(|text| rule(text)).collect(),
        None => default.iter().map(|text| rule(text)).collect(),
    }
}

/// The hosts that call-outs may and may not call.
pub fn callouts(scope: &CheckContext) -> (Vec<HostRule>, Vec<HostRule>) {
    let callouts = scope.document.api_management.as_ref().and_then(|api| api.callouts.as_ref());
    let nothing = None;
    let (allow, deny) = callouts.map_or((&nothing, &nothing), |rules| (&rules.allow, &rules.deny));
    (host_rules(allow, &[]), host_rules(deny, &DEFAULT_DENY))
}

/// What documents may name.
pub fn facts(scope: &CheckContext, values: &NamedValues, diagnostics: &mut Diagnostics) -> Facts {
    let document = scope.document;
    let own = document.backends.iter().flat_map(|map| map.iter()).map(|(id, _)| id.value.clone());
    let clusters = document.clusters.iter().flat_map(|map| map.iter()).map(|(name, _)| name.value.clone());
    let backend_names: Vec<String> = own.chain(clusters).collect();
    let folder = scope
        .sources
        .iter()
        .next()
        .and_then(|(_, source)| source.path.as_deref()?.parent())
        .map(Path::to_path_buf);
    let folder = folder.unwrap_or_default();
    let (allow, _) = callouts(scope);
    let management = document.api_management.as_ref();
    Facts {
        backends: backend_names.iter().map(|name| name.to_lowercase()).collect(),
        backend_names,
        identities: identities(scope, &folder, values, diagnostics),
        certificates: certificates(scope, diagnostics),
        loggers: loggers(scope, &folder, diagnostics),
        apis: None,
        operations: std::collections::HashMap::new(),
        has_callout_rules: !allow.is_empty(),
        entra_authority: management
            .and_then(|api| api.entra_authority.as_ref())
            .map_or_else(|| DEFAULT_ENTRA.to_owned(), |url| url.value.clone()),
        schemes: Some(scope.gateway.schemes.clone()),
    }
}
