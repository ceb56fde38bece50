//! All policies, and the one that a document names.

use super::engine::EngineFiles;
use super::policy::PolicyCompiler;
use super::rule_settings::RuleSettings;
use crate::config::values::Setting;
use crate::config::{Diagnostics, ReferencedFiles, Spanned, SpannedMap, codes, suggest};
use crate::stages::waf::config::{WafEngineConfig, WafMode, WafPolicyConfig};
use crate::stages::waf::options::WafPolicyDocument;
use crate::stages::waf::rule_source;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The names that are no entries of `WafPolicies`.
const RESERVED: [(&str, Option<WafMode>); 3] =
    [("Off", None), ("Detection", Some(WafMode::Detection)), ("Prevention", Some(WafMode::Prevention))];

/// What a document says about the firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WafScope<T> {
    /// Nothing: the next document decides.
    Inherited,
    /// No inspection.
    Off,
    /// A policy.
    Policy(T),
}

/// The policies of a configuration.
pub struct WafPolicySet {
    engine: Arc<WafEngineConfig>,
    files: EngineFiles,
    folder: PathBuf,
    policies: Vec<(String, Option<Arc<WafPolicyConfig>>)>,
    state: Mutex<SetState>,
}

#[derive(Default)]
struct SetState {
    built_in: Vec<(String, Option<Arc<WafPolicyConfig>>)>,
    used: HashSet<String>,
    watched: Vec<PathBuf>,
}

impl std::fmt::Debug for WafPolicySet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WafPolicySet").field("policies", &self.policies.len()).finish_non_exhaustive()
    }
}

impl Default for WafPolicySet {
    /// No policies, for configurations without a firewall.
    fn default() -> Self {
        let files = EngineFiles::default();
        let engine = WafEngineConfig {
            threads: 1,
            queue_limit: 1,
            queue_timeout: std::time::Duration::from_millis(250),
            refuses_on_overload: true,
            log: crate::stages::waf::config::WafLogTarget::Off,
            rules: String::new(),
        };
        Self {
            engine: Arc::new(engine),
            files,
            folder: PathBuf::new(),
            policies: Vec::new(),
            state: Mutex::default(),
        }
    }
}

impl WafPolicySet {
    /// Compiles `WafPolicies`.
    pub fn new(
        document: &Setting<SpannedMap<Spanned<WafPolicyDocument>>>,
        (engine, files): (WafEngineConfig, EngineFiles),
        folder: &Path,
        attached: &ReferencedFiles,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let (policies, state) = (Vec::new(), Mutex::default());
        let mut set = Self { engine: Arc::new(engine), files, folder: folder.to_path_buf(), policies, state };
        for (name, policy) in document.iter().flat_map(|map| map.iter()) {
            if RESERVED.iter().any(|(reserved, _)| reserved.eq_ignore_ascii_case(name)) {
                diagnostics
                    .error(
                        codes::WAF_POLICY_NAME,
                        name.span,
                        format!("reserved policy name \"{}\"", name.value),
                    )
                    .help("choose another name: Off, Detection and Prevention are built in");
                continue;
            }
            let compiled = set.compile(name, policy, attached, diagnostics);
            set.policies.push((name.value.clone(), compiled));
        }
        set
    }

    fn compile(
        &self,
        name: &str,
        document: &Spanned<WafPolicyDocument>,
        attached: &ReferencedFiles,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<WafPolicyConfig>> {
        let settings = RuleSettings::new(&self.folder, &self.files, document);
        settings.report_missing(diagnostics);
        self.watch(settings.paths().chain(self.files.rules.as_ref().map(|rules| rules.join("rules"))));
        let rules = match rule_source::load(self.files.rules.as_deref(), &settings.extra()) {
            Ok(rules) => rules,
            Err(error) => {
                settings.report_error(&error, diagnostics);
                return None;
            }
        };
        self.watch(rules.files.iter().cloned());
        settings.report_warnings(&rules, diagnostics);
        let engine = Arc::new(WafEngineConfig { rules: rules.describe(), ..(*self.engine).clone() });
        let compiler = PolicyCompiler {
            name,
            document,
            rules: &rules,
            countries: self.files.countries.as_ref(),
            engine,
            attached,
            diagnostics,
        };
        Some(Arc::new(compiler.compile()))
    }

    /// Adds files and directories whose changes make a new plan, also those that do not exist yet.
    fn watch(&self, paths: impl Iterator<Item = PathBuf>) {
        self.lock().watched.extend(paths);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files and directories with rules.
    pub fn watched(&self) -> Vec<PathBuf> {
        self.lock().watched.clone()
    }

    /// The policy of a setting.
    pub fn resolve(
        &self,
        setting: &Setting<String>,
        diagnostics: &mut Diagnostics,
    ) -> WafScope<Arc<WafPolicyConfig>> {
        let Some(name) = setting.as_ref() else { return WafScope::Inherited };
        if let Some((_, mode)) = RESERVED.iter().find(|(reserved, _)| *reserved == name.value) {
            return match mode {
                None => WafScope::Off,
                Some(mode) => self.built_in(name, *mode, diagnostics).map_or(WafScope::Off, WafScope::Policy),
            };
        }
        self.lock().used.insert(name.value.clone());
        match self.policies.iter().find(|(known, _)| *known == name.value) {
            Some((_, policy)) => policy.clone().map_or(WafScope::Off, WafScope::Policy),
            None => {
                self.report_unknown(name, diagnostics);
                WafScope::Off
            }
        }
    }

    fn report_unknown(&self, name: &Spanned<String>, diagnostics: &mut Diagnostics) {
        let names = self.policies.iter().map(|(known, _)| known.as_str());
        let known: Vec<&str> = names.chain(RESERVED.iter().map(|(name, _)| *name)).collect();
        let diagnostic =
            diagnostics.error(codes::WAF_POLICY, name.span, format!("unknown WAF policy \"{}\"", name.value));
        match suggest::closest_match(name, known.iter().copied()) {
            Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
            None => diagnostic.help(format!("expected {}", known.join(", "))),
        };
    }

    fn built_in(
        &self,
        name: &Spanned<String>,
        mode: WafMode,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<WafPolicyConfig>> {
        if let Some((_, policy)) = self.lock().built_in.iter().find(|(known, _)| *known == name.value) {
            return policy.clone();
        }
        let mode = Some(Spanned::new(mode.name().to_owned(), name.span));
        let document = Spanned::new(WafPolicyDocument { mode, ..WafPolicyDocument::default() }, name.span);
        let policy = self.compile(name, &document, &ReferencedFiles::default(), diagnostics);
        self.lock().built_in.push((name.value.clone(), policy.clone()));
        policy
    }

    /// Warns of policies that no document names.
    pub fn report_unused(
        &self,
        document: &Setting<SpannedMap<Spanned<WafPolicyDocument>>>,
        diagnostics: &mut Diagnostics,
    ) {
        let used = self.lock().used.clone();
        for (name, _) in document.iter().flat_map(|map| map.iter()) {
            if !used.contains(&name.value) {
                diagnostics
                    .warning(
                        codes::WAF_POLICY_UNUSED,
                        name.span,
                        format!("unused WAF policy \"{}\"", name.value),
                    )
                    .help("name it in Waf of GlobalConfiguration, a listener or a route, or remove it");
            }
        }
    }
}
