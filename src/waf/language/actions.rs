//! The actions of a rule: `id:1,phase:2,deny,t:none,setvar:'tx.a=1'`.

use super::macros::MacroText;
use super::pattern::Pattern;
use super::rule::{Control, Disruption, RuleSelector, SetVar, Skip, VarChange};
use super::targets;
use crate::waf::transform::Transform;
use std::sync::Arc;

/// The actions of one directive.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    pub id: Option<u32>,
    pub phase: Option<u8>,
    pub message: Option<MacroText>,
    pub severity: Option<u8>,
    pub tags: Vec<String>,
    pub is_logged: Option<bool>,
    pub disruption: Option<Disruption>,
    pub status: Option<u16>,
    pub skip: Option<Skip>,
    pub is_chained: bool,
    pub is_capturing: bool,
    pub is_multi_match: bool,
    pub has_none: bool,
    pub transforms: Vec<Transform>,
    pub set_vars: Vec<SetVar>,
    pub controls: Vec<Control>,
}

impl Actions {
    /// Reads a list of actions.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut actions = Self::default();
        for action in split(text) {
            let (name, value) = match action.split_once(':') {
                Some((name, value)) => (name.trim(), unquote(value.trim())),
                None => (action.trim(), ""),
            };
            actions.add(name, value)?;
        }
        Ok(actions)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name.to_ascii_lowercase().as_str() {
            "id" => self.id = Some(value.parse().map_err(|_| format!("invalid id `{value}`"))?),
            "phase" => self.phase = Some(phase(value)?),
            "msg" => self.message = Some(MacroText::parse(value)),
            "severity" => self.severity = Some(severity(value)?),
            "tag" => self.tags.push(value.to_owned()),
            "log" => self.is_logged = Some(true),
            "nolog" => self.is_logged = Some(false),
            "status" => self.status = Some(status(value)?),
            "chain" => self.is_chained = true,
            "capture" => self.is_capturing = true,
            "multimatch" => self.is_multi_match = true,
            "skipafter" => self.skip = Some(Skip::After(value.to_owned())),
            "skip" => {
                self.skip = Some(Skip::Rules(value.parse().map_err(|_| format!("invalid skip `{value}`"))?));
            }
            "t" => self.transform(value)?,
            "setvar" => self.set_vars.extend(set_var(value)?),
            "ctl" => self.controls.push(control(value)?),
            // The configuration decides about the audit log; `logdata` repeats what the log contains anyway.
            "auditlog" | "noauditlog" | "logdata" | "rev" | "ver" | "maturity" | "accuracy" => {}
            // Persistent collections do not exist: margay's own rate limits replace them.
            "initcol" | "expirevar" => {}
            name => self.disruption = Some(disruption(name)?),
        }
        Ok(())
    }

    fn transform(&mut self, name: &str) -> Result<(), String> {
        if name.eq_ignore_ascii_case("none") {
            self.transforms.clear();
            self.has_none = true;
            return Ok(());
        }
        let found = Transform::from_name(name).ok_or_else(|| format!("unknown transformation `t:{name}`"))?;
        self.transforms.push(found);
        Ok(())
    }
}

/// The actions of a list: separated by commas outside of single quotes.
fn split(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'\'' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                pieces.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text[start..].trim());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value)
}

fn phase(value: &str) -> Result<u8, String> {
    match value {
        "1" => Ok(1),
        "2" | "request" => Ok(2),
        "3" => Ok(3),
        "4" | "response" => Ok(4),
        "5" | "logging" => Ok(5),
        _ => Err(format!("invalid phase `{value}`: must be 1 to 5")),
    }
}

fn status(value: &str) -> Result<u16, String> {
    let number = value.parse().ok().filter(|status| (200..600).contains(status));
    number.ok_or_else(|| format!("invalid status `{value}`: must be 200 to 599"))
}

fn severity(value: &str) -> Result<u8, String> {
    const NAMES: [&str; 8] =
        ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];
    let named = NAMES.iter().position(|name| name.eq_ignore_ascii_case(value)).map(|at| at as u8);
    named
        .or_else(|| value.parse().ok().filter(|level| *level < 8))
        .ok_or_else(|| format!("invalid severity `{value}`"))
}

fn disruption(name: &str) -> Result<Disruption, String> {
    match name {
        "pass" => Ok(Disruption::Pass),
        "block" => Ok(Disruption::Block),
        "deny" | "drop" => Ok(Disruption::Deny),
        "allow" => Ok(Disruption::Allow),
        _ => Err(format!("unknown action `{name}`")),
    }
}

/// `tx.name=value`, `tx.name=+value`, `!tx.name`; variables of persistent collections are ignored.
fn set_var(value: &str) -> Result<Option<SetVar>, String> {
    let (is_unset, value) = match value.strip_prefix('!') {
        Some(value) => (true, value),
        None => (false, value),
    };
    let (name, change) = value.split_once('=').map_or((value, "1"), |(name, change)| (name, change));
    let Some((collection, name)) = name.split_once(['.', ':']) else {
        return Err(format!("expected `tx.name`, found `{name}`"));
    };
    if !collection.trim().eq_ignore_ascii_case("tx") {
        return Ok(None);
    }
    let change = match change.as_bytes() {
        _ if is_unset => VarChange::Unset,
        [b'+', ..] => VarChange::Add(MacroText::parse(&change[1..])),
        [b'-', ..] => VarChange::Subtract(MacroText::parse(&change[1..])),
        _ => VarChange::Assign(MacroText::parse(change)),
    };
    Ok(Some(SetVar { name: MacroText::parse(name), change }))
}

fn control(text: &str) -> Result<Control, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let removed = |by: fn(&str) -> Result<RuleSelector, String>| -> Result<Control, String> {
        let (rules, target) =
            value.split_once(';').ok_or_else(|| format!("expected `rules;variable` in `ctl:{text}`"))?;
        let target = targets::parse(target)?.remove(0);
        Ok(Control::RemoveTarget(by(rules)?, target))
    };
    match name.trim().to_ascii_lowercase().as_str() {
        "ruleremovebyid" => Ok(Control::RemoveRules(by_id(value)?)),
        "ruleremovebytag" => Ok(Control::RemoveRules(by_tag(value)?)),
        "ruleremovetargetbyid" => removed(by_id),
        "ruleremovetargetbytag" => removed(by_tag),
        "requestbodyprocessor" => Ok(Control::BodyProcessor(value.to_ascii_uppercase())),
        "forcerequestbodyvariable" if value.eq_ignore_ascii_case("on") => Ok(Control::ForceBodyVariable),
        "ruleengine" => Ok(Control::Engine(!value.eq_ignore_ascii_case("off"))),
        "forcerequestbodyvariable" | "auditengine" | "auditlogparts" | "debugloglevel" => {
            Ok(Control::Ignored)
        }
        _ => Err(format!("unknown control `ctl:{name}`")),
    }
}

/// Ids and ranges, separated by commas or spaces.
pub fn by_id(text: &str) -> Result<RuleSelector, String> {
    let words =
        text.split([' ', ',']).map(|word| word.trim_matches(['"', '\''])).filter(|word| !word.is_empty());
    let range = |word: &str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        first.parse().ok().zip(last.parse().ok()).ok_or_else(|| format!("invalid rule id `{word}`"))
    };
    words.map(range).collect::<Result<_, _>>().map(RuleSelector::Ids)
}

/// Rules with a tag.
pub fn by_tag(text: &str) -> Result<RuleSelector, String> {
    Pattern::new(text, false).map(|pattern| RuleSelector::Tag(Arc::new(pattern)))
}

/// Rules with a message.
pub fn by_message(text: &str) -> Result<RuleSelector, String> {
    Pattern::new(text, false).map(|pattern| RuleSelector::Message(Arc::new(pattern)))
}
