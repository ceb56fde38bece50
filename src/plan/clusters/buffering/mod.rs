//! `Buffering` → how much of a body is received while it cannot be sent.

mod options;

pub use options::{BufferingOptions, GlobalBufferingOptions};

use crate::config::{Diagnostics, ranges::RangeChecker};

const DEFAULT_BYTES: u64 = 64 << 10;
const MAX_BYTES: u64 = 16 << 20;

/// Bytes that are received ahead of the recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferingConfig {
    /// Of a response.
    pub response_bytes: usize,
    /// Of a request, before a limited connection is taken.
    pub request_bytes: usize,
}

impl Default for BufferingConfig {
    fn default() -> Self {
        BufferingConfig { response_bytes: DEFAULT_BYTES as usize, request_bytes: DEFAULT_BYTES as usize }
    }
}

/// The buffers of a route.
pub fn buffering_config(
    options: Option<&BufferingOptions>,
    diagnostics: &mut Diagnostics,
) -> BufferingConfig {
    let Some(options) = options else { return BufferingConfig::default() };
    let mut read = RangeChecker::for_section("Buffering", diagnostics);
    BufferingConfig {
        response_bytes: read.size("ResponseSize", &options.response_size, DEFAULT_BYTES, 0, MAX_BYTES),
        request_bytes: read.size("RequestSize", &options.request_size, DEFAULT_BYTES, 0, MAX_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::units::SizeText,
        config::{Span, Spanned},
    };

    #[test]
    fn sizes_have_a_range() {
        let mut diagnostics = Diagnostics::default();
        let size = |bytes| Some(Spanned { value: SizeText(bytes), span: Span::default() });
        let options = BufferingOptions { response_size: size(0), request_size: size(1 << 30) };
        let config = buffering_config(Some(&options), &mut diagnostics);
        assert_eq!((config.response_bytes, config.request_bytes), (0, MAX_BYTES as usize));
        assert_eq!(diagnostics.list.len(), 1);
    }
}
