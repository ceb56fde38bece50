//! Regular expressions of Kong's paths as path templates.
//!
//! A placeholder of margay matches any text of one segment, or of the rest of the path. So classes such as `\d+` become
//! wider, alternations become several templates, and an expression with another structure has no counterpart.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// Maximum number of templates of one expression.
const MAX_TEMPLATES: usize = 32;

/// Maximum number of characters of a class that become alternatives.
const MAX_CHARACTERS: usize = 8;

/// A template of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexTemplate {
    /// `UpstreamPathTemplate`.
    pub client: String,
    /// The placeholder of the path behind the match, which `strip_path` keeps.
    pub rest: Option<String>,
    /// The template matches more paths than the expression.
    pub is_wider: bool,
    pub ignores_case: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathToken {
    Text(String),
    /// Within a segment.
    Segment(String),
    /// Across segments.
    Rest(String),
    End,
}

/// The templates of an expression; the error is the reason why there are none.
pub fn convert(expression: &str) -> Result<Vec<RegexTemplate>, String> {
    let hir =
        regex_syntax::parse(expression).map_err(|_| "the regular expression cannot be parsed".to_owned())?;
    let mut expander = Expander::default();
    let alternatives = expander.expand(&hir, None)?;
    let (is_wider, ignores_case) = (expander.is_wider, expander.ignores_case);
    alternatives.into_iter().map(|tokens| render(tokens, is_wider, ignores_case)).collect()
}

#[derive(Default)]
struct Expander {
    is_wider: bool,
    ignores_case: bool,
    placeholders: usize,
}

type Alternatives = Vec<Vec<PathToken>>;

impl Expander {
    /// The forms of an expression; `name` is that of the group around it.
    fn expand(&mut self, hir: &Hir, name: Option<&str>) -> Result<Alternatives, String> {
        match hir.kind() {
            HirKind::Empty => Ok(vec![Vec::new()]),
            HirKind::Literal(literal) => {
                let text =
                    std::str::from_utf8(&literal.0).map_err(|_| "the expression is not UTF-8".to_owned())?;
                Ok(vec![vec![PathToken::Text(text.to_owned())]])
            }
            HirKind::Class(class) => Ok(self.single(class, name)),
            HirKind::Look(Look::Start) => Ok(vec![Vec::new()]),
            HirKind::Look(Look::End) => Ok(vec![vec![PathToken::End]]),
            HirKind::Look(_) => Err("word boundaries have no counterpart".to_owned()),
            HirKind::Repetition(repetition) => self.repetition(repetition, name),
            HirKind::Capture(capture) => self.expand(&capture.sub, capture.name.as_deref()),
            HirKind::Concat(parts) => {
                let mut all: Alternatives = vec![Vec::new()];
                for part in parts {
                    let next = self.expand(part, None)?;
                    all = all
                        .iter()
                        .flat_map(|head| next.iter().map(|tail| [&head[..], &tail[..]].concat()))
                        .collect();
                    limit(&all)?;
                }
                Ok(all)
            }
            HirKind::Alternation(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.expand(part, name)?);
                }
                limit(&all)?;
                Ok(all)
            }
        }
    }

    /// One character of a class: a letter in both cases is that letter, a few characters are alternatives.
    fn single(&mut self, class: &Class, name: Option<&str>) -> Alternatives {
        let text = |c: char| vec![PathToken::Text(c.to_string())];
        let lower = |c: &char| c.to_lowercase().collect::<String>();
        match few_characters(class).as_deref() {
            Some([first, rest @ ..]) if !rest.is_empty() && rest.iter().all(|c| lower(c) == lower(first)) => {
                self.ignores_case = true;
                vec![vec![PathToken::Text(lower(first))]]
            }
            Some(characters) => characters.iter().map(|c| text(*c)).collect(),
            None => {
                self.is_wider = true;
                vec![vec![PathToken::Segment(self.placeholder(name))]]
            }
        }
    }

    fn repetition(&mut self, repetition: &Repetition, name: Option<&str>) -> Result<Alternatives, String> {
        if (repetition.min, repetition.max) == (0, Some(1)) {
            let mut all = self.expand(&repetition.sub, name)?;
            all.push(Vec::new());
            return Ok(all);
        }
        let token = match repetition.sub.kind() {
            HirKind::Class(class) if matches_slash(class) => PathToken::Rest(self.placeholder(name)),
            HirKind::Class(class) => {
                self.is_wider |= !is_any_but_slash(class) || repetition.max.is_some() || repetition.min > 1;
                PathToken::Segment(self.placeholder(name))
            }
            _ => {
                self.is_wider = true;
                PathToken::Rest(self.placeholder(name))
            }
        };
        let mut all = vec![vec![token.clone()]];
        if repetition.min == 0 && matches!(token, PathToken::Segment(_)) {
            all.push(Vec::new());
        }
        Ok(all)
    }

    fn placeholder(&mut self, name: Option<&str>) -> String {
        self.placeholders += 1;
        name.map_or_else(|| format!("part{}", self.placeholders), str::to_owned)
    }
}

fn limit(all: &Alternatives) -> Result<(), String> {
    if all.len() > MAX_TEMPLATES {
        return Err(format!("the expression has more than {MAX_TEMPLATES} alternatives"));
    }
    Ok(())
}

/// The characters of a small class that can stand in a template.
fn few_characters(class: &Class) -> Option<Vec<char>> {
    let Class::Unicode(class) = class else { return None };
    let size: usize = class.iter().map(|range| range.len()).sum();
    let characters = class.iter().flat_map(|range| range.start()..=range.end());
    let characters: Vec<char> = characters.take(MAX_CHARACTERS + 1).collect();
    let is_plain = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    ((1..=MAX_CHARACTERS).contains(&size) && characters.iter().all(is_plain)).then_some(characters)
}

fn matches_slash(class: &Class) -> bool {
    match class {
        Class::Unicode(class) => class.iter().any(|range| range.start() <= '/' && '/' <= range.end()),
        Class::Bytes(class) => class.iter().any(|range| range.start() <= b'/' && b'/' <= range.end()),
    }
}

/// `[^/]`, or with more characters that cannot occur in a path: `[^/?#]`.
fn is_any_but_slash(class: &Class) -> bool {
    let Class::Unicode(class) = class else { return false };
    let contains = |c: char| class.iter().any(|range| range.start() <= c && c <= range.end());
    ('!'..='~').all(|c| contains(c) || matches!(c, '/' | '?' | '#'))
}

/// The template of one form.
fn render(tokens: Vec<PathToken>, is_wider: bool, ignores_case: bool) -> Result<RegexTemplate, String> {
    let is_anchored = tokens.contains(&PathToken::End);
    let mut merged: Vec<PathToken> = Vec::new();
    for token in tokens.into_iter().take_while(|token| *token != PathToken::End) {
        match (merged.last_mut(), token) {
            (Some(PathToken::Text(last)), PathToken::Text(text)) => last.push_str(&text),
            // Placeholders without text between them cannot be distinguished.
            (Some(PathToken::Segment(_)), PathToken::Segment(_))
            | (Some(PathToken::Rest(_)), PathToken::Segment(_) | PathToken::Rest(_)) => {}
            (Some(last @ PathToken::Segment(_)), PathToken::Rest(name)) => *last = PathToken::Rest(name),
            (_, token) => merged.push(token),
        }
    }
    let client = template(&merged)?;
    let last = client.rsplit('/').next().unwrap_or_default().to_owned();
    let (client, rest) = match (merged.last(), is_anchored) {
        (Some(PathToken::Segment(_)), true) => (format!("{client}/"), None),
        (Some(PathToken::Text(_)), true) if last.contains('{') => (format!("{client}/"), None),
        (Some(PathToken::Rest(_)) | None, _) | (_, true) => (client, None),
        (Some(PathToken::Segment(_)), false) => (client, None),
        (_, false) => (format!("{}/{{rest}}", client.trim_end_matches('/')), Some("rest".to_owned())),
    };
    Ok(RegexTemplate { client, rest, is_wider, ignores_case })
}

fn template(tokens: &[PathToken]) -> Result<String, String> {
    let mut client = String::new();
    let mut names: Vec<&str> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            PathToken::Text(text) if text.contains(['{', '}', '?', '#']) => {
                return Err("the expression has characters that a path template cannot contain".to_owned());
            }
            PathToken::Text(text) => client.push_str(text),
            PathToken::Segment(name) | PathToken::Rest(name) => {
                let more = tokens[at + 1..]
                    .iter()
                    .any(|token| matches!(token, PathToken::Text(text) if text.contains('/')));
                if matches!(token, PathToken::Rest(_)) && more {
                    return Err("a part that matches several segments must be at the end".to_owned());
                }
                if names.contains(&name.as_str()) {
                    return Err(format!("the group `{name}` occurs twice"));
                }
                names.push(name);
                client.push_str(&format!("{{{name}}}"));
            }
            PathToken::End => {}
        }
    }
    if !client.starts_with('/') || client.contains("//") {
        return Err("the expression does not begin with a slash, or has a double slash".to_owned());
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clients(expression: &str) -> Vec<String> {
        convert(expression).unwrap().into_iter().map(|template| template.client).collect()
    }

    #[test]
    fn expressions_become_templates() {
        for (expression, expected) in [
            (r"/v\d+/users$", &["/v{part1}/users"][..]),
            (r"^/users/(?<id>[^/]+)$", &["/users/{id}/"]),
            (r"/users/(?P<id>\d+)/orders", &["/users/{id}/orders/{rest}"]),
            (r"/(orders|items)/list$", &["/orders/list", "/items/list"]),
            (r"/v[12]/x$", &["/v1/x", "/v2/x"]),
            (r"/files/.*", &["/files/{part1}"]),
            (r"/files/(?<path>.+\.json)$", &["/files/{part1}.json/"]),
            (r"/a/?$", &["/a/", "/a"]),
            (r"(?i)/Api$", &["/api"]),
        ] {
            assert_eq!(clients(expression), expected, "{expression}");
        }
        assert!(convert(r"/v\d+/users$").unwrap()[0].is_wider);
        assert!(!convert(r"/users/[^/]+$").unwrap()[0].is_wider);
        assert_eq!(convert(r"/users/x").unwrap()[0].rest.as_deref(), Some("rest"));
        assert!(convert(r"(?i)/Api$").unwrap()[0].ignores_case);
    }

    #[test]
    fn other_structures_have_a_reason() {
        for expression in [
            r"/a/.*/b",
            r"(",
            r"a/b",
            r"/a\b",
            r"/(ax|bx|cy|dy|ez)/(ax|bx|cy|dy|ez)/(ax|bx|cy|dy|ez)",
            r"/a\{b",
        ] {
            assert!(convert(expression).is_err(), "{expression}");
        }
    }

    proptest! {
        #[test]
        fn any_expression_is_a_template_or_has_a_reason(expression in "[/ab(|)\\[\\]^*+?.$d{}1]{0,20}") {
            for template in convert(&expression).unwrap_or_default() {
                prop_assert!(template.client.starts_with('/') && !template.client.contains("//"));
            }
        }
    }
}
