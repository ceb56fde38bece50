//! Shared access signatures: any text is parsed or refused, and no text is accepted without the key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::pipeline::sas::{SasKey, SasToken};

fuzz_target!(|text: &str| {
    let Some(key) = SasKey::parse("bWFyZ2F5LXR1bm5lbC1rZXktMDEyMzQ1Njc4OWFiY2Q=") else { return };
    for text in [text.to_owned(), format!("SharedAccessSignature {text}")] {
        if let Ok(token) = SasToken::parse(&text, 1_800_000_000) {
            assert!(!token.is_signed_by([&key]));
        }
    }
});
