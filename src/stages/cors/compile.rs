//! `CorsOptions` → the configuration.

use super::{
    options::CorsOptions,
    {AllowedNames, CorsConfig, Origins},
};
use crate::{
    base::{bytes::is_token, method::parse_method, units::DurationText},
    config::{
        Spanned, codes,
        values::{List, Setting, items},
    },
    stages::feature::{CompileContext, Feature},
};
use std::time::Duration;

impl Feature for CorsOptions {
    type Config = CorsConfig;

    fn compile(&self, context: &mut CompileContext) -> Option<CorsConfig> {
        if self.enable_cors.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let credentials = self.allow_credentials.as_ref().filter(|on| on.value);
        let mut compiler = CorsCompiler { context };
        let config = CorsConfig {
            origins: compiler.origins(self),
            methods: compiler.allowed_methods(&self.allowed_methods),
            headers: compiler.names(&self.allowed_headers),
            exposed_headers: compiler.header_names(&self.exposed_headers),
            credentials: credentials.is_some(),
            max_age: compiler.max_age(&self.max_age),
        };
        let mut any = items(&self.allowed_origins).iter().chain(items(&self.exposed_headers));
        if let (Some(_), Some(star)) = (credentials, any.find(|text| text.trim() == "*")) {
            let message = "AllowCredentials with any origin: every website could send authenticated requests of its visitors";
            compiler
                .context
                .diagnostics
                .error(codes::ANY_ORIGIN_WITH_CREDENTIALS, star.span, message)
                .help("list the origins, or remove AllowCredentials");
        }
        Some(config)
    }
}

struct CorsCompiler<'c, 'd> {
    context: &'c mut CompileContext<'d>,
}

impl CorsCompiler<'_, '_> {
    fn origins(&mut self, options: &CorsOptions) -> Origins {
        let mut origins = Origins::default();
        let list = items(&options.allowed_origins);
        if list.is_empty() {
            let span = self.context.span();
            self.context
                .diagnostics
                .error(codes::BAD_ORIGIN, span, "CorsOptions without AllowedOrigins")
                .help("add one, such as \"AllowedOrigins\": [\"https://app.example\"]");
        }
        for text in list {
            match Origin::read(text.trim()) {
                Some(Origin::Any) => origins.any = true,
                Some(Origin::Exact(origin)) => origins.exact.push(origin),
                Some(Origin::Wildcard(start, end)) => origins.wildcard_suffixes.push((start, end)),
                None => self.report_origin(text),
            }
        }
        origins
    }

    fn report_origin(&mut self, text: &Spanned<String>) {
        let message = format!("invalid origin \"{}\"", text.value);
        let diagnostic = self.context.diagnostics.error(codes::BAD_ORIGIN, text.span, message);
        let parts =
            text.split_once("://").map(|(scheme, rest)| (scheme, rest.split('/').next().unwrap_or_default()));
        let meant = parts.map(|(scheme, host)| format!("{scheme}://{host}"));
        if let Some(meant) = meant.filter(|meant| *meant != text.value && Origin::read(meant).is_some()) {
            diagnostic.help(format!("did you mean \"{meant}\"?"));
        }
        diagnostic.help(
            "expected scheme, host and optional port: https://app.example, https://*.example.com, or * for all",
        );
    }

    /// Without a list the methods of the route; a route for every method allows all.
    fn allowed_methods(&mut self, list: &List<String>) -> AllowedNames {
        let own = self.context.route.methods;
        match items(list) {
            [] if own.is_empty() => AllowedNames::Any,
            [] => AllowedNames::List(own.iter().map(|method| method.to_ascii_uppercase()).collect()),
            _ => match self.names(list) {
                AllowedNames::List(names) => AllowedNames::List(
                    names.iter().map(|name| parse_method(name).unwrap_or_default()).collect(),
                ),
                any => any,
            },
        }
    }

    fn names(&mut self, list: &List<String>) -> AllowedNames {
        if items(list).iter().any(|name| name.trim() == "*") {
            return AllowedNames::Any;
        }
        AllowedNames::List(self.header_names(list))
    }

    fn header_names(&mut self, list: &List<String>) -> Vec<String> {
        for name in items(list).iter().filter(|name| !is_token(name.trim().as_bytes())) {
            let message = format!("invalid header name \"{}\"", name.value);
            self.context
                .diagnostics
                .error(codes::BAD_HEADER_NAME, name.span, message)
                .help("must not contain spaces or commas");
        }
        items(list).iter().map(|name| name.trim().to_owned()).collect()
    }

    fn max_age(&mut self, max_age: &Setting<DurationText>) -> Option<Duration> {
        let age = max_age.as_ref()?;
        if age.value.0 > Duration::from_secs(86_400) {
            let message = format!("invalid MaxAge {}", age.value);
            self.context
                .diagnostics
                .error(codes::BAD_MAX_TIME, age.span, message)
                .help("must be at most 24h");
        }
        Some(age.value.0)
    }
}

/// One entry of `AllowedOrigins`.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Any,
    Exact(String),
    /// The text before the `*` and after it.
    Wildcard(String, String),
}

impl Origin {
    /// Origins have no path and no trailing slash; browsers omit default ports.
    fn read(text: &str) -> Option<Origin> {
        if text == "*" {
            return Some(Origin::Any);
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
            _ => (rest, None),
        };
        let is_default_port = matches!((scheme.as_str(), port), ("http", Some(80)) | ("https", Some(443)));
        let port = port.filter(|_| !is_default_port).map_or(String::new(), |port| format!(":{port}"));
        let (below, host) = host.strip_prefix("*.").map_or((false, host), |host| (true, host));
        if !is_scheme || !is_host(host) {
            return None;
        }
        let host = host.to_ascii_lowercase();
        Some(match below {
            true => Origin::Wildcard(format!("{scheme}://"), format!(".{host}{port}")),
            false => Origin::Exact(format!("{scheme}://{host}{port}")),
        })
    }
}

fn is_host(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(address) = address {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_normalized_to_the_form_that_browsers_send() {
        let exact = |text: &str| Some(Origin::Exact(text.to_owned()));
        assert_eq!(Origin::read("https://App.example"), exact("https://app.example"));
        assert_eq!(Origin::read("https://app.example:443"), exact("https://app.example"));
        assert_eq!(Origin::read("http://localhost:3000"), exact("http://localhost:3000"));
        assert_eq!(Origin::read("http://[::1]:3000"), exact("http://[::1]:3000"));
        assert_eq!(
            Origin::read("https://*.example.com:8443"),
            Some(Origin::Wildcard("https://".into(), ".example.com:8443".into()))
        );
        assert_eq!(Origin::read("*"), Some(Origin::Any));
        for text in [
            "",
            "null",
            "app.example",
            "https://app.example/",
            "https://",
            "https://a b",
            "https://*",
            "https://a.*.b",
        ] {
            assert_eq!(Origin::read(text), None, "{text}");
        }
    }
}
