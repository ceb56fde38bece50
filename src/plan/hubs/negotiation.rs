//! `NegotiateOptions`.

use super::{blueprint::HubServiceBlueprint, documents::NegotiateOptions, signalr};
use crate::config::{Diagnostics, Spanned, codes, ranges::RangeChecker};
use crate::plan::check::{items, non_blank};
use crate::realtime::config::{NegotiateConfig, ServiceType};
use std::time::Duration;

/// The beginning of a placeholder for a claim.
const CLAIM: &str = "{claim:";

/// Compiles the options of a route to this service.
pub fn compile(
    document: &Spanned<Box<NegotiateOptions>>,
    service: Option<&HubServiceBlueprint>,
    diagnostics: &mut Diagnostics,
) -> Option<NegotiateConfig> {
    let Some(hub) = non_blank(&document.hub) else {
        diagnostics
            .error(codes::BAD_NEGOTIATION, document.span, "NegotiateOptions have no Hub")
            .help("set the hub that the tokens are for");
        return None;
    };
    let name = hub.value.to_ascii_lowercase();
    if let Some(service) = service
        && (service.config.hub(&name).is_none() || !super::hub::is_valid_name(&name))
    {
        let message = format!("the hub service \"{}\" has no hub \"{}\"", service.config.name, hub.value);
        diagnostics
            .error(codes::BAD_NEGOTIATION, hub.span, message)
            .help("add it to Hubs of the service, or set another Hub");
    }
    if service.is_some_and(|service| service.config.service_type == ServiceType::SignalR) {
        signalr::report_roles(document, diagnostics);
    }
    let mut texts = |list: &crate::config::values::List<String>| -> Vec<Box<str>> {
        items(list).iter().map(|text| checked(text, diagnostics)).collect()
    };
    let (roles, groups) = (texts(&document.roles), texts(&document.groups));
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let mut ranges = RangeChecker::for_code(codes::HUB_RANGE, diagnostics);
    Some(NegotiateConfig {
        hub: name.into(),
        user_id_claim: non_blank(&document.user_id_claim).map(|claim| claim.value.as_str().into()),
        roles,
        groups,
        expiry: ranges.time("Expiry", &document.expiry, hour, minute, 24 * hour),
    })
}

/// A text whose placeholders are valid.
fn checked(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Box<str> {
    let mut rest = text.as_str();
    while let Some(at) = rest.find(CLAIM) {
        let inner = &rest[at + CLAIM.len()..];
        match inner.split_once('}') {
            Some((name, after)) if !name.is_empty() => rest = after,
            _ => {
                diagnostics
                    .error(
                        codes::BAD_NEGOTIATION,
                        text.span,
                        format!("malformed placeholder in \"{}\"", text.value),
                    )
                    .help("write {claim:TYPE}, such as room-{claim:sub}");
                break;
            }
        }
    }
    text.value.as_str().into()
}
