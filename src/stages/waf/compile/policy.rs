//! One entry of `WafPolicies` → a policy.

use super::bots;
use super::choice::choose;
use super::custom_rules::CustomRuleCompiler;
use super::exclusions::{KnownRules, exclusions, report_rule, scrubbing};
use super::unused::report_unused;
use super::variables::variables;
use crate::base::bytes::{is_field_value, is_token};
use crate::config::ranges::RangeChecker;
use crate::config::values::items;
use crate::config::{Diagnostics, ReferencedFiles, Spanned, codes};
use crate::stages::waf::config::{
    BlockReply, BodyConfig, ResponseConfig, WafEngineConfig, WafMode, WafPolicyConfig,
};
use crate::stages::waf::country::CountryDatabase;
use crate::stages::waf::options::{WafPolicyDocument, WafRequestBodyDocument, WafRuleOverrideDocument};
use crate::stages::waf::rule_source::LoadedRules;
use crate::waf::bodies::reader::BodySettings;
use crate::waf::language::rule::Rule;
use crate::waf::policy::compiled::{Policy, PolicySettings, RuleMode};
use std::collections::HashMap;
use std::sync::Arc;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The media types of responses that are inspected by default.
const RESPONSE_TYPES: [&str; 4] = ["text/html", "text/plain", "text/xml", "application/json"];

/// Compiles one policy.
pub(super) struct PolicyCompiler<'c> {
    pub name: &'c str,
    pub document: &'c Spanned<WafPolicyDocument>,
    pub rules: &'c LoadedRules,
    pub countries: Option<&'c Arc<CountryDatabase>>,
    pub engine: Arc<WafEngineConfig>,
    pub attached: &'c ReferencedFiles,
    pub diagnostics: &'c mut Diagnostics,
}

impl PolicyCompiler<'_> {
    /// The policy; invalid values are reported and replaced by defaults.
    pub fn compile(mut self) -> WafPolicyConfig {
        let document = &self.document.value;
        let modes = [("Detection", WafMode::Detection), ("Prevention", WafMode::Prevention)];
        let mode = choose("Mode", document.mode.as_ref(), &modes, self.diagnostics);
        let (levels, thresholds) = self.numbers();
        let (body, response) = (self.body(mode), self.response());
        report_unused(document, body.is_inspected, response.is_some(), self.diagnostics);
        let rules = self.managed_rules(levels, thresholds, response.is_some());
        let custom_rules = CustomRuleCompiler {
            policy: self.name,
            countries: self.countries,
            is_body_inspected: body.is_inspected,
            diagnostics: self.diagnostics,
        }
        .compile(items(&document.custom_rules));
        let first_late_rule =
            custom_rules.iter().position(|rule| rule.is_late()).unwrap_or(custom_rules.len());
        let errors = [("Refuse", true), ("Pass", false)];
        WafPolicyConfig {
            name: self.name.to_owned(),
            mode,
            level: levels.0,
            threshold: thresholds.0,
            rules: Arc::new(rules),
            custom_rules: custom_rules.into(),
            first_late_rule,
            bots: bots::compile(document.bots.as_ref(), self.attached, self.diagnostics).map(Arc::new),
            body,
            response,
            refuses_on_error: choose("OnError", document.on_error.as_ref(), &errors, self.diagnostics),
            reply: self.reply(),
            scrubbing: Arc::new(scrubbing(items(&document.log_scrubbing), self.diagnostics)),
            engine: self.engine,
            fingerprint: format!("{document:?}"),
        }
    }

    fn numbers(&mut self) -> ((u8, u8), (i64, i64)) {
        let document = &self.document.value;
        let mut ranges = RangeChecker::for_code(codes::WAF_SETTING, self.diagnostics);
        let level = ranges.number("ParanoiaLevel", &document.paranoia_level, 1, 4).unwrap_or(1);
        let detection = &document.detection_paranoia_level;
        let detection = ranges.number("DetectionParanoiaLevel", detection, level, 4).unwrap_or(level);
        let inbound = ranges.number("InboundThreshold", &document.inbound_threshold, 1, 10_000).unwrap_or(5);
        let outbound = &document.outbound_threshold;
        let outbound = ranges.number("OutboundThreshold", outbound, 1, 10_000).unwrap_or(4);
        ((level as u8, detection as u8), (inbound as i64, outbound as i64))
    }

    fn managed_rules(
        &mut self,
        levels: (u8, u8),
        thresholds: (i64, i64),
        is_response_inspected: bool,
    ) -> Policy {
        let document = &self.document.value;
        let library = &self.rules.library;
        let known = KnownRules {
            ids: library.rules.iter().map(|rule| rule.rule.id).collect(),
            groups: library.rules.iter().map(|rule| rule.rule.group()).collect(),
        };
        let overrides = self.overrides(&known);
        let is_enabled = document
            .managed_rules
            .as_ref()
            .and_then(|rules| rules.enabled.as_ref())
            .is_none_or(|on| on.value);
        let own_files: Vec<String> =
            items(&document.rule_files).iter().map(|file| file.trim().to_owned()).collect();
        let mode = move |rule: &Rule| {
            let is_own = own_files.iter().any(|file| rule.file.ends_with(file.as_str()));
            match rule.level() {
                _ if !is_enabled && !is_own => RuleMode::Off,
                Some(level) if level > levels.1 => RuleMode::Off,
                _ => overrides.mode(rule),
            }
        };
        let settings = PolicySettings {
            variables: variables(document, levels, thresholds, self.rules.directory.is_none()),
            mode: Some(Box::new(mode)),
            exclusions: exclusions(document, &known, self.diagnostics),
            is_response_inspected,
            is_log_phase_evaluated: false,
        };
        Policy::new(library.clone(), settings)
    }

    fn overrides(&mut self, known: &KnownRules) -> RuleOverrides {
        let mut overrides = RuleOverrides::default();
        let Some(managed) = &self.document.managed_rules else { return overrides };
        for (name, document) in managed.groups.iter().flat_map(|map| map.iter()) {
            match name.trim().parse() {
                Ok(group) if known.groups.contains(&group) => {
                    overrides.groups.insert(group, override_mode(document, self.diagnostics));
                }
                _ => report_rule(name.span, name, &known.groups, "group", self.diagnostics),
            }
        }
        for (name, document) in managed.rules.iter().flat_map(|map| map.iter()) {
            match name.trim().parse() {
                Ok(id) if known.ids.contains(&id) => {
                    overrides.rules.insert(id, override_mode(document, self.diagnostics));
                }
                _ => report_rule(name.span, name, &known.ids, "rule", self.diagnostics),
            }
        }
        overrides
    }

    fn body(&mut self, mode: WafMode) -> BodyConfig {
        let nothing = WafRequestBodyDocument::default();
        let body = self.document.request_body.as_ref().map_or(&nothing, |body| &body.value);
        let mut ranges = RangeChecker::for_code(codes::WAF_SETTING, self.diagnostics);
        let inspect_limit = ranges.size("InspectLimit", &body.inspect_limit, 128 * KIB, KIB, 16 * MIB);
        let max_files = &body.max_file_upload_size;
        let max_file_bytes = ranges.size("MaxFileUploadSize", max_files, 100 * MIB, 0, 1 << 40) as u64;
        for (name, set) in [
            ("MaxArguments", &body.max_arguments),
            ("MaxArgumentLength", &body.max_argument_length),
            ("MaxArgumentNameLength", &body.max_argument_name_length),
            ("MaxArgumentsTotalLength", &body.max_arguments_total_length),
        ] {
            ranges.number(name, set, 1, 1 << 40);
        }
        let choices = [("Refuse", true), ("InspectBeginning", false)];
        let refuses = choose("Oversize", body.oversize.as_ref(), &choices, self.diagnostics);
        BodyConfig {
            is_inspected: body.inspect.as_ref().is_none_or(|on| on.value),
            settings: BodySettings { inspect_limit, is_guessing: true },
            refuses_oversize: refuses && mode == WafMode::Prevention,
            max_file_bytes,
        }
    }

    fn response(&mut self) -> Option<ResponseConfig> {
        let document = &self.document.value.response_body.as_ref()?.value;
        let mut ranges = RangeChecker::for_code(codes::WAF_SETTING, self.diagnostics);
        let inspect_limit = ranges.size("InspectLimit", &document.inspect_limit, 512 * KIB, KIB, 16 * MIB);
        let content_types = match items(&document.content_types) {
            [] => RESPONSE_TYPES.map(str::to_owned).to_vec(),
            list => list.iter().map(|media_type| media_type.trim().to_ascii_lowercase()).collect(),
        };
        let is_inspected = document.inspect.as_ref().is_some_and(|on| on.value);
        is_inspected.then_some(ResponseConfig { inspect_limit, content_types })
    }

    fn reply(&mut self) -> BlockReply {
        let Some(reply) = &self.document.reply else { return BlockReply::default() };
        let mut ranges = RangeChecker::for_code(codes::WAF_SETTING, self.diagnostics);
        let status = ranges.number("Reply.Status", &reply.status, 200, 599).map(|status| status as u16);
        let headers = || reply.headers.iter().flat_map(|map| map.iter());
        for (name, value) in headers() {
            if !is_token(name.as_bytes()) || !is_field_value(value.as_bytes()) {
                let message = format!("invalid header field \"{}: {}\" in Reply", name.value, value.value);
                let help = "expected a name such as X-Name, and a value without control characters";
                self.diagnostics.error(codes::WAF_SETTING, name.span, message).help(help);
            }
        }
        let headers = headers();
        let headers = headers.map(|(name, value)| (name.value.clone(), value.value.clone())).collect();
        BlockReply { status, headers, body: reply.body.as_ref().map(|body| body.value.clone()) }
    }
}

/// The rules of a policy without settings: level 1, threshold 5.
pub fn default_policy(rules: &LoadedRules) -> Policy {
    let is_running = |rule: &Rule| rule.level().is_none_or(|level| level == 1);
    let settings = PolicySettings {
        variables: variables(&WafPolicyDocument::default(), (1, 1), (5, 4), rules.directory.is_none()),
        mode: Some(Box::new(move |rule| if is_running(rule) { RuleMode::Score } else { RuleMode::Off })),
        ..PolicySettings::default()
    };
    Policy::new(rules.library.clone(), settings)
}

/// What a policy does with rules and groups.
#[derive(Default)]
struct RuleOverrides {
    groups: HashMap<u32, RuleMode>,
    rules: HashMap<u32, RuleMode>,
}

impl RuleOverrides {
    fn mode(&self, rule: &Rule) -> RuleMode {
        let group = self.groups.get(&rule.group()).copied();
        match (group, self.rules.get(&rule.id).copied()) {
            (Some(RuleMode::Off), None) => RuleMode::Off,
            (group, own) => own.or(group).unwrap_or_default(),
        }
    }
}

fn override_mode(document: &Spanned<WafRuleOverrideDocument>, diagnostics: &mut Diagnostics) -> RuleMode {
    let modes = [("Score", RuleMode::Score), ("Log", RuleMode::Log), ("Block", RuleMode::Block)];
    let mode = choose("Action", document.action.as_ref(), &modes, diagnostics);
    match &document.enabled {
        Some(enabled) if !enabled.value => RuleMode::Off,
        _ => mode,
    }
}
