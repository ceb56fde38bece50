//! `OpenIdConnect`: the provider, the endpoints, cookies and lifetimes.

use super::schemes::SchemeCompiler;
use crate::{
    base::{bytes::is_token, secret::Secret, url::HttpUrl},
    config::{
        Spanned, codes,
        ranges::RangeChecker,
        values::{items, non_blank},
    },
    stages::authentication::{
        scheme_document::SessionDocument,
        settings::{AudienceGrant, SameSite, SessionSettings},
    },
};
use std::time::Duration;

const SAME_SITES: &[(&str, SameSite)] =
    &[("Lax", SameSite::Lax), ("Strict", SameSite::Strict), ("None", SameSite::None)];
const GRANTS: &[(&str, AudienceGrant)] = &[
    ("TokenExchange", AudienceGrant::TokenExchange),
    ("ClientCredentials", AudienceGrant::ClientCredentials),
];
/// The fewest bytes of a key for cookies.
const MIN_KEY_BYTES: usize = 32;
/// Keys for cookies at the same time.
const MAX_SESSION_KEYS: usize = 2;
const DEFAULT_COOKIE: &str = "__Host-session";

impl SchemeCompiler<'_, '_> {
    pub(super) fn session(&mut self) -> Option<SessionSettings> {
        let document = self.document;
        let default_document = SessionDocument::default();
        let session = document.session.as_ref().map_or(&default_document, |session| &session.value);
        let authority = self.needed("Authority", &document.authority);
        let authority = authority.and_then(|set| self.service_url("Authority", set));
        let (tls, client) = (self.client_tls(), self.oauth_client());
        let [idle_timeout, absolute_timeout] = self.lifetimes(session);
        let is_shared = self.is_shared(session);
        let (path, public_origin) = (self.endpoint_path(), self.public_origin());
        let tls = tls?;
        Some(SessionSettings {
            requires_own_issuer: true,
            keys: self.published_keys(&tls.trust)?,
            authority: authority?,
            tls,
            client: client?,
            timeout: self.call_timeout(),
            clock_skew: self.time("ClockSkew", &document.clock_skew, Duration::from_secs(60), [0, 3600]),
            scope: self.scope(),
            parameters: self.authorization_parameters(),
            pushes_requests: document.pushed_requests.as_ref().is_some_and(|set| set.value),
            path: path?,
            public_origin,
            cookie: self.cookie_name(session),
            same_site: self.choice("Session.SameSite", &session.same_site, SAME_SITES)?,
            idle_timeout,
            absolute_timeout,
            keys_for_cookies: self.session_keys(),
            is_shared,
            max_sessions_per_user: self.max_per_user(session, is_shared),
            csrf_header: self
                .field_name("CsrfHeader", &document.csrf_header)
                .unwrap_or_else(|| "X-CSRF".to_owned()),
            audience_grant: self.choice("AudienceGrant", &document.audience_grant, GRANTS)?,
            has_diagnostics: document.diagnostics.as_ref().is_some_and(|set| set.value),
        })
    }

    fn lifetimes(&mut self, session: &SessionDocument) -> [Duration; 2] {
        const DAY: u64 = 86_400;
        let hour = Duration::from_secs(3600);
        let idle = self.time("Session.IdleTimeout", &session.idle_timeout, hour, [60, 30 * DAY]);
        let range = [60, 90 * DAY];
        let absolute = self.time("Session.AbsoluteTimeout", &session.absolute_timeout, hour * 8, range);
        [idle, absolute]
    }

    fn is_shared(&mut self, session: &SessionDocument) -> bool {
        let stores = [("Cookie", false), ("Shared", true)];
        let Some(set) = non_blank(&session.store) else { return self.has_shared_state };
        let is_shared = self.choice("Session.Store", &session.store, &stores).unwrap_or(false);
        if is_shared && !self.has_shared_state {
            self.diagnostics
                .error(codes::SESSION_STORE, set.span, "the store Shared needs a SharedState section")
                .help("add \"SharedState\", or set \"Store\": \"Cookie\"");
        }
        if !is_shared && self.has_shared_state {
            let message =
                "with several gateways each one refreshes the tokens of a session: the provider may end it";
            self.diagnostics
                .warning(codes::SESSION_STORE, set.span, message)
                .help("set \"Store\": \"Shared\"");
        }
        is_shared && self.has_shared_state
    }

    fn max_per_user(&mut self, session: &SessionDocument, is_shared: bool) -> Option<u64> {
        let set = session.max_per_user.as_ref()?;
        if !is_shared {
            let message = "\"MaxPerUser\" has no effect on sessions in cookies";
            self.diagnostics
                .error(codes::SESSION_STORE, set.span, message)
                .help("set \"Store\": \"Shared\", with a SharedState section");
        }
        let mut range = RangeChecker::for_code(codes::LIMIT_RANGE, self.diagnostics);
        range.count("Session.MaxPerUser", &session.max_per_user, 1000)
    }

    fn scope(&self) -> String {
        let scopes = items(&self.document.scopes);
        if scopes.is_empty() {
            return "openid profile".to_owned();
        }
        let mut all: Vec<&str> = scopes.iter().map(|scope| scope.trim()).collect();
        if !all.contains(&"openid") {
            all.insert(0, "openid");
        }
        all.join(" ")
    }

    fn authorization_parameters(&mut self) -> Vec<(String, String)> {
        const RESERVED: [&str; 9] = [
            "response_type",
            "client_id",
            "redirect_uri",
            "scope",
            "state",
            "nonce",
            "code_challenge",
            "code_challenge_method",
            "response_mode",
        ];
        let mut parameters = Vec::new();
        for (name, value) in self.document.authorization_parameters.iter().flat_map(|map| map.iter()) {
            if RESERVED.contains(&name.as_str()) {
                let message = format!("the gateway sets the parameter {} itself", name.value);
                self.diagnostics.error(codes::SCHEME_VALUE, name.span, message).help("remove it");
            }
            let value = value.as_ref().map_or_else(String::new, |value| value.value.clone());
            parameters.push((name.value.clone(), value));
        }
        parameters
    }

    fn endpoint_path(&mut self) -> Option<String> {
        let Some(set) = non_blank(&self.document.path) else { return Some("/bff".to_owned()) };
        let path = set.trim().trim_end_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let has_segments =
            path.len() > 1 && !path.contains("//") && !path.split('/').any(|part| part == "..");
        if path.starts_with('/') && has_segments && path.bytes().all(is_plain) {
            return Some(path.to_owned());
        }
        self.diagnostics
            .error(codes::SCHEME_VALUE, set.span, format!("invalid Path \"{}\"", set.value))
            .help("expected a path such as \"/bff\"");
        None
    }

    fn public_origin(&mut self) -> Option<String> {
        let set = non_blank(&self.document.public_url)?;
        let url = HttpUrl::parse(set.trim()).map_err(str::to_owned);
        let url = self.accept(codes::BAD_URL, set.span, "PublicUrl", url)?;
        if url.target != "/" {
            self.diagnostics
                .error(codes::BAD_URL, set.span, "PublicUrl: it must have no path")
                .help("expected an origin such as \"https://shop.example\"");
        }
        Some(format!("{}://{}", if url.tls { "https" } else { "http" }, url.authority()))
    }

    fn cookie_name(&mut self, session: &SessionDocument) -> String {
        let Some(set) = non_blank(&session.cookie) else { return DEFAULT_COOKIE.to_owned() };
        if !is_token(set.trim().as_bytes()) {
            let message = format!("invalid Session.Cookie \"{}\"", set.value);
            self.diagnostics.error(codes::BAD_HEADER_NAME, set.span, message);
        }
        set.trim().to_owned()
    }

    /// The keys of the files, of which the first one seals.
    fn session_keys(&mut self) -> Vec<Secret> {
        let list = items(&self.document.session_keys);
        if list.is_empty() {
            let message = "cookies are sealed with a random key: sessions end when this process ends";
            self.diagnostics
                .warning(codes::SESSION_KEYS, self.name.span, message)
                .help("openssl rand -base64 48 > session.key, and \"SessionKeys\": [\"session.key\"]");
        }
        if let Some(excess) = list.get(MAX_SESSION_KEYS) {
            let message = format!("SessionKeys has {} files", list.len());
            self.diagnostics
                .error(codes::SESSION_KEYS, excess.span, message)
                .help("expected one, or the new and the previous one");
        }
        list.iter().filter_map(|file| self.session_key(file)).collect()
    }

    fn session_key(&mut self, file: &Spanned<String>) -> Option<Secret> {
        let text = self.attached_file("SessionKeys", file)?;
        let key = String::from_utf8_lossy(text).trim().to_owned();
        if key.len() < MIN_KEY_BYTES {
            let message = format!("a session key has {} bytes", key.len());
            self.diagnostics
                .error(codes::SESSION_KEYS, file.span, message)
                .help(format!("must be at least {MIN_KEY_BYTES}: openssl rand -base64 48"));
            return None;
        }
        Some(Secret::new(key))
    }
}
