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

/// The levels of an encoder: by `Level`, and the maximum.
struct LevelRange {
    setting: &'static str,
    default: [u8; 3],
    max: u8,
}

/// Higher levels cost more time and memory than is reasonable for a gateway.
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
        let preset = compiler.preset_index(&self.level);
        let levels = ContentCoding::ALL.map(|coding| compiler.level(self, coding, &codings, preset));
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
                Some(_) => "list each encoding once".to_owned(),
                None => match suggest::closest_match(name, ["gzip", "zstd", "brotli"]) {
                    Some("brotli") => "use \"br\" for brotli".to_owned(),
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => "expected \"zstd\", \"br\" or \"gzip\"".to_owned(),
                },
            };
            let what = if ContentCoding::from_name(name.trim().as_bytes()).is_some() {
                "is a duplicate"
            } else {
                "is unknown"
            };
            let message = format!("the encoding \"{}\" {what}", name.value);
            self.context.diagnostics.error(codes::COMPRESSION_ENCODING, name.span, message).help(help);
        }
        if let Some(list) = values.as_ref().filter(|list| list.is_empty()) {
            self.context
                .diagnostics
                .error(codes::COMPRESSION_ENCODING, list.span, "Encodings is empty")
                .help("add one, or set \"EnableCompression\": false to disable compression");
        }
        if codings.is_empty() { ContentCoding::ALL.to_vec() } else { codings }
    }

    /// The index of the name in [`LEVELS`].
    fn preset_index(&mut self, setting: &Setting<String>) -> usize {
        let Some(name) = non_blank(setting) else { return 1 };
        let found = LEVELS.iter().position(|level| level.eq_ignore_ascii_case(name.trim()));
        if found.is_none() {
            let message = format!("unknown level \"{}\"", name.value);
            let diagnostic = self.context.diagnostics.error(codes::COMPRESSION_LEVEL, name.span, message);
            match suggest::closest_match(name, LEVELS) {
                Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
                None => diagnostic.help("expected \"Fastest\", \"Balanced\" or \"Smallest\""),
            };
        }
        found.unwrap_or(1)
    }

    fn level(
        &mut self,
        options: &CompressionOptions,
        coding: ContentCoding,
        codings: &[ContentCoding],
        preset: usize,
    ) -> u8 {
        let LevelRange { setting, default, max } = range(coding);
        let Some(level) = level_of(options, coding) else { return default[preset] };
        if !codings.contains(&coding) && self.same_origin(&options.encodings, level.span) {
            let message = format!("{setting} has no effect: {} is not in Encodings", coding.name());
            self.context
                .diagnostics
                .error(codes::COMPRESSION_LEVEL, level.span, message)
                .help(format!("remove {setting}, or add \"{}\" to Encodings", coding.name()));
        }
        let mut ranges = RangeChecker::for_code(codes::COMPRESSION_LEVEL, self.context.diagnostics);
        let level = ranges.number(setting, level_of(options, coding), 1, u64::from(max));
        level.map_or(default[preset], |level| level as u8)
    }

    /// Whether the list and the level come from the same document: an inherited level may belong to an encoding that
    /// the route excludes.
    fn same_origin(&self, list: &List<String>, level: Span) -> bool {
        let own = self.context.own_span;
        let within = |span: Span| own.is_some_and(|own| own.start <= span.start && span.end <= own.end);
        list.as_ref().is_some_and(|list| list.span.file == level.file && within(list.span) == within(level))
    }

    fn media_types(&mut self, values: &List<String>) -> MediaTypes {
        let Some(list) = values else { return MediaTypes::default() };
        if list.is_empty() {
            self.context.diagnostics.error(codes::COMPRESSION_TYPE, list.span, "ContentTypes is empty").help(
                "remove it for the default types, or set \"EnableCompression\": false to disable compression",
            );
        }
        let (mut patterns, mut seen) = (Vec::new(), HashSet::new());
        for text in items(values) {
            let problem = match Pattern::read(text) {
                None => (
                    "is invalid",
                    "expected a type without parameters: \"text/html\", \"text/*\", \"application/*+json\"",
                ),
                Some(pattern) if pattern.is_always_excluded() => {
                    ("is never compressed", "it is compressed already, or must not be changed: remove it")
                }
                Some(pattern) if !seen.insert(pattern.to_string()) => ("is a duplicate", "list it once"),
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
