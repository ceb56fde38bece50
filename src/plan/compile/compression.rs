//! `CompressionOptions` after inheritance → settings.

use super::ranges::Ranges;
use super::route::Reader;
use crate::base::coding::Coding;
use crate::config::document::{CompressionOptions, List, Set};
use crate::config::{Span, codes, suggest};
use crate::plan::check::{filled, items};
use crate::plan::inherit::merged;
use crate::stages::compression::{
    Settings,
    kinds::{Kinds, Pattern},
};
use std::collections::HashSet;

const LEVELS: [&str; 3] = ["Fastest", "Balanced", "Smallest"];

/// `MinSize` where none is written, and the greatest.
const LEAST: u64 = 1024;
const MOST: u64 = 1 << 30;

/// What an encoder has for levels: by `Level`, and the hardest.
struct Range {
    setting: &'static str,
    usual: [u8; 3],
    most: u8,
}

/// Harder levels than these cost more time and memory than a gateway has for them.
fn range(coding: Coding) -> Range {
    match coding {
        Coding::Zstd => Range { setting: "ZstdLevel", usual: [1, 3, 9], most: 9 },
        Coding::Brotli => Range { setting: "BrotliLevel", usual: [2, 4, 6], most: 6 },
        Coding::Gzip => Range { setting: "GzipLevel", usual: [1, 5, 9], most: 9 },
    }
}

fn level_of(options: &CompressionOptions, coding: Coding) -> &Set<i32> {
    match coding {
        Coding::Zstd => &options.zstd_level,
        Coding::Brotli => &options.brotli_level,
        Coding::Gzip => &options.gzip_level,
    }
}

impl Reader<'_, '_, '_> {
    pub(super) fn compression(&mut self) -> Option<Settings> {
        let key = self.written.key.as_ref().map(|key| key.as_str());
        let group = self.scope.groups.compression.as_ref();
        let options = merged(&self.written.compression, group, key)?.into_owned();
        if options.enable_compression.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let codings = self.codings(&options.encodings);
        let word = self.level_word(&options.level);
        let levels = Coding::ALL.map(|coding| self.level(&options, coding, &codings, word));
        Some(Settings {
            encodings: codings.into_iter().map(|coding| (coding, levels[coding as usize])).collect(),
            least: Ranges::with(codes::COMPRESSION_SIZE, self.out).size(
                "MinSize",
                &options.min_size,
                LEAST,
                0,
                MOST,
            ) as u64,
            kinds: self.kinds(&options.content_types),
        })
    }

    fn codings(&mut self, written: &List<String>) -> Vec<Coding> {
        let mut codings = Vec::new();
        for name in items(written) {
            let help = match Coding::of(name.trim().as_bytes()) {
                Some(coding) if !codings.contains(&coding) => {
                    codings.push(coding);
                    continue;
                }
                Some(_) => "name each encoding once".to_owned(),
                None => match suggest::nearest(name, ["gzip", "zstd", "brotli"]) {
                    Some("brotli") => "brotli is called \"br\"".to_owned(),
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => "there are \"zstd\", \"br\" and \"gzip\"".to_owned(),
                },
            };
            let what =
                if Coding::of(name.trim().as_bytes()).is_some() { "stands twice" } else { "is unknown" };
            let message = format!("the encoding \"{}\" {what}", name.value);
            self.out.error(codes::COMPRESSION_ENCODING, name.span, message).help(help);
        }
        if let Some(list) = written.as_ref().filter(|list| list.is_empty()) {
            self.out
                .error(codes::COMPRESSION_ENCODING, list.span, "there is no encoding in Encodings")
                .help("name some, or write \"EnableCompression\": false to switch compression off");
        }
        if codings.is_empty() { Coding::ALL.to_vec() } else { codings }
    }

    /// The place of the word among [`LEVELS`].
    fn level_word(&mut self, written: &Set<String>) -> usize {
        let Some(word) = filled(written) else { return 1 };
        let found = LEVELS.iter().position(|level| level.eq_ignore_ascii_case(word.trim()));
        if found.is_none() {
            let message = format!("there is no level \"{}\"", word.value);
            let said = self.out.error(codes::COMPRESSION_LEVEL, word.span, message);
            match suggest::nearest(word, LEVELS) {
                Some(meant) => said.help(format!("did you mean \"{meant}\"?")),
                None => said.help("write \"Fastest\", \"Balanced\" or \"Smallest\""),
            };
        }
        found.unwrap_or(1)
    }

    fn level(&mut self, options: &CompressionOptions, coding: Coding, codings: &[Coding], word: usize) -> u8 {
        let Range { setting, usual, most } = range(coding);
        let Some(written) = level_of(options, coding) else { return usual[word] };
        if !codings.contains(&coding) && self.say_both(&options.encodings, written.span) {
            let message = format!("{setting} is set, and {} is not among the Encodings", coding.name());
            self.out
                .error(codes::COMPRESSION_LEVEL, written.span, message)
                .help(format!("leave {setting} out, or add \"{}\" to Encodings", coding.name()));
        }
        let mut ranges = Ranges::with(codes::COMPRESSION_LEVEL, self.out);
        let level = ranges.number(setting, level_of(options, coding), 1, u64::from(most));
        level.map_or(usual[word], |level| level as u8)
    }

    /// Whether one hand wrote the list and the level: a level that is inherited may be for an encoding that is left out here.
    fn say_both(&self, list: &List<String>, level: Span) -> bool {
        let own = self.written.compression.as_ref().map(|own| own.span);
        let within = |span: Span| own.is_some_and(|own| own.start <= span.start && span.end <= own.end);
        list.as_ref().is_some_and(|list| list.span.file == level.file && within(list.span) == within(level))
    }

    fn kinds(&mut self, written: &List<String>) -> Kinds {
        let Some(list) = written else { return Kinds::default() };
        if list.is_empty() {
            self.out
                .error(codes::COMPRESSION_TYPE, list.span, "there is no media type in ContentTypes")
                .help("leave it out for the usual ones, or write \"EnableCompression\": false to switch compression off");
        }
        let (mut patterns, mut seen) = (Vec::new(), HashSet::new());
        for text in items(written) {
            let problem = match Pattern::read(text) {
                None => (
                    "is no media type",
                    "write it without parameters: \"text/html\", \"text/*\", \"application/*+json\"",
                ),
                Some(pattern) if pattern.is_useless() => {
                    ("is never compressed", "it is compressed already, or must not be touched: leave it out")
                }
                Some(pattern) if !seen.insert(pattern.to_string()) => ("stands twice", "write it once"),
                Some(pattern) => {
                    patterns.push(pattern);
                    continue;
                }
            };
            let message = format!("\"{}\" {}", text.value, problem.0);
            self.out.error(codes::COMPRESSION_TYPE, text.span, message).help(problem.1);
        }
        Kinds::new(patterns)
    }
}
