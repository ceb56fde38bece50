//! `RequestSizeOptions` as the document has them.

use crate::{
    base::units::SizeText,
    config::{options::option_objects, values::Setting},
};

option_objects! {
    /// Request size limits of a route; they may be lower than `Limits`, not higher.
    RequestSizeOptions, GlobalRequestSizeOptions {
        /// Maximum size of the body; beyond it 413. Default: that of `Limits`.
        max_request_body_size: Setting<SizeText>,
        /// Maximum size of all header fields together; beyond it 431. Default: that of `Limits`.
        max_request_headers_total_size: Setting<SizeText>,
        /// Maximum number of header fields; beyond it 431. 1 or more. Default: that of `Limits`.
        max_request_header_count: Setting<i64>,
    }
}
