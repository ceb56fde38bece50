//! `MinRequestBodyDataRate` and `MinResponseDataRate` as the document has them.

use crate::base::units::DurationText;
use crate::config::options::option_objects;
use crate::config::values::Setting;

option_objects! {
    /// A minimum data rate. What is absent on a route is that of `GlobalConfiguration`, then of `Limits`.
    DataRateOptions, GlobalDataRateOptions {
        /// Bytes per second; 0: no minimum. 0 to 1000000000. Default: 240.
        bytes_per_second: Setting<i64>,
        /// The period in which the bytes are counted, so that a shorter pause is no failure. 100ms to 1h. Default: `5s`.
        grace_period: Setting<DurationText>,
    }
}
