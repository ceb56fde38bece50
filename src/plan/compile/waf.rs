//! `WafPolicies`, `WafEngine`, and the policy of each route.

use super::listener_name::listener_name;
use crate::config::values::Setting;
use crate::config::{Diagnostics, ReferencedFiles, Severity, Sources, Span, codes};
use crate::plan::check::{CheckContext, items};
use crate::plan::document::{Document, RouteDocument, WafEngineDocument};
use crate::stages::waf::compile::compile_engine;
use crate::stages::waf::{WafPolicySet, WafRoute, WafScope};
use std::path::Path;

/// Faults in the sections of the firewall are errors, under Ocelot compatibility too: a misspelled setting would leave
/// requests uninspected.
pub fn make_strict(document: &Document, diagnostics: &mut Diagnostics) {
    let policies = document.waf_policies.as_ref().map(|section| section.span);
    let engine = document.waf_engine.as_ref().map(|section| section.span);
    let sections: Vec<Span> = policies.into_iter().chain(engine).collect();
    let is_inside = |span: &Span| {
        sections.iter().any(|section| {
            section.file == span.file && section.start <= span.start && span.end <= section.end
        })
    };
    for diagnostic in
        diagnostics.list.iter_mut().filter(|diagnostic| diagnostic.span.as_ref().is_some_and(is_inside))
    {
        diagnostic.severity = Severity::Error;
    }
}

/// The policies of a document.
pub fn policies(
    document: &Document,
    sources: &Sources,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> WafPolicySet {
    let file = sources.iter().next().and_then(|(id, _)| sources.get(id)?.path.clone());
    let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_path_buf();
    let nothing = WafEngineDocument::default();
    let engine = document.waf_engine.as_ref().map_or(&nothing, |engine| &engine.value);
    let engine = compile_engine(engine, &folder, attached, diagnostics);
    WafPolicySet::new(&document.waf_policies, engine, &folder, attached, diagnostics)
}

/// The policies of a route: its own, else that of the listener, else the global one.
pub(super) fn route(
    scope: &CheckContext,
    document: &RouteDocument,
    diagnostics: &mut Diagnostics,
) -> Option<WafRoute> {
    let set = &scope.waf;
    let global = scope.document.global_configuration.as_ref();
    let general = match global.map(|global| set.resolve(&global.waf, diagnostics)) {
        Some(WafScope::Policy(policy)) => Some(policy),
        _ => None,
    };
    let own = set.resolve(&document.waf, diagnostics);
    let route = match own {
        WafScope::Policy(policy) => WafRoute { is_own: true, general: Some(policy), listeners: Vec::new() },
        WafScope::Off => {
            let is_enabled_above = general.is_some() || has_listener_policy(scope);
            if is_enabled_above && document.waf.as_ref().is_some_and(|waf| waf.value == "Off") {
                let span = document.waf.as_ref().map(|waf| waf.span).unwrap_or_default();
                diagnostics.warning(codes::WAF_OFF, span, "requests of this route are not inspected");
            }
            WafRoute::default()
        }
        WafScope::Inherited => {
            let listeners = items(&scope.document.listeners).iter().filter_map(|listener| {
                let name = listener_name(listener)
                    .or_else(|| listener.address.as_ref().map(|address| address.value.clone()))?;
                let policy = match set.resolve(&listener.waf, diagnostics) {
                    WafScope::Inherited => return None,
                    WafScope::Off => None,
                    WafScope::Policy(policy) => Some(policy),
                };
                Some((name.as_str().into(), policy))
            });
            let listeners = listeners.collect();
            WafRoute { is_own: false, general, listeners }
        }
    };
    route.is_used().then_some(route)
}

/// Whether a listener names a policy.
fn has_listener_policy(scope: &CheckContext) -> bool {
    items(&scope.document.listeners).iter().any(|listener| is_enabled(&listener.waf))
}

fn is_enabled(setting: &Setting<String>) -> bool {
    setting.as_ref().is_some_and(|name| name.value != "Off")
}

/// Reports what no document names, and listeners that switch off the global policy.
pub fn finish(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    let global = scope.document.global_configuration.as_ref();
    if global.is_some_and(|global| is_enabled(&global.waf)) {
        let listeners = items(&scope.document.listeners).iter().filter_map(|listener| listener.waf.as_ref());
        for off in listeners.filter(|name| name.value == "Off") {
            diagnostics.warning(codes::WAF_OFF, off.span, "requests of this listener are not inspected");
        }
    }
    scope.waf.report_unused(&scope.document.waf_policies, diagnostics);
}
