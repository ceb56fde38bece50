//! `CompressionOptions` → the configuration.

use super::{
    CompressionConfig,
    media_types::{MediaTypes, Pattern},
    options::CompressionOptions,
};
use crate::{
    base::content_coding::ContentCoding,
    config::{
        Span, codes,
        ranges::RangeChecker,
        suggest,
        values::{List, Setting, items, non_blank},
    },
    stages::feature::{CompileContext, Feature},
};
use std::collections::HashSet;

const LEVELS: [&str; 3] = ["Fastest", "Balanced", "Smallest"];

/// The default and the maximum of `MinSize`.
const DEFAULT_MIN_SIZE: u64 = 1024;
const MAX_MIN_SIZE: u64 = 1 << 30;

/// The levels of an encoder: by `Level`, and the highest.
struct LevelRange {
    setting: &'static str,
    default: [u8; 3],
    max: u8,
}

/// Higher levels cost more time and memory than a gateway can spend.
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

impl Feature for CompressionOptions {
    type Config = CompressionConfig;

    fn compile(&self, context: &mut CompileContext) -> Option<CompressionConfig> {
        if self.enable_compression.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let mut compiler = CompressionCompiler { context };
        let codings = compiler.encodings(&self.encodings);
        let word = compiler.level_word(&self.level);
        let levels = ContentCoding::ALL.map(|coding| compiler.level(self, coding, &codings, word));
        let media_types = compiler.media_types(&self.content_types);
        let mut ranges = RangeChecker::for_code(codes::COMPRESSION_SIZE, compiler.context.diagnostics);
        let min_size = ranges.size("MinSize", &self.min_size, DEFAULT_MIN_SIZE, 0, MAX_MIN_SIZE);
        Some(CompressionConfig {
            encodings: codings.into_iter().map(|coding| (coding, levels[coding as usize])).collect(),
            min_size: min_size as u64,
            media_types,
        })
    }
}

struct CompressionCompiler<'c, 'd> {
    context: &'c mut CompileContext<'d>,
}

impl CompressionCompiler<'_, '_> {
    fn encodings(&mut self, values: &List<String>) -> Vec<ContentCoding> {
        let mut codings = Vec::new();
        for name in items(values) {
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
            self.context.diagnostics.error(codes::COMPRESSION_ENCODING, name.span, message).help(help);
        }
        if let Some(list) = values.as_ref().filter(|list| list.is_empty()) {
            self.context
                .diagnostics
                .error(codes::COMPRESSION_ENCODING, list.span, "there is no encoding in Encodings")
                .help("name some, or write \"EnableCompression\": false to switch compression off");
        }
        if codings.is_empty() { ContentCoding::ALL.to_vec() } else { codings }
    }

    /// The index of the word among [`LEVELS`].
    fn level_word(&mut self, setting: &Setting<String>) -> usize {
        let Some(word) = non_blank(setting) else { return 1 };
        let found = LEVELS.iter().position(|level| level.eq_ignore_ascii_case(word.trim()));
        if found.is_none() {
            let message = format!("there is no level \"{}\"", word.value);
            let diagnostic = self.context.diagnostics.error(codes::COMPRESSION_LEVEL, word.span, message);
            match suggest::closest_match(word, LEVELS) {
                Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
                None => diagnostic.help("write \"Fastest\", \"Balanced\" or \"Smallest\""),
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
        let LevelRange { setting, default, max } = range(coding);
        let Some(written) = level_of(options, coding) else { return default[word] };
        if !codings.contains(&coding) && self.same_origin(&options.encodings, written.span) {
            let message = format!("{setting} is set, and {} is not among the Encodings", coding.name());
            self.context
                .diagnostics
                .error(codes::COMPRESSION_LEVEL, written.span, message)
                .help(format!("leave {setting} out, or add \"{}\" to Encodings", coding.name()));
        }
        let mut ranges = RangeChecker::for_code(codes::COMPRESSION_LEVEL, self.context.diagnostics);
        let level = ranges.number(setting, level_of(options, coding), 1, u64::from(max));
        level.map_or(default[word], |level| level as u8)
    }

    /// Whether the list and the level come from the same document: an inherited level may belong to an encoding that the
    /// route leaves out.
    fn same_origin(&self, list: &List<String>, level: Span) -> bool {
        let own = self.context.own_span;
        let within = |span: Span| own.is_some_and(|own| own.start <= span.start && span.end <= own.end);
        list.as_ref().is_some_and(|list| list.span.file == level.file && within(list.span) == within(level))
    }

    fn media_types(&mut self, values: &List<String>) -> MediaTypes {
        let Some(list) = values else { return MediaTypes::default() };
        if list.is_empty() {
            self.context.diagnostics
                .error(codes::COMPRESSION_TYPE, list.span, "there is no media type in ContentTypes")
                .help("leave it out for the usual ones, or write \"EnableCompression\": false to switch compression off");
        }
        let (mut patterns, mut seen) = (Vec::new(), HashSet::new());
        for text in items(values) {
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
            self.context.diagnostics.error(codes::COMPRESSION_TYPE, text.span, message).help(problem.1);
        }
        MediaTypes::new(patterns)
    }
}
