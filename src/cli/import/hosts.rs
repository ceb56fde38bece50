//! Host conditions of YARP and Kong: exact names, wildcards and ports.

use super::values::regex_escape;

/// The condition of one host: an exact host, a template of the `Host` field, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCondition {
    /// `UpstreamHost`.
    pub exact: Option<String>,
    /// A regular expression of the `Host` field, for wildcards and ports.
    pub expression: Option<String>,
}

impl HostCondition {
    /// `api.example.com`, `*.example.com`, `example.*`, each with an optional port; `*` is any host.
    pub fn parse(text: &str) -> Result<HostCondition, String> {
        let text = text.trim();
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => (name, Some(port)),
            _ => (text, None),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let bare = name.strip_prefix("*.").or_else(|| name.strip_suffix(".*")).unwrap_or(name);
        if name == "*" && port.is_none() {
            return Ok(HostCondition::default());
        }
        if bare.is_empty() || name != "*" && !bare.chars().all(is_host) {
            return Err(format!(
                "host \"{text}\" cannot be matched: expected a host name, *.example.com or example.*"
            ));
        }
        if name == bare && port.is_none() && name != "*" {
            return Ok(HostCondition { exact: Some(name.to_ascii_lowercase()), expression: None });
        }
        let pattern = match (name.strip_prefix("*."), name.strip_suffix(".*")) {
            (Some(rest), _) => format!(r"[^:]+\.{}", regex_escape(rest)),
            (None, Some(rest)) => format!(r"{}\.[^:]+", regex_escape(rest)),
            (None, None) if name == "*" => "[^:]+".to_owned(),
            (None, None) => regex_escape(name),
        };
        let port = port.map_or("(:[0-9]+)?".to_owned(), |port| format!(":{port}"));
        Ok(HostCondition { exact: None, expression: Some(format!("(?i:{pattern}){port}")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_are_hosts_and_the_rest_are_expressions() {
        let parse = |text: &str| HostCondition::parse(text).unwrap();
        assert_eq!(parse("API.example.com").exact.as_deref(), Some("api.example.com"));
        assert_eq!(parse("*.example.com").expression.as_deref(), Some(r"(?i:[^:]+\.example\.com)(:[0-9]+)?"));
        assert_eq!(parse("example.*").expression.as_deref(), Some(r"(?i:example\.[^:]+)(:[0-9]+)?"));
        assert_eq!(parse("example.com:8080").expression.as_deref(), Some(r"(?i:example\.com):8080"));
        assert_eq!(parse("*"), HostCondition::default());
        assert!(HostCondition::parse("a*b.com").is_err() && HostCondition::parse("").is_err());
    }
}
