//! Query strings in Ocelot's form (docs/ocelot-behavior.md, section 7.4): rebuilt without the parameters that were
//! used as placeholders, or merged with the query of the template.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::escape::{ENCODER, QUERY, contains, decoded, push_encoded, push_escaped};

/// Up to this number of parameters, each is compared with every other one instead of using a table.
const LINEAR_SCAN_LIMIT: usize = 16;

/// One parameter as received. `value` is `None` for a name without `=`.
#[derive(Clone, Copy, Debug)]
struct Param<'q> {
    name: &'q [u8],
    value: Option<&'q [u8]>,
}

/// Parameters whose names are equal ignoring case, under the first spelling.
struct Group<'q> {
    name: Vec<u8>,
    raw_name: &'q [u8],
    values: SmallVec<[&'q [u8]; 2]>,
}

/// Writes `?` and the query unchanged; bytes that are invalid in a request line are encoded. `raw` is without `?`.
pub(super) fn push_raw(raw: &[u8], buffer: &mut Vec<u8>) {
    if raw.is_empty() {
        return;
    }
    buffer.push(b'?');
    match raw.iter().all(|b| contains(*b, QUERY)) {
        true => buffer.extend_from_slice(raw),
        false => push_escaped(raw, QUERY, buffer),
    }
}

/// Rebuilds the query without the parameters named like a placeholder (case-insensitive): `flag` becomes `flag=`,
/// equal names are grouped under the first spelling. `raw` is without `?`.
pub(super) fn push_reencoded_query(raw: &[u8], placeholders: &[Box<str>], buffer: &mut Vec<u8>) {
    if is_normal_form(raw, placeholders) {
        return push_raw(raw, buffer);
    }
    let mut first = true;
    for group in grouped(params(raw)) {
        if placeholders
            .iter()
            .any(|p| ordinal_ignore_case_key(p.as_bytes()) == ordinal_ignore_case_key(&group.name))
        {
            continue;
        }
        for value in &group.values {
            push_param(group.raw_name, &[value], &mut first, buffer);
        }
    }
}

/// The query of the template, followed by the other received parameters. Equal names become one, their values joined
/// with commas; names without `=` and blank names are dropped. Both are without `?`.
pub(super) fn push_merged_query(
    template: &[u8],
    raw: &[u8],
    placeholders: &[Box<str>],
    buffer: &mut Vec<u8>,
) {
    let counts = |p: &Param<'_>| p.value.is_some() && !is_blank_param(&decode_component(p.name));
    let base = grouped(params(template).filter(counts));
    let mut first = true;
    for group in &base {
        push_param(group.raw_name, &group.values, &mut first, buffer);
    }
    for group in grouped(params(raw).filter(counts)) {
        let used = placeholders.iter().any(|p| p.as_bytes() == group.name);
        if !used && !base.iter().any(|b| b.name == group.name) {
            push_param(group.raw_name, &group.values, &mut first, buffer);
        }
    }
}

fn params(raw: &[u8]) -> impl Iterator<Item = Param<'_>> {
    raw.split(|b| *b == b'&').filter(|p| !p.is_empty()).map(|p| match p.iter().position(|b| *b == b'=') {
        Some(at) => Param { name: &p[..at], value: Some(&p[at + 1..]) },
        None => Param { name: p, value: None },
    })
}

fn grouped<'q>(params: impl Iterator<Item = Param<'q>>) -> Vec<Group<'q>> {
    let mut groups: Vec<Group<'q>> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    for param in params {
        let name = decode_component(param.name);
        let position = *places.entry(ordinal_ignore_case_key(&name)).or_insert(groups.len());
        if position == groups.len() {
            groups.push(Group { name, raw_name: param.name, values: SmallVec::new() });
        }
        groups[position].values.push(param.value.unwrap_or_default());
    }
    groups
}

fn push_param(name: &[u8], values: &[&[u8]], first: &mut bool, buffer: &mut Vec<u8>) {
    buffer.push(if std::mem::take(first) { b'?' } else { b'&' });
    push_reencoded(name, buffer);
    for (i, value) in values.iter().enumerate() {
        buffer.push(if i == 0 { b'=' } else { b',' });
        push_reencoded(value, buffer);
    }
}

/// The decoded bytes of a query text: `+` is a space, `%XX` a byte.
fn plain_bytes(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|r| !r.is_empty())?;
        let (byte, width) = match (rest[0], decoded(rest)) {
            (b'+', _) => (b' ', 1),
            (_, Some(byte)) => (byte, 3),
            (byte, None) => (byte, 1),
        };
        at += width;
        Some(byte)
    })
}

fn decode_component(text: &[u8]) -> Vec<u8> {
    plain_bytes(text).collect()
}

/// Decodes, then encodes as .NET's `UrlEncoder.Default` does.
fn push_reencoded(text: &[u8], buffer: &mut Vec<u8>) {
    for byte in plain_bytes(text) {
        match contains(byte, ENCODER) {
            true => buffer.push(byte),
            false => push_encoded(byte, buffer),
        }
    }
}

/// A key that is equal for names that differ in case only (per character, as in .NET's ordinal comparison).
fn ordinal_ignore_case_key(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() {
        return name.to_ascii_uppercase();
    }
    let Ok(text) = std::str::from_utf8(name) else { return name.to_ascii_uppercase() };
    let upper = |c: char| {
        let mut to = c.to_uppercase();
        to.next().filter(|_| to.next().is_none()).unwrap_or(c)
    };
    text.chars().map(upper).collect::<String>().into_bytes()
}

fn is_blank_param(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|n| n.trim().is_empty())
}

/// Whether rebuilding would change nothing: the common case, which then needs no allocation.
fn is_normal_form(raw: &[u8], placeholders: &[Box<str>]) -> bool {
    let mut names: SmallVec<[&[u8]; LINEAR_SCAN_LIMIT]> = SmallVec::new();
    for part in raw.split(|b| *b == b'&') {
        let Some(at) = memchr::memchr(b'=', part) else { return false };
        let (name, value) = (&part[..at], &part[at + 1..]);
        let plain = name.iter().all(|b| contains(*b, ENCODER)) && is_reencoded_form(value);
        let used = placeholders.iter().any(|p| p.as_bytes().eq_ignore_ascii_case(name));
        let again = names.iter().any(|n| n.eq_ignore_ascii_case(name));
        if !plain || used || again || names.len() == LINEAR_SCAN_LIMIT {
            return false;
        }
        names.push(name);
    }
    true
}

/// Whether encoding the text again would change nothing.
fn is_reencoded_form(text: &[u8]) -> bool {
    let mut at = 0;
    while at < text.len() {
        if contains(text[at], ENCODER) {
            at += 1;
            continue;
        }
        match (decoded(&text[at..]), &text[at..]) {
            (Some(byte), [_, high, low, ..])
                if !contains(byte, ENCODER) && !high.is_ascii_lowercase() && !low.is_ascii_lowercase() =>
            {
                at += 3;
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|n| (*n).into()).collect()
    }

    fn rebuilt(raw: &str, placeholders: &[&str]) -> String {
        let mut out = Vec::new();
        push_reencoded_query(raw.as_bytes(), &names(placeholders), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn merged(template: &str, raw: &str, placeholders: &[&str]) -> String {
        let mut out = Vec::new();
        push_merged_query(template.as_bytes(), raw.as_bytes(), &names(placeholders), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rebuilding_keeps_values_separate_and_groups_names() {
        assert_eq!(rebuilt("A=1&b=2&a=3", &["x"]), "?A=1&A=3&b=2");
        assert_eq!(rebuilt("flag&=1&&z", &["x"]), "?flag=&=1&z=");
        assert_eq!(rebuilt("id=3&Id=4&ID=5&extra=x", &["id"]), "?extra=x");
        assert_eq!(rebuilt("xid=1&id=2", &["ID"]), "?xid=1");
        assert_eq!(rebuilt("id=1", &["id"]), "");
        assert_eq!(rebuilt("%69d=1&x=2", &["id"]), "?x=2");
        assert_eq!(rebuilt("%C3%89=1&%c3%a9=2", &["x"]), "?%C3%89=1&%C3%89=2");
    }

    #[test]
    fn rebuilding_encodes_as_dotnet_does() {
        assert_eq!(rebuilt("q=é x&p=a/b:c", &["x"]), "?q=%C3%A9%20x&p=a%2Fb%3Ac");
        assert_eq!(rebuilt("a=b+c&d='%27", &["x"]), "?a=b%20c&d=%27%27");
        assert_eq!(rebuilt("a=!$()*,-.;@_~", &["x"]), "?a=!$()*,-.;@_~");
        assert_eq!(rebuilt("a=%zz%", &["x"]), "?a=%25zz%25");
        assert_eq!(rebuilt("a=%ff", &["x"]), "?a=%FF");
        assert_eq!(rebuilt("a==b&c[]=1", &["x"]), "?a=%3Db&c%5B%5D=1");
    }

    #[test]
    fn merging_puts_the_template_first_and_joins_equal_names() {
        assert_eq!(merged("a=9", "A=1&a=2", &[]), "?a=9&A=1,2");
        assert_eq!(merged("q=42", "a=1&&b=2", &["name"]), "?q=42&a=1&b=2");
        assert_eq!(merged("unitId=9", "unit=9&x=xxx", &["unit"]), "?unitId=9&x=xxx");
        assert_eq!(merged("personId=w", "userId=w", &["userid"]), "?personId=w&userId=w");
        assert_eq!(merged("x=s%20t", "", &[]), "?x=s%20t");
        assert_eq!(merged("", "flag&=1&+=2", &[]), "");
        assert_eq!(merged("x=", "a[]=1&a[]=2", &["x"]), "?x=&a%5B%5D=1,2");
    }

    #[test]
    fn a_query_in_normal_form_is_copied() {
        for (raw, yes) in [
            ("a=1&b=%2F&c=", true),
            ("a=1&A=2", false),
            ("a", false),
            ("a=b+c", false),
            ("a=%2f", false),
            ("a=%41", false),
            ("id=1", false),
            ("", false),
        ] {
            assert_eq!(is_normal_form(raw.as_bytes(), &names(&["ID"])), yes, "{raw}");
        }
    }
}
