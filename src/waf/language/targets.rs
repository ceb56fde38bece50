//! `ARGS|!ARGS:token|&REQUEST_HEADERS:Host`: the variables of a rule.

use super::pattern::Pattern;
use super::rule::{Collection, Selector, Target, TargetUse};
use std::sync::Arc;

/// Reads the variables of a rule.
pub fn parse(text: &str) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (target, after) = target(rest)?;
        targets.push(target);
        rest = after.trim_start_matches(['|', ',', ' ']);
    }
    if targets.is_empty() {
        return Err("expected a variable, found nothing".to_owned());
    }
    Ok(targets)
}

/// The first variable of a text and what follows it.
fn target(text: &str) -> Result<(Target, &str), String> {
    let (usage, text) = match text.as_bytes()[0] {
        b'!' => (TargetUse::Exclude, &text[1..]),
        b'&' => (TargetUse::Count, &text[1..]),
        _ => (TargetUse::Include, text),
    };
    let end = text.find([':', '|', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(selector) = rest.strip_prefix(':') else {
        return Ok((Target { collection: collection(name)?, selector: Selector::All, usage }, rest));
    };
    if name.eq_ignore_ascii_case("XML") {
        let (collection, rest) = xml(selector)?;
        return Ok((Target { collection, selector: Selector::All, usage }, rest));
    }
    let (selector, rest) = self::selector(selector)?;
    Ok((Target { collection: collection(name)?, selector, usage }, rest))
}

fn collection(name: &str) -> Result<Collection, String> {
    if name.eq_ignore_ascii_case("XML") {
        return Ok(Collection::XmlText);
    }
    Collection::from_name(name).ok_or_else(|| format!("unknown variable `{name}`"))
}

fn xml(path: &str) -> Result<(Collection, &str), String> {
    let end = path.find('|').unwrap_or(path.len());
    let collection = match &path[..end] {
        "/*" => Collection::XmlText,
        "//@*" => Collection::XmlAttributes,
        other => return Err(format!("expected `XML:/*` or `XML://@*`, found `XML:{other}`")),
    };
    Ok((collection, &path[end..]))
}

/// A name up to the next `|`, or a regular expression between slashes; either may stand in single quotes.
fn selector(text: &str) -> Result<(Selector, &str), String> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let end = quoted.find('\'').ok_or("expected a closing quote")?;
        let (selector, _) = selector(&quoted[..end])?;
        return Ok((selector, &quoted[end + 1..]));
    }
    let Some(expression) = text.strip_prefix('/') else {
        let end = text.find(['|', ',']).unwrap_or(text.len());
        return Ok((Selector::Name(text[..end].to_owned()), &text[end..]));
    };
    let end = closing_slash(expression).ok_or("expected a closing `/`")?;
    let pattern = Pattern::new(&expression[..end].replace("\\/", "/"), true)?;
    Ok((Selector::Pattern(Arc::new(pattern)), &expression[end + 1..]))
}

/// The slash that ends an expression: not escaped, and at the end or before a separator.
fn closing_slash(expression: &str) -> Option<usize> {
    expression.match_indices('/').map(|(at, _)| at).find(|at| {
        let is_escaped = expression[..*at].ends_with('\\');
        let after = &expression[at + 1..];
        !is_escaped && (after.is_empty() || after.starts_with(['|', ',', '\'']))
    })
}
