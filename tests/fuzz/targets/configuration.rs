//! A configuration, from text to blueprint or diagnostics, in both dialects.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    config::{Environment, InMemoryFiles, render},
    plan::{compile, document::load_texts},
};

fuzz_target!(|text: &str| {
    for ocelot in [false, true] {
        let files = [("gateway.json", text)];
        let mut loaded = load_texts(&InMemoryFiles { files: &files, ocelot, ..InMemoryFiles::default() }, Environment::of_process());
        let blueprint = compile(&mut loaded);
        let report = render::text(&loaded.diagnostics, &loaded.sources, render::Style::default());
        assert!(blueprint.is_some() || !report.is_empty(), "a rejection has a diagnostic");
    }
});
