//! `TrafficRules` → the matrix.

use super::blueprint::RolesBlueprint;
use super::matrix::{TrafficMatrix, TrafficRule, TrafficRules};
use super::snapshot::is_internal;
use super::values::choice;
use crate::config::ranges::RangeChecker;
use crate::config::values::items;
use crate::config::{Diagnostics, Spanned, codes, suggest};
use crate::plan::document::{TrafficRuleDocument, TrafficRulesDocument};
use std::sync::Arc;
use std::time::Duration;

/// Compiles the rules between the roles.
pub fn matrix(
    blueprint: &RolesBlueprint,
    document: Option<&Spanned<TrafficRulesDocument>>,
    diagnostics: &mut Diagnostics,
) -> TrafficMatrix {
    let sources: Vec<Arc<str>> = blueprint.roles.iter().map(|role| role.name.clone()).collect();
    let mut destinations: Vec<(Arc<str>, usize)> = Vec::new();
    for (role, document) in blueprint.roles.iter().enumerate() {
        let own = document.endpoints.iter().filter(is_internal);
        destinations.extend(own.map(|endpoint| (endpoint.full_name.value.as_str().into(), role)));
    }
    let rules = document.map(|document| {
        let mut compiler =
            RulesCompiler { blueprint, sources: &sources, destinations: &destinations, diagnostics };
        compiler.rules(document)
    });
    if let Some(document) = document {
        warn_without_effect(blueprint, document, diagnostics);
    }
    TrafficMatrix::new(sources, destinations, rules)
}

/// Rules apply to what passes through the gateway.
fn warn_without_effect(
    blueprint: &RolesBlueprint,
    document: &Spanned<TrafficRulesDocument>,
    diagnostics: &mut Diagnostics,
) {
    let passes = |endpoint: &super::blueprint::RoleEndpoint| endpoint.gateway_port.is_some();
    let is_passed = blueprint.endpoints().filter(is_internal).any(passes);
    if !is_passed && blueprint.options.internal_listener.is_none() {
        diagnostics
            .warning(
                codes::RULES_WITHOUT_EFFECT,
                document.span,
                "no internal endpoint passes through the gateway",
            )
            .help("set GatewayPort on internal endpoints, or RoleOptions.InternalListener")
            .help("for the firewall of the instances: margay roles export --format nftables");
    }
}

struct RulesCompiler<'r, 'o> {
    blueprint: &'r RolesBlueprint,
    sources: &'r [Arc<str>],
    destinations: &'r [(Arc<str>, usize)],
    diagnostics: &'o mut Diagnostics,
}

const ALLOW_OR_DENY: [(&str, bool); 2] = [("Deny", false), ("Allow", true)];

impl RulesCompiler<'_, '_> {
    fn rules(&mut self, document: &Spanned<TrafficRulesDocument>) -> TrafficRules {
        let same_role = [("ByRule", false), ("Allow", true)];
        let mode = [("Enforce", false), ("Audit", true)];
        let out = &mut *self.diagnostics;
        let allows_by_default = choice("DefaultAction", &document.default_action, &ALLOW_OR_DENY, out);
        let allows_same_role = choice("SameRole", &document.same_role, &same_role, out);
        let allows_unknown_source = choice("UnknownSource", &document.unknown_source, &ALLOW_OR_DENY, out);
        let audits = choice("Mode", &document.mode, &mode, out);
        let revoke_grace = RangeChecker::for_code(codes::TRAFFIC_RULE, out).time(
            "RevokeGrace",
            &document.revoke_grace,
            Duration::ZERO,
            Duration::ZERO,
            Duration::from_secs(3_600),
        );
        if let Some(set) =
            document.unknown_source.as_ref().filter(|_| allows_unknown_source && allows_by_default)
        {
            self.diagnostics
                .warning(
                    codes::RULES_OPEN,
                    set.span,
                    "every source may reach every endpoint that no rule names",
                )
                .help("set \"DefaultAction\": \"Deny\" or \"UnknownSource\": \"Deny\"");
        }
        TrafficRules {
            allows_by_default,
            allows_same_role,
            allows_unknown_source,
            audits,
            revoke_grace,
            rules: items(&document.rules).iter().map(|rule| self.rule(rule)).collect(),
        }
    }

    fn rule(&mut self, rule: &Spanned<TrafficRuleDocument>) -> TrafficRule {
        let from = items(&rule.from);
        if from.is_empty() {
            let span = rule.from.as_ref().map_or(rule.span, |list| list.span);
            self.diagnostics
                .warning(codes::EMPTY_RULE, span, "the rule lets no source in")
                .help("name roles in From, or \"*\" for every role");
        }
        let is_all = from.iter().any(|name| name.trim() == "*");
        let from: Vec<usize> =
            from.iter().filter(|name| name.trim() != "*").filter_map(|name| self.source(name)).collect();
        let to = items(&rule.to);
        if to.is_empty() {
            let span = rule.to.as_ref().map_or(rule.span, |list| list.span);
            self.diagnostics
                .error(codes::TRAFFIC_RULE, span, "the rule has no destination")
                .help("name internal endpoints in To, such as \"Worker.Api\" or \"Worker.*\"");
        }
        let to = to.iter().flat_map(|name| self.destinations(name)).collect();
        TrafficRule { from: (!is_all).then_some(from), to }
    }

    fn source(&mut self, name: &Spanned<String>) -> Option<usize> {
        let found = self.sources.iter().position(|role| **role == *name.trim());
        if found.is_none() {
            let message = format!("unknown role \"{}\"", name.value);
            let diagnostic = self.diagnostics.error(codes::TRAFFIC_RULE, name.span, message);
            suggest_name(diagnostic, name, self.sources.iter().map(|role| &**role));
        }
        found
    }

    /// The destinations of `Role.Endpoint` or `Role.*`.
    fn destinations(&mut self, name: &Spanned<String>) -> Vec<usize> {
        let text = name.trim();
        if let Some(role) = text.strip_suffix(".*") {
            let Some(role) = self.source(&Spanned::new(role.to_owned(), name.span)) else {
                return Vec::new();
            };
            let own = self.destinations.iter().enumerate().filter(|(_, (_, of))| *of == role);
            return own.map(|(at, _)| at).collect();
        }
        if let Some(at) = self.destinations.iter().position(|(known, _)| **known == *text) {
            return vec![at];
        }
        let is_known = self.blueprint.endpoints().any(|endpoint| endpoint.full_name.value == text);
        let message = match is_known {
            true => format!("{text} is not an internal endpoint"),
            false => format!("unknown endpoint \"{text}\""),
        };
        let diagnostic = self.diagnostics.error(codes::TRAFFIC_RULE, name.span, message);
        suggest_name(diagnostic, name, self.destinations.iter().map(|(known, _)| &**known));
        Vec::new()
    }
}

fn suggest_name<'n>(
    diagnostic: &mut crate::config::Diagnostic,
    name: &str,
    known: impl Iterator<Item = &'n str>,
) {
    let known: Vec<&str> = known.collect();
    match suggest::closest_match(name, known.iter().copied()) {
        Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
        None => diagnostic.help(format!("expected {}", suggest::one_of(&known))),
    };
}
