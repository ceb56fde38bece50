//! `CompressionOptions` after inheritance → settings.

use super::ranges::RangeChecker;
use super::route::RouteCompiler;
use crate::base::content_coding::ContentCoding;
use crate::config::document::{CompressionOptions, List, Setting};
use crate::config::{Span, codes, suggest};
use crate::plan::check::{items, non_blank};
use crate::plan::inherit::merge;
use crate::stages::compression::{
    Settings,
    media_types::{MediaTypes, Pattern},
};
use std::collections::HashSet;

const LEVELS: [&str; 3] = ["Fastest", "Balanced", "Smallest"];

/// `MinSize` where none is written, and the greatest.
const MIN_MIN_SIZE: u64 = 1024;
const MAX_MIN_SIZE: u64 = 1 << 30;

/// What an encoder has for levels: by `Level`, and the hardest.
struct LevelRange {
    setting: &'static str,
    default: [u8; 3],
    max: u8,
}

/// Harder levels than these cost more time and memory than a gateway has for them.
fn range(coding: ContentCoding) -> LevelRange {
    match coding {
        ContentCoding::Zstd => LevelRange { setting: "ZstdLevel", default: [1, 3, 9], max: 9 },
        ContentCoding::Brotli => LevelRange { setting: "BrotliLevel", default: [2, 4, 6], max: 6 },
        ContentCoding::Gzip => LevelRange { setting: "GzipLevel", default: [1, 5, 9], max: 9 },
    }
}

fn level_of(options: &CompressionOptions, coding: ContentCoding) -> &Setting<i32> {
    match coding {
        ContentCoding::Zstd => &options.zstd_level,
        ContentCoding::Brotli => &options.brotli_level,
        ContentCoding::Gzip => &options.gzip_level,
    }
}

impl RouteCompiler<'_, '_, '_> {
    pub(super) fn compression(&mut self) -> Option<Settings> {
        let key = self.document.key.as_ref().map(|key| key.as_str());
        let group = self.scope.groups.compression.as_ref();
        let options = merge(&self.document.compression, group, key)?.into_owned();
        if options.enable_compression.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let codings = self.encodings(&options.encodings);
        let word = self.level_word(&options.level);
        let levels = ContentCoding::ALL.map(|coding| self.level(&options, coding, &codings, word));
        Some(Settings {
            encodings: codings.into_iter().map(|coding| (coding, levels[coding as usize])).collect(),
            min_size: RangeChecker::for_code(codes::COMPRESSION_SIZE, self.diagnostics).size(
                "MinSize",
                &options.min_size,
                MIN_MIN_SIZE,
                0,
                MAX_MIN_SIZE,
            ) as u64,
            media_types: self.media_types(&options.content_types),
        })
    }

    fn encodings(&mut self, written: &List<String>) -> Vec<ContentCoding> {
        let mut codings = Vec::new();
        for name in items(written) {
            let help = match ContentCoding::from_name(name.trim().as_bytes()) {
                Some(coding) if !codings.contains(&coding) => {
                    codings.push(coding);
                    continue;
                }
                Some(_) => "name each encoding once".to_owned(),
                None => match suggest::closest_match(name, ["gzip", "zstd", "brotli"]) {
                    Some("brotli") => "brotli is called \"br\"".to_owned(),
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => "there are \"zstd\", \"br\" and \"gzip\"".to_owned(),
                },
            };
            let what = if ContentCoding::from_name(name.trim().as_bytes()).is_some() {
                "stands twice"
            } else {
                "is unknown"
            };
            let message = format!("the encoding \"{}\" {what}", name.value);
            self.diagnostics.error(codes::COMPRESSION_ENCODING, name.span, message).help(help);
        }
        if let Some(list) = written.as_ref().filter(|list| list.is_empty()) {
            self.diagnostics
                .error(codes::COMPRESSION_ENCODING, list.span, "there is no encoding in Encodings")
                .help("name some, or write \"EnableCompression\": false to switch compression off");
        }
        if codings.is_empty() { ContentCoding::ALL.to_vec() } else { codings }
    }

    /// The place of the word among [`LEVELS`].
    fn level_word(&mut self, written: &Setting<String>) -> usize {
        let Some(word) = non_blank(written) else { return 1 };
        let found = LEVELS.iter().position(|level| level.eq_ignore_ascii_case(word.trim()));
        if found.is_none() {
            let message = format!("there is no level \"{}\"", word.value);
            let said = self.diagnostics.error(codes::COMPRESSION_LEVEL, word.span, message);
            match suggest::closest_match(word, LEVELS) {
                Some(meant) => said.help(format!("did you mean \"{meant}\"?")),
                None => said.help("write \"Fastest\", \"Balanced\" or \"Smallest\""),
            };
        }
        found.unwrap_or(1)
    }

    fn level(
        &mut self,
        options: &CompressionOptions,
        coding: ContentCoding,
        codings: &[ContentCoding],
        word: usize,
    ) -> u8 {
        let LevelRange { setting, default: usual, max: most } = range(coding);
        let Some(written) = level_of(options, coding) else { return usual[word] };
        if !codings.contains(&coding) && self.same_origin(&options.encodings, written.span) {
            let message = format!("{setting} is set, and {} is not among the Encodings", coding.name());
            self.diagnostics
                .error(codes::COMPRESSION_LEVEL, written.span, message)
                .help(format!("leave {setting} out, or add \"{}\" to Encodings", coding.name()));
        }
        let mut ranges = RangeChecker::for_code(codes::COMPRESSION_LEVEL, self.diagnostics);
        let level = ranges.number(setting, level_of(options, coding), 1, u64::from(most));
        level.map_or(usual[word], |level| level as u8)
    }

    /// Whether one hand wrote the list and the level: a level that is inherited may be for an encoding that is left out here.
    fn same_origin(&self, list: &List<String>, level: Span) -> bool {
        let own = self.document.compression.as_ref().map(|own| own.span);
        let within = |span: Span| own.is_some_and(|own| own.start <= span.start && span.end <= own.end);
        list.as_ref().is_some_and(|list| list.span.file == level.file && within(list.span) == within(level))
    }

    fn media_types(&mut self, written: &List<String>) -> MediaTypes {
        let Some(list) = written else { return MediaTypes::default() };
        if list.is_empty() {
            self.diagnostics
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
                Some(pattern) if pattern.is_always_excluded() => {
                    ("is never compressed", "it is compressed already, or must not be touched: leave it out")
                }
                Some(pattern) if !seen.insert(pattern.to_string()) => ("stands twice", "write it once"),
                Some(pattern) => {
                    patterns.push(pattern);
                    continue;
                }
            };
            let message = format!("\"{}\" {}", text.value, problem.0);
            self.diagnostics.error(codes::COMPRESSION_TYPE, text.span, message).help(problem.1);
        }
        MediaTypes::new(patterns)
    }
}
