//! The settings that name rule files, and where faults of the files are reported.

use super::engine::EngineFiles;
use crate::config::values::{List, items};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, codes};
use crate::stages::waf::options::WafPolicyDocument;
use crate::stages::waf::rule_source::{self, ExtraRules, LoadedRules};
use crate::waf::language::parser::RuleError;
use std::path::{Path, PathBuf};

/// The settings of one policy that name rule files.
pub(super) struct RuleSettings {
    files: Vec<(PathBuf, Span)>,
    plugins: Vec<(PathBuf, Span)>,
    /// `WafEngine.Rules`, else the policy.
    managed: Span,
}

impl RuleSettings {
    /// Reads the settings; paths are relative to `folder`, that of the configuration file.
    pub fn new(folder: &Path, engine: &EngineFiles, document: &Spanned<WafPolicyDocument>) -> Self {
        Self {
            files: paths(folder, &document.rule_files),
            plugins: paths(folder, &document.plugins),
            managed: engine.rules_span.unwrap_or(document.span),
        }
    }

    /// The files and directories that the settings name, whether they exist or not.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().chain(&self.plugins).map(|(path, _)| path.clone())
    }

    /// What is read in addition to the managed rules, without what is missing.
    pub fn extra(&self) -> ExtraRules {
        let found = |list: &[(PathBuf, Span)]| {
            list.iter().map(|(path, _)| path).filter(|path| path.exists()).cloned().collect()
        };
        ExtraRules { files: found(&self.files), plugins: found(&self.plugins) }
    }

    /// Reports every file and directory that is missing.
    pub fn report_missing(&self, diagnostics: &mut Diagnostics) {
        let files = self.files.iter().map(|entry| (entry, "file of RuleFiles"));
        let plugins = self.plugins.iter().map(|entry| (entry, "directory of Plugins"));
        for ((path, span), kind) in files.chain(plugins).filter(|((path, _), _)| !path.exists()) {
            diagnostics
                .error(codes::WAF_RULES, *span, format!("{kind} not found: {}", path.display()))
                .help("correct the path: it is relative to the directory of the configuration file");
        }
    }

    /// Reports why the rules cannot be used, at the setting that names them.
    pub fn report_error(&self, error: &RuleError, diagnostics: &mut Diagnostics) {
        let (span, help) = match self.own_span(&error.file) {
            Some(span) => (span, "correct the rule, or remove the file from the policy"),
            None => {
                (self.managed, "set WafEngine.Rules to a directory with the OWASP Core Rule Set 3.3 or later")
            }
        };
        let message = format!("rules cannot be loaded: {error}");
        if is_new(codes::WAF_RULES, span, &message, diagnostics) {
            diagnostics.error(codes::WAF_RULES, span, message).help(help);
        }
    }

    /// Reports directives without effect, and managed rules that are old.
    pub fn report_warnings(&self, rules: &LoadedRules, diagnostics: &mut Diagnostics) {
        for warning in &rules.library.warnings {
            let span = self.own_span(&warning.file).unwrap_or(self.managed);
            warn(span, warning.to_string(), diagnostics);
        }
        if let Some(version) = rule_source::version(&rules.library.signatures).filter(|version| version.0 < 4)
        {
            let message = format!("rule set {}.{} is old: expected 4 or later", version.0, version.1);
            warn(self.managed, message, diagnostics);
        }
    }

    /// The entry of `RuleFiles` or `Plugins` that a file comes from; none for managed rules.
    fn own_span(&self, file: &str) -> Option<Span> {
        let file = Path::new(file);
        let own = self.files.iter().find(|(path, _)| path == file);
        let own = own.or_else(|| self.plugins.iter().find(|(path, _)| file.starts_with(path)));
        own.map(|(_, span)| *span)
    }
}

fn paths(folder: &Path, list: &List<String>) -> Vec<(PathBuf, Span)> {
    items(list).iter().map(|path| (folder.join(path.trim()), path.span)).collect()
}

fn warn(span: Span, message: String, diagnostics: &mut Diagnostics) {
    if is_new(codes::WAF_RULES_WARNING, span, &message, diagnostics) {
        diagnostics.warning(codes::WAF_RULES_WARNING, span, message);
    }
}

/// Whether no other policy has the same fault of the managed rules.
fn is_new(code: Code, span: Span, message: &str, diagnostics: &Diagnostics) -> bool {
    let is_same =
        |known: &Diagnostic| known.code == code && known.span == Some(span) && known.message == message;
    !diagnostics.list.iter().any(is_same)
}
