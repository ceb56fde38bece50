//! `CorsOptions` after inheritance → settings.

use super::super::route::RouteCompiler;
use crate::base::units::DurationText;
use crate::config::document::{CorsOptions, List, Setting};
use crate::config::{Spanned, codes};
use crate::plan::check::{items, values};
use crate::plan::inherit::merge;
use crate::stages::cors::{Names, Origins, Settings};
use std::time::Duration;

impl RouteCompiler<'_, '_, '_> {
    pub(super) fn cors(&mut self) -> Option<Settings> {
        let key = self.document.key.as_ref().map(|key| key.as_str());
        let options = merge(&self.document.cors, self.scope.groups.cors.as_ref(), key)?.into_owned();
        if options.enable_cors.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let credentials = options.allow_credentials.as_ref().filter(|on| on.value);
        let settings = Settings {
            origins: self.origins(&options),
            methods: self.allowed_methods(&options.allowed_methods),
            headers: self.names(&options.allowed_headers),
            expose_header: self.exposed(&options.exposed_headers),
            credentials: credentials.is_some(),
            max_age: self.max_age(&options.max_age),
        };
        let any = items(&options.allowed_origins).iter().chain(items(&options.exposed_headers));
        if let (Some(_), Some(star)) = (credentials, any.clone().find(|text| text.trim() == "*")) {
            let message = "every page on the web could act in the name of its reader";
            self.diagnostics
                .error(codes::ANY_ORIGIN_WITH_CREDENTIALS, star.span, message)
                .help("name the origins, or leave out AllowCredentials");
        }
        Some(settings)
    }

    fn origins(&mut self, options: &CorsOptions) -> Origins {
        let mut origins = Origins::default();
        let written = items(&options.allowed_origins);
        if written.is_empty() {
            let place = self.document.cors.as_ref().map(|own| own.span);
            let place = place.or(self.scope.global.cors.as_ref().map(|global| global.span));
            self.diagnostics
                .error(
                    codes::BAD_ORIGIN,
                    place.unwrap_or(self.document.span),
                    "CorsOptions without AllowedOrigins",
                )
                .help("such as \"AllowedOrigins\": [\"https://app.example\"]");
        }
        for text in written {
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
        let message = format!("\"{}\" is not an origin", text.value);
        let said = self.diagnostics.error(codes::BAD_ORIGIN, text.span, message);
        let bare =
            text.split_once("://").map(|(scheme, rest)| (scheme, rest.split('/').next().unwrap_or_default()));
        let meant = bare.map(|(scheme, host)| format!("{scheme}://{host}"));
        if let Some(meant) = meant.filter(|meant| *meant != text.value && Origin::read(meant).is_some()) {
            said.help(format!("did you mean \"{meant}\"?"));
        }
        said.help(
            "write scheme, host and perhaps port: https://app.example, https://*.example.com, or * for all",
        );
    }

    /// Without a list the methods of the route; a route of all methods allows all.
    fn allowed_methods(&mut self, written: &List<String>) -> Names {
        let own = items(&self.document.methods);
        match items(written) {
            [] if own.is_empty() => Names::Any,
            [] => Names::List(own.iter().map(|method| method.to_ascii_uppercase()).collect()),
            _ => match self.names(written) {
                Names::List(names) => {
                    Names::List(names.iter().map(|name| values::method(name).unwrap_or_default()).collect())
                }
                any => any,
            },
        }
    }

    fn names(&mut self, written: &List<String>) -> Names {
        if items(written).iter().any(|name| name.trim() == "*") {
            return Names::Any;
        }
        Names::List(self.header_names(written))
    }

    fn exposed(&mut self, written: &List<String>) -> Vec<String> {
        self.header_names(written)
    }

    fn header_names(&mut self, written: &List<String>) -> Vec<String> {
        for name in items(written).iter().filter(|name| !values::is_token(name.trim())) {
            let message = format!("\"{}\" is not a name", name.value);
            self.diagnostics
                .error(codes::BAD_HEADER_NAME, name.span, message)
                .help("names hold no blanks and no commas");
        }
        items(written).iter().map(|name| name.trim().to_owned()).collect()
    }

    fn max_age(&mut self, written: &Setting<DurationText>) -> Option<Duration> {
        let age = written.as_ref()?;
        if age.value.0 > Duration::from_secs(86_400) {
            let message = format!("MaxAge is {}", age.value);
            self.diagnostics
                .error(codes::BAD_MAX_TIME, age.span, message)
                .help("browsers keep it for a day at most");
        }
        Some(age.value.0)
    }
}

/// One entry of `AllowedOrigins`.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Any,
    Exact(String),
    /// What stands before the `*` and behind it.
    Wildcard(String, String),
}

impl Origin {
    /// Origins have no path and no trailing slash; browsers leave out the usual ports.
    fn read(text: &str) -> Option<Origin> {
        if text == "*" {
            return Some(Origin::Any);
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let sound = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
            _ => (rest, None),
        };
        let usual = matches!((scheme.as_str(), port), ("http", Some(80)) | ("https", Some(443)));
        let port = port.filter(|_| !usual).map_or(String::new(), |port| format!(":{port}"));
        let (below, host) = host.strip_prefix("*.").map_or((false, host), |host| (true, host));
        if !sound || !is_host(host) {
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
    fn origins_are_written_as_browsers_send_them() {
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
