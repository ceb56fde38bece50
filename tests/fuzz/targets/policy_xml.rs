//! Policy documents in XML: every text is read or refused, and what is read is a document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::config::{Diagnostics, Sources, parse::Dialect};
use margay::stages::statements::xml_document::{translate_expressions, xml_document};

fuzz_target!(|text: &str| {
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    let file = sources.add("a.xml".to_owned(), None, text.to_owned(), Dialect::default());
    match xml_document(file, text, &mut diagnostics) {
        Some(mut tree) => translate_expressions(&mut tree, &|_| false, &mut diagnostics),
        None => assert!(diagnostics.has_errors()),
    }
});
