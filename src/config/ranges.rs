//! Settings that have a least and a greatest value.

use super::values::Setting;
use super::{Code, Diagnostics, Span, codes};
use crate::base::units::{DurationText, SizeText};
use std::fmt::Display;
use std::time::Duration;

/// Reads settings; what is out of its range is refused, and taken for the nearest value that is not.
pub struct RangeChecker<'o> {
    section: Option<&'static str>,
    code: Code,
    diagnostics: &'o mut Diagnostics,
}

impl<'o> RangeChecker<'o> {
    /// Settings that are called by this section and their name.
    pub fn for_section(section: &'static str, diagnostics: &'o mut Diagnostics) -> RangeChecker<'o> {
        RangeChecker { section: Some(section), code: codes::LIMIT_RANGE, diagnostics }
    }

    /// Settings that are called by their name alone, refused with this code.
    pub fn for_code(code: Code, diagnostics: &'o mut Diagnostics) -> RangeChecker<'o> {
        RangeChecker { section: None, code, diagnostics }
    }

    pub fn size(&mut self, name: &str, set: &Setting<SizeText>, usual: u64, least: u64, most: u64) -> usize {
        let Some(size) = set else { return usual as usize };
        if size.value.0 < least || size.value.0 > most {
            self.report(name, size.span, size.value, SizeText(least), SizeText(most));
        }
        size.value.0.clamp(least, most) as usize
    }

    pub fn time(
        &mut self,
        name: &str,
        set: &Setting<DurationText>,
        usual: Duration,
        least: Duration,
        most: Duration,
    ) -> Duration {
        let Some(time) = set else { return usual };
        if time.value.0 < least || time.value.0 > most {
            self.report(name, time.span, time.value, DurationText(least), DurationText(most));
        }
        time.value.0.clamp(least, most)
    }

    /// A number of things, one of them at least.
    pub fn count(&mut self, name: &str, set: &Setting<i64>, most: u64) -> Option<u64> {
        self.number(name, set, 1, most)
    }

    pub fn number<N: Copy + Display + Into<i64>>(
        &mut self,
        name: &str,
        set: &Setting<N>,
        least: u64,
        most: u64,
    ) -> Option<u64> {
        let number = set.as_ref()?;
        let read = u64::try_from(number.value.into()).unwrap_or(0);
        if read < least || read > most || number.value.into() < 0 {
            self.report(name, number.span, number.value, least, most);
        }
        Some(read.clamp(least, most))
    }

    fn report(
        &mut self,
        name: &str,
        span: Span,
        value: impl Display,
        least: impl Display,
        most: impl Display,
    ) {
        let message = match self.section {
            Some(section) => format!("{section}.{name} is {value}"),
            None => format!("{name} is {value}"),
        };
        self.diagnostics.error(self.code, span, message).help(format!("it may be {least} to {most}"));
    }
}
