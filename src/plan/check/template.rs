//! The rules of path templates.

use super::{OcelotBehavior, OcelotTolerated};
use crate::config::codes;
use crate::config::{Code, Diagnostics, Span, Spanned, suggest};
use crate::plan::document::Setting;
use smallvec::SmallVec;

/// A placeholder of a template: its name, and its text with the braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholder<'t> {
    pub name: &'t str,
    pub text: &'t str,
}

/// The placeholders of a template in order, and the text after a brace that is never closed.
pub fn placeholders(template: &str) -> (SmallVec<[Placeholder<'_>; 4]>, Option<&str>) {
    let mut found = SmallVec::new();
    let mut rest = template;
    while let Some(open) = memchr::memchr(b'{', rest.as_bytes()) {
        let Some(close) = memchr::memchr(b'}', &rest.as_bytes()[open..]) else {
            return (found, Some(&rest[open..]));
        };
        let end = open + close;
        found.push(Placeholder { name: &rest[open + 1..end], text: &rest[open..=end] });
        rest = &rest[end + 1..];
    }
    (found, None)
}

/// The four rules for both templates of a route. Returns the text when it is valid.
pub fn path<'d>(
    diagnostics: &mut Diagnostics,
    setting: &str,
    path: &'d Setting<String>,
    owner: Span,
) -> Option<&'d Spanned<String>> {
    let Some(path) = path.as_ref().filter(|path| !path.is_empty()) else {
        let span = path.as_ref().map_or(owner, |path| path.span);
        diagnostics
            .error(codes::PATH_MISSING, span, format!("{setting} is missing or empty"))
            .help(format!("set it, such as \"{setting}\": \"/items/{{id}}\""));
        return None;
    };
    let before = diagnostics.list.len();
    if path.trim().is_empty() {
        diagnostics.error(codes::PATH_MISSING, path.span, format!("{setting} is blank"));
    }
    let mut broken = |code: Code, what: &str, help: String| {
        diagnostics.error(code, path.span, format!("{setting} \"{}\" {what}", path.value)).help(help);
    };
    if !path.starts_with('/') {
        let meant = format!("did you mean \"/{}\"?", path_of_url(path));
        broken(codes::PATH_WITHOUT_SLASH, "does not begin with a slash", meant);
    }
    if path.contains("//") {
        broken(
            codes::PATH_DOUBLE_SLASH,
            "contains a double slash",
            "a path has single slashes only".to_owned(),
        );
    }
    if path.contains("http://") || path.contains("https://") {
        let help = "scheme, host and port belong in DownstreamScheme and DownstreamHostAndPorts";
        broken(codes::PATH_WITH_SCHEME, "contains a scheme", help.to_owned());
    }
    (diagnostics.list.len() == before).then_some(path)
}

/// `https://x/y` without scheme and host: `y`.
fn path_of_url(path: &str) -> &str {
    let Some((_, rest)) = path.split_once("://") else { return path.trim() };
    rest.split_once('/').map_or("", |(_, path)| path)
}

/// Ocelot's rule: no placeholder of word characters occurs twice; others are checked by our rule.
pub fn check_repeated(
    diagnostics: &mut Diagnostics,
    ocelot: bool,
    setting: &str,
    template: &Spanned<String>,
) {
    let (found, _) = placeholders(template);
    let duplicate = found.iter().enumerate().find(|(at, placeholder)| found[..*at].contains(placeholder));
    let Some((_, placeholder)) = duplicate else { return };
    let message = format!("{setting} \"{}\" has the placeholder {} twice", template.value, placeholder.text);
    let only_word_chars = !placeholder.name.is_empty() && placeholder.name.chars().all(is_word);
    let diagnostic = diagnostics.error_or_ocelot_warning(
        ocelot && !only_word_chars,
        codes::REPEATED_PLACEHOLDER,
        template.span,
        message,
    );
    diagnostic.help("give every placeholder a different name");
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A placeholder of the downstream template is closed and has a name without braces, slashes and question marks;
/// Ocelot sends anything else literally. Returns whether the placeholders can be checked further.
pub fn check_braces(
    diagnostics: &mut Diagnostics,
    ocelot: bool,
    setting: &str,
    template: &Spanned<String>,
) -> bool {
    let (found, open) = placeholders(template);
    if let Some(rest) = open {
        let message = format!("{setting} \"{}\": the placeholder {rest} is never closed", template.value);
        sent_literally(message).did_you_mean(Some(&format!("{}}}", template.value))).report(
            diagnostics,
            ocelot,
            template.span,
        );
        return false;
    }
    let odd = |placeholder: &&Placeholder| {
        placeholder.name.is_empty() || placeholder.name.contains(['{', '/', '?'])
    };
    if let Some(odd) = found.iter().find(odd) {
        let message = format!("{setting} \"{}\": {} is not a placeholder", template.value, odd.text);
        let tolerated = sent_literally(message).help("a placeholder is a name in braces, such as {id}");
        tolerated.report(diagnostics, ocelot, template.span);
        return false;
    }
    stray_closing_brace(diagnostics, ocelot, setting, template)
}

/// Every closing brace has its opening one.
pub fn stray_closing_brace(
    diagnostics: &mut Diagnostics,
    ocelot: bool,
    setting: &str,
    template: &Spanned<String>,
) -> bool {
    let count = |brace: char| template.matches(brace).count();
    let stray = count('}') > count('{');
    if stray {
        let message = format!("{setting} \"{}\" has an unmatched closing brace", template.value);
        sent_literally(message).report(diagnostics, ocelot, template.span);
    }
    ocelot || !stray
}

fn sent_literally(message: String) -> OcelotTolerated {
    OcelotTolerated::new(codes::BAD_TEMPLATE, OcelotBehavior::Effect("it is used literally"), message)
}

/// Reports a placeholder without a value; `known` are the names that have one.
pub fn unknown_placeholder(
    diagnostics: &mut Diagnostics,
    ocelot: bool,
    template: &Spanned<String>,
    placeholder: Placeholder,
    known: &[&str],
) {
    let message = format!("unknown placeholder {}", placeholder.text);
    let meant = suggest::closest_match(placeholder.name, known.iter().copied());
    OcelotTolerated::new(
        codes::UNKNOWN_PLACEHOLDER,
        OcelotBehavior::Effect("the backend receives the placeholder itself"),
        message,
    )
    .did_you_mean(meant.map(|name| format!("{{{name}}}")).as_deref())
    .help("placeholders come from UpstreamPathTemplate and UpstreamHeaderTemplates")
    .report(diagnostics, ocelot, template.span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_in_order_at_any_position() {
        let (found, open) = placeholders("/a/{x}-{y}/{z}?q={q}");
        assert_eq!(found.iter().map(|p| p.name).collect::<Vec<_>>(), ["x", "y", "z", "q"]);
        assert_eq!(open, None);
    }

    #[test]
    fn an_unclosed_brace_is_reported() {
        assert_eq!(placeholders("/a/{x}/{y").1, Some("{y"));
        assert_eq!(placeholders("/a/x}").1, None);
    }
}
