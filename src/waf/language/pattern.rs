//! Regular expressions on bytes, in the flavor of the rule language.

use regex_automata::meta::Regex;
use regex_syntax::hir::Hir;
use std::sync::OnceLock;

/// The memory that the states of one expression may use in each thread.
const HYBRID_CACHE_CAPACITY: usize = 1 << 20;

/// The memory that a compiled expression may use.
const MAX_PATTERN_BYTES: usize = 16 << 20;

/// A regular expression; it is compiled when it is first used.
#[derive(Debug)]
pub struct Pattern {
    hir: Hir,
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Parses an expression. `is_ignoring_case` adds the flag `i`.
    pub fn new(text: &str, is_ignoring_case: bool) -> Result<Self, String> {
        let translated = translate(text);
        let parsed = |text: &str| parser(is_ignoring_case).build().parse(text).map_err(Box::new);
        let hir = parsed(&translated).or_else(|first| parsed(&escape_wide(&translated)).map_err(|_| first));
        let hir = hir.map_err(|error| error.to_string())?;
        Ok(Self { hir, regex: OnceLock::new() })
    }

    /// Its parsed form.
    pub fn hir(&self) -> &Hir {
        &self.hir
    }

    /// Compiles the expression now instead of at the first use.
    pub fn compile(&self) -> bool {
        self.regex().is_some()
    }

    /// Whether a text has a match.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    /// Where the first match is.
    pub fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        self.regex()?.find(text).map(|found| (found.start(), found.end()))
    }

    /// Where the groups 0 to 9 of the first match are.
    pub fn captures(&self, text: &[u8]) -> Option<Vec<Option<(usize, usize)>>> {
        let regex = self.regex()?;
        let mut captures = regex.create_captures();
        regex.captures(text, &mut captures);
        captures.is_match().then(|| {
            let groups = captures.group_len().min(10);
            (0..groups).map(|at| captures.get_group(at).map(|span| (span.start, span.end))).collect()
        })
    }

    /// The memory of the compiled expression, 0 before its first use.
    pub fn memory_bytes(&self) -> usize {
        self.regex.get().and_then(Option::as_ref).map_or(0, Regex::memory_usage)
    }

    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| compile(&self.hir)).as_ref()
    }
}

fn compile(hir: &Hir) -> Option<Regex> {
    let config = Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_PATTERN_BYTES))
        .onepass(false)
        .dfa(false)
        .hybrid_cache_capacity(HYBRID_CACHE_CAPACITY);
    Regex::builder().configure(config).build_from_hir(hir).ok()
}

fn parser(is_ignoring_case: bool) -> regex_syntax::ParserBuilder {
    let mut builder = regex_syntax::ParserBuilder::new();
    builder.unicode(false).utf8(false).dot_matches_new_line(true).multi_line(true).nest_limit(250);
    builder.case_insensitive(is_ignoring_case);
    builder
}

/// `\x{bc}` names a byte here, which the syntax of the engine writes `\xbc`; `\/` and some other escapes are literals.
fn translate(text: &str) -> String {
    let mut translated = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        translated.push_str(&rest[..at]);
        let escape = &rest[at..];
        let length = escape.chars().nth(1).map_or(1, |next| 1 + next.len_utf8());
        let byte = escape.strip_prefix("\\x{").and_then(|hex| hex.split_once('}'));
        if let Some((hex, after)) = byte.filter(|(hex, _)| hex.len() == 2) {
            translated.push_str("\\x");
            translated.push_str(hex);
            rest = after;
            continue;
        }
        match &escape[1..length] {
            "e" => translated.push_str("\\x1b"),
            "h" => translated.push_str("[\\t ]"),
            "Z" => translated.push_str("\\z"),
            letter if letter.chars().all(|c| c.is_ascii_alphanumeric()) => {
                translated.push_str(&escape[..length]);
            }
            literal => translated.push_str(&regex_syntax::escape(literal)),
        }
        rest = &escape[length..];
    }
    translated.push_str(rest);
    translated
}

/// Characters beyond ASCII as the bytes of their encoding.
fn escape_wide(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        let mut buffer = [0; 4];
        for byte in character.encode_utf8(&mut buffer).bytes() {
            escaped.push_str(&format!("\\x{byte:02x}"));
        }
    }
    escaped
}
