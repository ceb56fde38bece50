//! `Buffering` → how much of a body is received while it cannot be sent.

mod options;

pub use options::{BufferingOptions, GlobalBufferingOptions};

use crate::config::{Diagnostics, ranges::RangeChecker};

const DEFAULT_BYTES: u64 = 64 << 10;
/// Of a response of a cluster whose connections are limited: a slow client must not hold one of them.
const DEFAULT_LIMITED_BYTES: u64 = 1 << 20;
const MAX_BYTES: u64 = 16 << 20;

/// Bytes that are received ahead of the recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferingConfig {
    /// Of a response.
    pub response_bytes: usize,
    /// Of a request, before a limited connection is taken.
    pub request_bytes: usize,
}

/// The buffers of a route; `is_limited`: `MaxConnectionsPerServer` limits the connections of its cluster.
pub fn buffering_config(
    options: Option<&BufferingOptions>,
    is_limited: bool,
    diagnostics: &mut Diagnostics,
) -> BufferingConfig {
    let nothing = BufferingOptions::default();
    let options = options.unwrap_or(&nothing);
    let response_bytes = if is_limited { DEFAULT_LIMITED_BYTES } else { DEFAULT_BYTES };
    let mut read = RangeChecker::for_section("Buffering", diagnostics);
    BufferingConfig {
        response_bytes: read.size("ResponseSize", &options.response_size, response_bytes, 0, MAX_BYTES),
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
        let config = buffering_config(Some(&options), true, &mut diagnostics);
        assert_eq!((config.response_bytes, config.request_bytes), (0, MAX_BYTES as usize));
        assert_eq!(diagnostics.list.len(), 1);
        let default = [false, true].map(|is_limited| buffering_config(None, is_limited, &mut diagnostics));
        assert_eq!(default.map(|config| config.response_bytes), [64 << 10, 1 << 20]);
    }
}
