//! Invalid values that Ocelot tolerates.

use super::diagnostics::{Code, Diagnostics};
use super::span::Span;

/// An invalid value: an error, or a warning under Ocelot compatibility, because Ocelot tolerates it.
#[derive(Debug)]
pub struct OcelotTolerated {
    pub code: Code,
    pub message: String,
    pub help: Vec<String>,
    /// The effect in Ocelot.
    pub result: OcelotBehavior,
}

/// The effect of a tolerated value in Ocelot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcelotBehavior {
    /// Every request of the route has this status.
    Status(u16),
    /// The effect, as a clause.
    Effect(&'static str),
}

impl OcelotTolerated {
    /// `result` is what Ocelot makes of the value, for the warning.
    pub fn new(code: Code, result: OcelotBehavior, message: impl Into<String>) -> Self {
        OcelotTolerated { code, message: message.into(), help: Vec::new(), result }
    }

    /// Adds a cure; each is printed on its own line.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds "did you mean" where there is a similar name.
    pub fn did_you_mean(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.help(format!("did you mean \"{name}\"?")),
            None => self,
        }
    }

    /// Reports an error, or under Ocelot compatibility a warning with the effect in Ocelot.
    pub fn report(self, diagnostics: &mut Diagnostics, ocelot: bool, span: Span) {
        let diagnostic = diagnostics.error_or_ocelot_warning(ocelot, self.code, span, self.message);
        diagnostic.help.extend(self.help);
        match self.result {
            _ if !ocelot => {}
            OcelotBehavior::Status(status) => {
                diagnostic.help(format!("as in Ocelot, the route responds with {status}"));
            }
            OcelotBehavior::Effect(effect) => {
                diagnostic.help(format!("as in Ocelot, {effect}"));
            }
        }
    }
}
