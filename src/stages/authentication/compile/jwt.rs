//! `JwtBearer`: keys, algorithms and accepted tokens.

use super::schemes::SchemeCompiler;
use crate::base::url::HttpUrl;
use crate::config::values::{items, non_blank};
use crate::config::{Code, Span, Spanned, codes, ranges::RangeChecker};
use crate::net::tls::trust::{TrustAnchors, certificates};
use crate::stages::authentication::issuer::IssuerPattern;
use crate::stages::authentication::keys::{DEFAULT_MAX_KEYS_TRIED, KeyData, MAX_KEYS, Material};
use crate::stages::authentication::settings::{JwtSettings, KeySource, RemoteKeys};
use jsonwebtoken::Algorithm;
use std::time::Duration;

/// Every algorithm by its name, HMAC first.
const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The settings of which exactly one sets the source of the keys.
const SOURCES: &str = "SigningKey, PublicKeyFile, JwksFile, JwksUri or Authority";

impl SchemeCompiler<'_, '_> {
    pub(super) fn jwt(&mut self) -> Option<JwtSettings> {
        let locations = self.credential_locations("Authorization");
        let default_skew = Duration::from_secs(if self.ocelot { 300 } else { 60 });
        let skew = self.time("ClockSkew", &self.document.clock_skew, default_skew, [0, 3600]);
        let keys = self.keys();
        let audiences = self.audiences();
        if let (Some(KeySource::Remote(_)), true) = (&keys, audiences.is_empty()) {
            let message = format!("the scheme \"{}\" accepts tokens for any audience", self.name.value);
            self.diagnostics
                .warning(codes::ANY_AUDIENCE, self.name.span, message)
                .help("set the audience of this API: \"Audience\": \"orders-api\"");
        }
        let keys = keys?;
        let max_keys_tried = self.max_keys_tried(&keys);
        Some(JwtSettings {
            locations,
            algorithms: self.algorithms(&keys),
            keys,
            issuers: self.issuers(),
            max_keys_tried,
            audiences,
            clock_skew: skew,
            token_types: items(&self.document.token_types).iter().map(|kind| kind.value.clone()).collect(),
            possession: self.possession(),
            requires_expiry: true,
            verifies_signature_first: false,
        })
    }

    pub(super) fn issuers(&mut self) -> Vec<IssuerPattern> {
        let document = self.document;
        let written = document.issuer.iter().flat_map(|list| &list.0).filter(|one| !one.trim().is_empty());
        let parsed = written.filter_map(|one| {
            let pattern = IssuerPattern::parse(one).map_err(str::to_owned);
            self.accept(codes::ISSUER_PATTERN, one.span, "Issuer", pattern)
        });
        parsed.collect()
    }

    /// `MaxKeysTried`; a file whose keys without `kid` exceed it has keys that are never tried.
    fn max_keys_tried(&mut self, keys: &KeySource) -> usize {
        let set = &self.document.max_keys_tried;
        let mut range = RangeChecker::for_code(codes::LIMIT_RANGE, self.diagnostics);
        let max_tried = range.count("MaxKeysTried", set, MAX_KEYS as u64);
        let max_tried = max_tried.map_or(DEFAULT_MAX_KEYS_TRIED, |count| count as usize);
        let KeySource::Fixed(keys) = keys else { return max_tried };
        let without_kid = keys.iter().filter(|key| key.kid.is_none()).count();
        if without_kid > max_tried {
            let message = format!("{without_kid} keys have no `kid`, and only {max_tried} of them are tried");
            self.diagnostics
                .warning(codes::KEYS_NOT_TRIED, self.name.span, message)
                .help(format!("set \"MaxKeysTried\": {without_kid}, or use a JwksFile with key IDs"));
        }
        max_tried
    }

    /// Exactly one of the five sources.
    fn keys(&mut self) -> Option<KeySource> {
        let document = self.document;
        let secret = document.signing_key.as_ref().filter(|key| !key.reveal().is_empty()).map(|key| key.span);
        let at = |name: Option<&Spanned<String>>| name.map(|name| name.span);
        let all = [
            ("SigningKey", secret),
            ("PublicKeyFile", at(non_blank(&document.public_key_file))),
            ("JwksFile", at(non_blank(&document.jwks_file))),
            ("JwksUri", at(non_blank(&document.jwks_uri))),
            ("Authority", at(non_blank(&document.authority))),
        ];
        let mut sources = all.into_iter().filter_map(|(name, span)| Some((name, span?)));
        let Some((source, span)) = sources.next() else {
            self.report_no_keys();
            return None;
        };
        let mut alone = true;
        for (other, span) in sources {
            let message = format!("the scheme \"{}\" has both {source} and {other}", self.name.value);
            self.diagnostics
                .error(codes::SCHEME_KEYS, span, message)
                .help("remove one of them, or define a scheme for each");
            alone = false;
        }
        let remote = matches!(source, "JwksUri" | "Authority");
        self.report_remote_settings(remote);
        match source {
            "SigningKey" => self.secret(span),
            "PublicKeyFile" => self.file(source, |text| KeyData::pem(text).map(|keys| (keys, Vec::new()))),
            "JwksFile" => self.file(source, |text| KeyData::set(text, true)),
            _ => self.remote(source == "Authority"),
        }
        .filter(|_| alone)
    }

    fn report_no_keys(&mut self) {
        // The only key may be a placeholder that is reported.
        let key = self.document.signing_key.as_ref().map(|key| key.span);
        if key.is_some_and(|key| self.diagnostics.has_error_at(key)) {
            return;
        }
        let message = format!("the scheme \"{}\" has no keys", self.name.value);
        self.diagnostics
            .error(codes::SCHEME_KEYS, self.document.span, message)
            .help(format!("set one of {SOURCES}"));
    }

    /// Settings of remote keys have no effect on local keys.
    fn report_remote_settings(&mut self, remote: bool) {
        let document = self.document;
        let times = [
            ("RefreshInterval", &document.refresh_interval),
            ("MinimumRefreshInterval", &document.minimum_refresh_interval),
        ];
        let times = times.into_iter().map(|(name, set)| (name, set.as_ref().map(|set| set.span)));
        let all = times.chain([("CaFile", non_blank(&document.ca_file).map(|file| file.span))]);
        for (name, span) in all.filter_map(|(name, span)| Some((name, span.filter(|_| !remote)?))) {
            let message = format!("\"{name}\" has no effect: the keys are not fetched");
            self.diagnostics.error(codes::SCHEME_SETTING, span, message).help("remove it");
        }
    }

    fn secret(&mut self, span: Span) -> Option<KeySource> {
        let secret = self.document.signing_key.as_ref()?.reveal().as_bytes();
        match KeyData::secret(secret) {
            Ok(key) => Some(KeySource::Fixed(vec![key])),
            Err(_) => {
                let message = format!("SigningKey has {} bytes; HS256 requires at least 32", secret.len());
                self.diagnostics
                    .error(codes::WEAK_KEY, span, message)
                    .help("generate one with openssl rand -base64 48");
                None
            }
        }
    }

    /// The keys of a file; unusable ones are warnings as long as one is usable.
    fn file(
        &mut self,
        setting: &str,
        read: impl FnOnce(&[u8]) -> Result<(Vec<KeyData>, Vec<String>), String>,
    ) -> Option<KeySource> {
        let set =
            if setting == "JwksFile" { &self.document.jwks_file } else { &self.document.public_key_file };
        let (span, text) = self.required(setting, set)?;
        let read = read(text);
        let (keys, unusable) = self.accept(codes::SCHEME_FILE, span, setting, read)?;
        for why in unusable {
            self.diagnostics.warning(codes::SCHEME_FILE, span, format!("{setting}: {why}"));
        }
        if keys.is_empty() {
            self.diagnostics.error(codes::SCHEME_FILE, span, format!("{setting} contains no usable key"));
            return None;
        }
        Some(KeySource::Fixed(keys))
    }

    fn remote(&mut self, discover: bool) -> Option<KeySource> {
        let document = self.document;
        let (setting, set) =
            if discover { ("Authority", &document.authority) } else { ("JwksUri", &document.jwks_uri) };
        let address = non_blank(set)?;
        let refresh =
            self.time("RefreshInterval", &document.refresh_interval, Duration::from_secs(300), [10, 86_400]);
        let pause = self.time(
            "MinimumRefreshInterval",
            &document.minimum_refresh_interval,
            Duration::from_secs(2),
            [1, 600],
        );
        let trust = self.trust();
        let url = HttpUrl::parse(address.trim()).map_err(str::to_owned);
        let url = self.accept(codes::BAD_URL, address.span, setting, url)?;
        if !url.tls && !url.is_loopback() {
            self.warn_plaintext_keys(setting, address.span);
        }
        Some(KeySource::Remote(RemoteKeys {
            url,
            use_discovery: discover,
            requires_own_issuer: document.issuer.is_none(),
            trust: trust?,
            refresh: refresh.max(pause),
            min_refresh_interval: pause,
        }))
    }

    fn warn_plaintext_keys(&mut self, setting: &str, span: Span) {
        let message = format!(
            "{setting} is plain http: an attacker on the network could replace the keys and forge tokens"
        );
        self.diagnostics.warning(codes::INSECURE_PROVIDER, span, message).help("use https");
    }

    pub(super) fn trust(&mut self) -> Option<TrustAnchors> {
        if non_blank(&self.document.ca_file).is_none() {
            return Some(TrustAnchors::System);
        }
        let (span, text) = self.required("CaFile", &self.document.ca_file)?;
        let read = certificates(text).map(|_| text.into()).map_err(str::to_owned);
        self.accept(codes::SCHEME_FILE, span, "CaFile", read).map(TrustAnchors::Custom)
    }

    /// The accepted signature algorithms: those that the keys allow, restricted by the configured list.
    fn algorithms(&mut self, keys: &KeySource) -> Vec<Algorithm> {
        let possible = |algorithm: &Algorithm| match keys {
            KeySource::Fixed(keys) => keys.iter().any(|key| allows(key, *algorithm)),
            KeySource::Remote(_) => ALGORITHMS[3..].iter().any(|(_, one)| one == algorithm),
        };
        let list = items(&self.document.algorithms);
        if list.is_empty() {
            return ALGORITHMS.iter().map(|(_, one)| *one).filter(possible).collect();
        }
        let mut all = Vec::with_capacity(list.len());
        for name in list {
            match ALGORITHMS.iter().find(|(known, _)| *known == name.as_str()) {
                Some((_, algorithm)) if possible(algorithm) => all.push(*algorithm),
                Some(_) => self.report_unsuitable_algorithm(name, keys),
                None => self.report_no_algorithm(name),
            }
        }
        all
    }

    fn report_unsuitable_algorithm(&mut self, name: &Spanned<String>, keys: &KeySource) {
        let (code, why): (Code, String) = match keys {
            KeySource::Remote(_) => {
                (codes::BAD_ALGORITHM, "published keys cannot be HMAC secrets".to_owned())
            }
            KeySource::Fixed(keys) => match keys.first().map(|key| &key.material) {
                Some(Material::Secret(secret)) if name.starts_with("HS") => {
                    (codes::WEAK_KEY, format!("the SigningKey of {} bytes is too short for it", secret.len()))
                }
                Some(material) => (codes::BAD_ALGORITHM, format!("the key is {}", material.name())),
                None => return,
            },
        };
        self.diagnostics.error(code, name.span, format!("invalid algorithm {}: {why}", name.value));
    }

    fn report_no_algorithm(&mut self, name: &Spanned<String>) {
        let message = format!("unknown algorithm \"{}\"", name.value);
        let names = ALGORITHMS.map(|(name, _)| name);
        self.diagnostics.error(codes::BAD_ALGORITHM, name.span, message).expected(name, &names);
    }
}

fn allows(key: &KeyData, algorithm: Algorithm) -> bool {
    key.material.algorithms().contains(&algorithm) && key.algorithm.is_none_or(|only| only == algorithm)
}
