//! `MinRequestBodyDataRate` and `MinResponseDataRate` → how fast a client must send and accept bodies, in `Limits` and on
//! routes.

mod options;

pub use options::{DataRateOptions, GlobalDataRateOptions};

use crate::base::data_rate::MinDataRate;
use crate::config::ranges::RangeChecker;
use std::time::Duration;

/// `MinRequestBodyDataRate`.
pub type RequestDataRateOptions = DataRateOptions;
/// `MinResponseDataRate`.
pub type ResponseDataRateOptions = DataRateOptions;

/// Kestrel's bytes per second.
const DEFAULT_DATA_RATE: u64 = 240;
const DEFAULT_GRACE_PERIOD: Duration = Duration::from_secs(5);
const MAX_DATA_RATE: u64 = 1_000_000_000;
const MIN_GRACE_PERIOD: Duration = Duration::from_millis(100);
const MAX_GRACE_PERIOD: Duration = Duration::from_secs(3_600);

/// The settings of a route; what is absent is that of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataRateConfig {
    pub bytes_per_second: Option<u64>,
    pub grace_period: Option<Duration>,
}

impl DataRateConfig {
    /// Reads the options; `name` is the setting that contains them.
    pub fn compile(name: &str, options: Option<&DataRateOptions>, read: &mut RangeChecker) -> DataRateConfig {
        let Some(options) = options else { return DataRateConfig::default() };
        let setting = |key: &str| format!("{name}.{key}");
        let (rate, period) = (&options.bytes_per_second, &options.grace_period);
        let (min, max) = (MIN_GRACE_PERIOD, MAX_GRACE_PERIOD);
        DataRateConfig {
            bytes_per_second: read.number(&setting("BytesPerSecond"), rate, 0, MAX_DATA_RATE),
            grace_period: period
                .as_ref()
                .map(|_| read.time(&setting("GracePeriod"), period, DEFAULT_GRACE_PERIOD, min, max)),
        }
    }

    /// The rate; `None`: no minimum.
    pub fn rate(self) -> Option<MinDataRate> {
        self.over(Some(MinDataRate {
            bytes_per_second: DEFAULT_DATA_RATE,
            grace_period: DEFAULT_GRACE_PERIOD,
        }))
    }

    /// The rate, with what is absent from `inherited`; `None`: no minimum.
    pub fn over(self, inherited: Option<MinDataRate>) -> Option<MinDataRate> {
        let bytes_per_second =
            self.bytes_per_second.or(inherited.map(|rate| rate.bytes_per_second)).unwrap_or(0);
        let grace_period =
            self.grace_period.or(inherited.map(|rate| rate.grace_period)).unwrap_or(DEFAULT_GRACE_PERIOD);
        (bytes_per_second > 0).then_some(MinDataRate { bytes_per_second, grace_period })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::units::DurationText,
        config::{Diagnostics, Span, Spanned},
    };

    fn options(bytes_per_second: i64, grace_ms: u64) -> DataRateOptions {
        let span = Span::default();
        let grace_period = DurationText(Duration::from_millis(grace_ms));
        DataRateOptions {
            bytes_per_second: Some(Spanned { value: bytes_per_second, span }),
            grace_period: Some(Spanned { value: grace_period, span }),
        }
    }

    #[test]
    fn settings_have_a_range() {
        let mut diagnostics = Diagnostics::default();
        let mut read = RangeChecker::for_section("Limits", &mut diagnostics);
        let config = DataRateConfig::compile("MinResponseDataRate", Some(&options(-1, 1)), &mut read);
        assert_eq!(config.grace_period, Some(MIN_GRACE_PERIOD));
        assert_eq!(diagnostics.list.len(), 2);
        assert_eq!(diagnostics.list[0].message, "Limits.MinResponseDataRate.BytesPerSecond is -1");
    }

    #[test]
    fn a_route_inherits_what_it_does_not_set() {
        let limits = DataRateConfig { bytes_per_second: Some(1000), grace_period: None }.rate();
        let route = DataRateConfig { bytes_per_second: None, grace_period: Some(Duration::from_secs(9)) };
        let expected = MinDataRate { bytes_per_second: 1000, grace_period: Duration::from_secs(9) };
        assert_eq!(route.over(limits), Some(expected));
        assert_eq!(DataRateConfig { bytes_per_second: Some(0), ..route }.over(limits), None);
        assert_eq!(route.over(None), None, "a period alone sets no minimum");
        let again = DataRateConfig { bytes_per_second: Some(10), grace_period: None };
        assert_eq!(again.over(None).map(|rate| rate.grace_period), Some(DEFAULT_GRACE_PERIOD));
    }
}
