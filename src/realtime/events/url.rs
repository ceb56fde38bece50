//! URL templates of event handlers: `{hub}`, `{event}` and for SignalR `{category}` in path or query.

use crate::base::{percent::percent_encoded, url::HttpUrl};

/// Why a template is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// The URL without its placeholders is invalid; a few words about the problem.
    Malformed(&'static str),
    /// A placeholder in the host or the port.
    PlaceholderInAuthority,
    /// A placeholder that the service does not have.
    UnknownPlaceholder(String),
}

/// The parts of a template.
struct Template<'t> {
    /// Scheme, host and port; empty for a template of path and query.
    authority: &'t str,
    /// Path and query; may be empty.
    target: &'t str,
}

impl Template<'_> {
    fn split(text: &str) -> Template<'_> {
        let after_scheme = text.find("://").map(|at| at + 3);
        let end = after_scheme
            .map_or(0, |start| text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at));
        Template { authority: &text[..end], target: text[end..].split('#').next().unwrap_or_default() }
    }
}

/// Checks a template. The result is the URL of its backend; `None` for a template of path and query, which requires a cluster.
/// `placeholders` are those that the service has, with their braces.
pub fn check_template(template: &str, placeholders: &[&str]) -> Result<Option<HttpUrl>, UrlError> {
    let parts = Template::split(template);
    if parts.authority.contains(['{', '}']) {
        return Err(UrlError::PlaceholderInAuthority);
    }
    for (at, _) in parts.target.match_indices('{') {
        let rest = &parts.target[at..];
        let placeholder = rest.find('}').map_or(rest, |end| &rest[..=end]);
        if !placeholders.contains(&placeholder) {
            return Err(UrlError::UnknownPlaceholder(placeholder.to_owned()));
        }
    }
    let origin = if parts.authority.is_empty() { "http://handler" } else { parts.authority };
    let url = HttpUrl::parse(&format!("{origin}{}", target(template, "hub", "category", "event")));
    let url = url.map_err(UrlError::Malformed)?;
    Ok((!parts.authority.is_empty()).then_some(url))
}

/// Path and query for an event of a hub. Values are encoded as one path segment: they cannot change the path.
pub fn target(template: &str, hub: &str, category: &str, event: &str) -> String {
    let text = Template::split(template).target;
    let text = text.replace("{hub}", &encoded(hub)).replace("{category}", category);
    let text = text.replace("{event}", &encoded(event));
    let slash = if text.starts_with('/') { "" } else { "/" };
    format!("{slash}{text}")
}

/// A value of only dots would be a dot segment.
fn encoded(value: &str) -> String {
    let encoded = percent_encoded(value);
    if encoded.bytes().all(|byte| byte == b'.') { encoded.replace('.', "%2E") } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_in_path_and_query() {
        for (template, expected) in [
            ("http://a:1/eventhandler/{event}", "/eventhandler/my%20event"),
            ("https://a/{hub}/x?e={event}&h={hub}", "/chat/x?e=my%20event&h=chat"),
            ("http://a", "/"),
            ("http://a?e={event}", "/?e=my%20event"),
            ("/path/{event}#fragment", "/path/my%20event"),
        ] {
            assert_eq!(target(template, "chat", "messages", "my event"), expected, "{template}");
        }
    }

    #[test]
    fn a_value_cannot_change_the_path() {
        let with = |event| target("http://a/x/{event}", "chat", "", event);
        assert_eq!(with("../x?y"), "/x/..%2Fx%3Fy");
        assert_eq!((with(".."), with(".")), ("/x/%2E%2E".to_owned(), "/x/%2E".to_owned()));
        assert_eq!(with("a\r\nb#%2F{hub}"), "/x/a%0D%0Ab%23%252F%7Bhub%7D");
    }

    #[test]
    fn invalid_templates_are_reported() {
        assert_eq!(
            check_template("https://a.example/{event}", &["{hub}", "{event}"]).unwrap().unwrap().host,
            "a.example"
        );
        assert_eq!(check_template("/x/{hub}", &["{hub}", "{event}"]), Ok(None));
        for template in ["https://{hub}.example/", "http://a:{event}/", "http://a{hub}"] {
            assert_eq!(
                check_template(template, &["{hub}", "{event}"]),
                Err(UrlError::PlaceholderInAuthority),
                "{template}"
            );
        }
        assert_eq!(
            check_template("http://a/{category}", &["{hub}", "{event}"]),
            Err(UrlError::UnknownPlaceholder("{category}".to_owned()))
        );
        for template in ["http://a/x y", "ftp://a/", "http:///x", "http://u@a/", "http://a/{event"] {
            assert!(check_template(template, &["{hub}", "{event}"]).is_err(), "{template}");
        }
    }
}
