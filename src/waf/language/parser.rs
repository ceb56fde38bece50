//! Rule files to directives.

use super::actions::{self, Actions};
use super::lexer::{DirectiveLine, directives};
use super::macros::MacroText;
use super::operator::{Condition, Operator, ReadData};
use super::rule::{Directive, Disruption, Link, Rule, Target, TargetUse};
use super::targets;
use std::sync::Arc;

/// A file, line and reason for which rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The reason.
    pub message: String,
}

impl std::fmt::Display for RuleError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.file, self.message),
            line => write!(formatter, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// Directives whose subject the configuration decides; they are ignored with a warning.
const CONFIGURED: &[&str] = &[
    "SecRuleEngine",
    "SecRequestBodyAccess",
    "SecResponseBodyAccess",
    "SecRequestBodyLimit",
    "SecRequestBodyNoFilesLimit",
    "SecRequestBodyInMemoryLimit",
    "SecRequestBodyLimitAction",
    "SecRequestBodyJsonDepthLimit",
    "SecResponseBodyLimit",
    "SecResponseBodyLimitAction",
    "SecResponseBodyMimeType",
    "SecAuditEngine",
    "SecAuditLog",
    "SecAuditLogParts",
    "SecAuditLogType",
    "SecAuditLogFormat",
    "SecAuditLogStorageDir",
    "SecAuditLogRelevantStatus",
    "SecDebugLog",
    "SecDebugLogLevel",
    "SecCollectionTimeout",
    "SecArgumentSeparator",
    "SecArgumentsLimit",
    "SecCookieFormat",
    "SecTmpDir",
    "SecDataDir",
    "SecUnicodeMapFile",
    "SecPcreMatchLimit",
    "SecPcreMatchLimitRecursion",
    "SecStatusEngine",
    "SecServerSignature",
];

/// What the text of rule files contains.
#[derive(Debug, Default)]
pub struct RuleText {
    /// The directives, in order.
    pub directives: Vec<Directive>,
    /// Directives that have no effect.
    pub warnings: Vec<RuleError>,
    /// What `SecComponentSignature` contains, such as `OWASP_CRS/4.28.0`.
    pub signatures: Vec<String>,
    defaults: [Actions; 6],
    chain: Option<Box<Rule>>,
}

impl RuleText {
    /// Reads one file behind the ones before it. `data` reads the files that operators name.
    pub fn add(&mut self, file: &str, text: &str, data: ReadData<'_>) -> Result<(), RuleError> {
        let name: Arc<str> = file.into();
        for directive in directives(text) {
            let line = directive.line;
            let failed = |message| RuleError { file: file.to_owned(), line, message };
            self.add_directive(&name, directive, data).map_err(failed)?;
        }
        match self.chain.take() {
            None => Ok(()),
            Some(rule) => {
                let message = "expected a further rule of the chain, found the end of the file".to_owned();
                Err(RuleError { file: file.to_owned(), line: rule.line, message })
            }
        }
    }

    fn add_directive(
        &mut self,
        file: &Arc<str>,
        line: DirectiveLine,
        data: ReadData<'_>,
    ) -> Result<(), String> {
        let words = &line.words;
        let argument = |at: usize| {
            words
                .get(at)
                .map(String::as_str)
                .ok_or_else(|| format!("expected {at} arguments after `{}`", words[0]))
        };
        match words[0].to_ascii_lowercase().as_str() {
            "secrule" => {
                let condition = Condition::parse(argument(2)?, data)?;
                let actions = words.get(3).map_or("", String::as_str);
                self.add_link(file, line.line, targets::parse(argument(1)?)?, condition, actions)
            }
            "secaction" => {
                let condition = Condition { is_negated: false, operator: Operator::Always };
                self.add_link(file, line.line, Vec::new(), condition, argument(1)?)
            }
            "secmarker" => self.push(Directive::Marker(argument(1)?.to_owned())),
            "secdefaultaction" => self.set_defaults(argument(1)?),
            "secruleremovebyid" => self.push(Directive::RemoveRules(actions::by_id(&words[1..].join(" "))?)),
            "secruleremovebytag" => self.push(Directive::RemoveRules(actions::by_tag(argument(1)?)?)),
            "secruleremovebymsg" => self.push(Directive::RemoveRules(actions::by_message(argument(1)?)?)),
            "secruleupdatetargetbyid" => self.update_targets(actions::by_id(argument(1)?)?, argument(2)?),
            "secruleupdatetargetbytag" => self.update_targets(actions::by_tag(argument(1)?)?, argument(2)?),
            "secruleupdateactionbyid" => self.update_actions(argument(1)?, argument(2)?),
            "seccomponentsignature" => {
                self.signatures.push(argument(1)?.to_owned());
                Ok(())
            }
            _ => self.ignore(file, line.line, &words[0]),
        }
    }

    fn ignore(&mut self, file: &Arc<str>, line: usize, name: &str) -> Result<(), String> {
        if !CONFIGURED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(format!("unknown directive `{name}`"));
        }
        let message = format!("`{name}` has no effect: the configuration decides about it");
        self.warnings.push(RuleError { file: file.to_string(), line, message });
        Ok(())
    }

    fn push(&mut self, directive: Directive) -> Result<(), String> {
        if self.chain.is_some() {
            return Err("expected a further rule of the chain".to_owned());
        }
        self.directives.push(directive);
        Ok(())
    }

    fn set_defaults(&mut self, text: &str) -> Result<(), String> {
        let actions = Actions::parse(text)?;
        let phase = actions.phase.unwrap_or(2);
        self.defaults[usize::from(phase)] = actions;
        Ok(())
    }

    fn update_targets(&mut self, rules: super::rule::RuleSelector, text: &str) -> Result<(), String> {
        let targets = targets::parse(text)?;
        self.push(Directive::UpdateTargets(rules, targets))
    }

    fn update_actions(&mut self, id: &str, text: &str) -> Result<(), String> {
        let id: u32 = id.parse().map_err(|_| format!("invalid rule id `{id}`"))?;
        let actions = Actions::parse(text)?;
        for directive in &mut self.directives {
            match directive {
                Directive::Rule(rule) if rule.id == id => update_rule(rule, &actions),
                _ => {}
            }
        }
        Ok(())
    }

    fn add_link(
        &mut self,
        file: &Arc<str>,
        line: usize,
        targets: Vec<Target>,
        condition: Condition,
        text: &str,
    ) -> Result<(), String> {
        let actions = Actions::parse(text)?;
        let is_chained = actions.is_chained;
        check_targets(&targets)?;
        let mut rule = match self.chain.take() {
            Some(rule) => rule,
            None => {
                let rule = Box::new(new_rule(file, line, &actions, &self.defaults)?);
                if actions.status.is_some() && rule.disruption != Disruption::Deny {
                    let message = "`status` has no effect: the rule does not deny".to_owned();
                    self.warnings.push(RuleError { file: file.to_string(), line, message });
                }
                rule
            }
        };
        rule.links.push(link(targets, condition, actions, &self.defaults[usize::from(rule.phase)]));
        if is_chained {
            self.chain = Some(rule);
            return Ok(());
        }
        self.push(Directive::Rule(rule))
    }
}

fn check_targets(targets: &[Target]) -> Result<(), String> {
    if targets.is_empty() || targets.iter().any(|target| target.usage != TargetUse::Exclude) {
        return Ok(());
    }
    Err("expected a variable that is inspected".to_owned())
}

fn new_rule(
    file: &Arc<str>,
    line: usize,
    actions: &Actions,
    defaults: &[Actions; 6],
) -> Result<Rule, String> {
    let phase = actions.phase.unwrap_or(2);
    let defaults = &defaults[usize::from(phase)];
    let id = actions.id.ok_or("expected an id")?;
    let disruption = match actions.disruption.or(defaults.disruption).unwrap_or_default() {
        Disruption::Block => {
            defaults.disruption.filter(|d| *d != Disruption::Block).unwrap_or(Disruption::Pass)
        }
        other => other,
    };
    Ok(Rule {
        file: file.clone(),
        line,
        id,
        phase,
        links: Vec::new(),
        message: actions.message.clone().unwrap_or_else(|| MacroText::parse("")),
        severity: actions.severity,
        tags: actions.tags.clone(),
        is_logged: actions.is_logged.or(defaults.is_logged).unwrap_or(true),
        disruption,
        status: actions.status.or(defaults.status),
        skip: actions.skip.clone(),
    })
}

fn link(targets: Vec<Target>, condition: Condition, actions: Actions, defaults: &Actions) -> Link {
    let mut transforms = actions.transforms;
    if !actions.has_none && !defaults.transforms.is_empty() {
        transforms = defaults.transforms.iter().copied().chain(transforms).collect();
    }
    Link {
        targets,
        condition,
        transforms,
        is_multi_match: actions.is_multi_match,
        is_capturing: actions.is_capturing,
        set_vars: actions.set_vars,
        controls: actions.controls,
    }
}

fn update_rule(rule: &mut Rule, actions: &Actions) {
    rule.tags.extend(actions.tags.iter().cloned());
    rule.severity = actions.severity.or(rule.severity);
    rule.is_logged = actions.is_logged.unwrap_or(rule.is_logged);
    rule.status = actions.status.or(rule.status);
    if let Some(message) = &actions.message {
        rule.message = message.clone();
    }
    if let Some(disruption) = actions.disruption.filter(|d| *d != Disruption::Block) {
        rule.disruption = disruption;
    }
    let Some(first) = rule.links.first_mut() else { return };
    if actions.has_none || !actions.transforms.is_empty() {
        first.transforms.clone_from(&actions.transforms);
    }
    first.set_vars.extend(actions.set_vars.iter().cloned());
    first.controls.extend(actions.controls.iter().cloned());
}
