//! Route patterns of ASP.NET Core as path templates, with their precedence.
//!
//! ASP.NET Core ignores a trailing slash and the case of letters, and a parameter is one segment or a part of it. A
//! template that ends in `/` is matched in the same way; only a catch-all ends in a placeholder.

use std::collections::BTreeSet;

/// One pattern; an optional parameter makes it two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YarpPath {
    /// `UpstreamPathTemplate`.
    pub client: String,
    /// The precedence of ASP.NET Core, a digit for each segment; smaller ones are matched first.
    pub precedence: Vec<u8>,
    /// Route parameters that are present in this form of the pattern.
    pub names: BTreeSet<String>,
}

/// The templates of a pattern, and what they do not express.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct YarpPaths {
    pub paths: Vec<YarpPath>,
    pub changes: Vec<String>,
}

/// Literal text or a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPart {
    Literal(String),
    Parameter { name: String, is_catch_all: bool, is_optional: bool, has_constraint: bool },
}

/// Converts a pattern; the error is the reason why it cannot be matched.
pub fn convert(pattern: &str) -> Result<YarpPaths, String> {
    let mut result = YarpPaths::default();
    let trimmed = pattern.trim().trim_start_matches('~').trim_matches('/');
    let mut segments: Vec<Vec<PatternPart>> = Vec::new();
    for segment in split_segments(trimmed) {
        segments.push(parse_segment(segment, &mut result.changes)?);
    }
    check_names(&segments)?;
    let optional = segments.last().and_then(|segment| segment.last());
    if let Some(PatternPart::Parameter { is_optional: true, is_catch_all: false, .. }) = optional {
        result.paths.push(render(&segments));
        without_optional(&mut segments);
    }
    result.paths.push(render(&segments));
    Ok(result)
}

/// Segments, without splitting at a `/` within braces.
fn split_segments(pattern: &str) -> Vec<&str> {
    let (mut segments, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in pattern.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => {
                segments.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    segments.push(&pattern[start..]);
    segments.into_iter().filter(|segment| !segment.is_empty()).collect()
}

fn parse_segment(segment: &str, changes: &mut Vec<String>) -> Result<Vec<PatternPart>, String> {
    let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), segment);
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("{{") || rest.starts_with("}}") {
            return Err("a literal brace in the path cannot be matched".to_owned());
        }
        // A brace without its counterpart: only there a segment has a slash outside of a parameter.
        if matches!(c, '}' | '/') {
            return Err(format!("`{{` without `}}`, or `}}` without `{{`, in \"{segment}\""));
        }
        if c != '{' {
            literal.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let close = closing_brace(rest).ok_or_else(|| format!("`{{` without `}}` in \"{segment}\""))?;
        if !literal.is_empty() {
            parts.push(PatternPart::Literal(std::mem::take(&mut literal)));
        }
        parts.push(parse_parameter(&rest[1..close], changes));
        rest = &rest[close + 1..];
    }
    if !literal.is_empty() {
        parts.push(PatternPart::Literal(literal));
    }
    Ok(parts)
}

/// The `}` of the parameter at the start; `{{` and `}}` are braces within a constraint.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'}' if bytes.get(at + 1) == Some(&bytes[at]) && text[..at].contains(':') => at += 2,
            b'}' => return Some(at),
            _ => at += 1,
        }
    }
    None
}

fn parse_parameter(text: &str, changes: &mut Vec<String>) -> PatternPart {
    let bare = text.trim_start_matches('*');
    let end = bare.find([':', '=', '?']).unwrap_or(bare.len());
    let (name, rest) = bare.split_at(end);
    let has_constraint = rest.starts_with(':');
    if has_constraint {
        changes.push(format!("constraint of `{{{text}}}`: every value of the parameter matches"));
    }
    if rest.contains('=') {
        changes.push(format!("default value of `{{{text}}}` is not used in transforms"));
    }
    PatternPart::Parameter {
        name: if name.is_empty() { "parameter".to_owned() } else { name.replace(['/', '{', '}'], "_") },
        is_catch_all: bare.len() < text.len(),
        is_optional: rest.ends_with('?') || rest.contains('='),
        has_constraint,
    }
}

fn check_names(segments: &[Vec<PatternPart>]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for part in segments.iter().flatten() {
        if let PatternPart::Parameter { name, .. } = part
            && !names.insert(name.to_ascii_lowercase())
        {
            return Err(format!("the parameter `{name}` occurs twice"));
        }
    }
    let catch_all = |part: &PatternPart| matches!(part, PatternPart::Parameter { is_catch_all: true, .. });
    match segments.iter().flatten().position(catch_all) {
        Some(at) if at + 1 < segments.iter().map(Vec::len).sum() => {
            Err("a catch-all parameter must be the last part of the path".to_owned())
        }
        _ => Ok(()),
    }
}

/// Removes the optional parameter at the end, with the dot in front of it.
fn without_optional(segments: &mut Vec<Vec<PatternPart>>) {
    let Some(last) = segments.last_mut() else { return };
    last.pop();
    if let Some(PatternPart::Literal(text)) = last.last_mut()
        && text.ends_with('.')
    {
        text.pop();
        if text.is_empty() {
            last.pop();
        }
    }
    if last.is_empty() {
        segments.pop();
    }
}

fn render(segments: &[Vec<PatternPart>]) -> YarpPath {
    let (mut client, mut names, mut spans) = (String::new(), BTreeSet::new(), false);
    for part in segments {
        client.push('/');
        for piece in part {
            match piece {
                PatternPart::Literal(text) => client.push_str(text),
                PatternPart::Parameter { name, is_catch_all, .. } => {
                    client.push_str(&format!("{{{name}}}"));
                    names.insert(name.clone());
                    spans = *is_catch_all;
                }
            }
        }
    }
    if !spans {
        client.push('/');
    }
    YarpPath { client, precedence: segments.iter().map(|segment| digit(segment)).collect(), names }
}

/// `RoutePrecedence.ComputeInbound` of ASP.NET Core.
fn digit(segment: &[PatternPart]) -> u8 {
    match segment {
        [PatternPart::Literal(_)] => 1,
        [PatternPart::Parameter { is_catch_all, has_constraint, .. }] => {
            let digit = if *is_catch_all { 5 } else { 3 };
            digit - u8::from(*has_constraint)
        }
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clients(pattern: &str) -> Vec<String> {
        convert(pattern).unwrap().paths.into_iter().map(|path| path.client).collect()
    }

    #[test]
    fn patterns_become_templates_that_ignore_a_trailing_slash() {
        for (pattern, expected) in [
            ("/api/{**remainder}", &["/api/{remainder}"][..]),
            ("{**catch-all}", &["/{catch-all}"]),
            ("/a/{*rest}", &["/a/{rest}"]),
            ("/a/{id:int}", &["/a/{id}/"]),
            ("/a/{id?}", &["/a/{id}/", "/a/"]),
            ("/f/{name}.{ext?}", &["/f/{name}.{ext}/", "/f/{name}/"]),
            ("/a/{id:regex(^[a-z]{{2}}$)}/b", &["/a/{id}/b/"]),
            ("/", &["/"]),
            ("", &["/"]),
            ("/a/", &["/a/"]),
        ] {
            assert_eq!(clients(pattern), expected, "{pattern}");
        }
        assert!(convert("/a/{id:int}").unwrap().changes[0].contains("{id:int}"));
    }

    #[test]
    fn literals_precede_parameters_and_catch_alls() {
        let mut patterns = ["/{**all}", "/a/{b}", "/a/b", "/a/{b:int}", "/a/{**c}", "/a/x-{b}"];
        patterns.sort_by_key(|pattern| convert(pattern).unwrap().paths[0].precedence.clone());
        assert_eq!(patterns, ["/a/b", "/a/{b:int}", "/a/x-{b}", "/a/{b}", "/a/{**c}", "/{**all}"]);
    }

    #[test]
    fn patterns_that_cannot_be_matched_have_a_reason() {
        for pattern in ["/a/{b", "/{a}/{a}", "/{**a}/b", "/a/{{b}}", "{a{}//}", "/a}", "{a{}/b"] {
            assert!(convert(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_is_a_template_or_has_a_reason(pattern in "[/a{}*:?=.~(]{0,20}") {
            for path in convert(&pattern).map(|paths| paths.paths).unwrap_or_default() {
                prop_assert!(path.client.starts_with('/') && !path.client.contains("//"), "{}", path.client);
            }
        }
    }
}
