//! Settings with a minimum and a maximum.

use super::values::Setting;
use super::{Code, Diagnostics, Span, codes};
use crate::base::units::{DurationText, SizeText};
use std::fmt::Display;
use std::time::Duration;

/// Reads settings; a value out of range is reported and clamped.
pub struct RangeChecker<'o> {
    section: Option<&'static str>,
    code: Code,
    diagnostics: &'o mut Diagnostics,
}

impl<'o> RangeChecker<'o> {
    /// Settings that messages name by section and name.
    pub fn for_section(section: &'static str, diagnostics: &'o mut Diagnostics) -> RangeChecker<'o> {
        RangeChecker { section: Some(section), code: codes::LIMIT_RANGE, diagnostics }
    }

    /// Settings that messages name by name only, reported with this code.
    pub fn for_code(code: Code, diagnostics: &'o mut Diagnostics) -> RangeChecker<'o> {
        RangeChecker { section: None, code, diagnostics }
    }

    /// A size, or `default` if it is absent.
    pub fn size(&mut self, name: &str, set: &Setting<SizeText>, default: u64, min: u64, max: u64) -> usize {
        let Some(size) = set else { return default as usize };
        if size.value.0 < min || size.value.0 > max {
            self.report(name, size.span, size.value, SizeText(min), SizeText(max));
        }
        size.value.0.clamp(min, max) as usize
    }

    /// A duration, or `default` if it is absent.
    pub fn time(
        &mut self,
        name: &str,
        set: &Setting<DurationText>,
        default: Duration,
        min: Duration,
        max: Duration,
    ) -> Duration {
        let Some(time) = set else { return default };
        if time.value.0 < min || time.value.0 > max {
            self.report(name, time.span, time.value, DurationText(min), DurationText(max));
        }
        time.value.0.clamp(min, max)
    }

    /// A count of at least one.
    pub fn count(&mut self, name: &str, set: &Setting<i64>, max: u64) -> Option<u64> {
        self.number(name, set, 1, max)
    }

    /// A number, or `None` if it is absent.
    pub fn number<N: Copy + Display + Into<i64>>(
        &mut self,
        name: &str,
        set: &Setting<N>,
        min: u64,
        max: u64,
    ) -> Option<u64> {
        let number = set.as_ref()?;
        let read = u64::try_from(number.value.into()).unwrap_or(0);
        if read < min || read > max || number.value.into() < 0 {
            self.report(name, number.span, number.value, min, max);
        }
        Some(read.clamp(min, max))
    }

    fn report(&mut self, name: &str, span: Span, value: impl Display, min: impl Display, max: impl Display) {
        let message = match self.section {
            Some(section) => format!("{section}.{name} is {value}"),
            None => format!("{name} is {value}"),
        };
        self.diagnostics.error(self.code, span, message).help(format!("must be between {min} and {max}"));
    }
}
