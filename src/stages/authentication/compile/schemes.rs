//! One entry of `AuthenticationSchemes` → a scheme; every error is reported.

use super::{files, inline, setting_types::settings_of_types};
use crate::{
    base::{bytes::is_token, units::DurationText},
    config::{
        Code, Diagnostics, ReferencedFiles, Span, Spanned, codes,
        ranges::RangeChecker,
        suggest,
        values::{List, Setting, items, non_blank},
    },
    stages::authentication::{
        scheme_document::AuthenticationSchemeDocument,
        settings::{ApiKeySettings, BasicSettings, CredentialLocations, SchemeKind},
    },
};
use std::borrow::Cow;
use std::time::Duration;

const SCHEME_TYPES: [&str; 8] = [
    "JwtBearer",
    "Introspection",
    "ApiKey",
    "Basic",
    "ClientCertificate",
    "HmacSignature",
    "External",
    "OpenIdConnect",
];

/// Compiles one scheme.
pub(super) struct SchemeCompiler<'r, 'o> {
    pub(super) name: &'r Spanned<String>,
    pub(super) document: &'r Spanned<AuthenticationSchemeDocument>,
    pub(super) attached: &'r ReferencedFiles,
    pub(super) ocelot: bool,
    pub(super) client_certificates_requested: bool,
    pub(super) has_shared_state: bool,
    pub(super) diagnostics: &'o mut Diagnostics,
}

impl<'r> SchemeCompiler<'r, '_> {
    pub(super) fn kind(&mut self) -> Option<SchemeKind> {
        let Some(kind) = non_blank(&self.document.kind) else {
            let message = format!("the scheme \"{}\" has no Type", self.name.value);
            let span = self.document.kind.as_ref().map_or(self.document.span, |kind| kind.span);
            self.diagnostics
                .error(codes::SCHEME_TYPE, span, message)
                .help(format!("expected {}", suggest::one_of(&SCHEME_TYPES)));
            return None;
        };
        let known = SCHEME_TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind.trim()));
        self.report_unused_settings(known.copied());
        match known {
            Some(&"JwtBearer") => self.jwt().map(|jwt| SchemeKind::Jwt(Box::new(jwt))),
            Some(&"ApiKey") => self.api_key().map(SchemeKind::ApiKey),
            Some(&"Basic") => self.basic().map(SchemeKind::Basic),
            Some(&"Introspection") => {
                self.introspection().map(|own| SchemeKind::Introspection(Box::new(own)))
            }
            Some(&"HmacSignature") => self.hmac().map(|hmac| SchemeKind::Hmac(Box::new(hmac))),
            Some(&"OpenIdConnect") => self.session().map(|own| SchemeKind::OpenIdConnect(Box::new(own))),
            Some(&"External") => self.external().map(|own| SchemeKind::External(Box::new(own))),
            Some(_) => Some(self.certificate(kind.span)),
            None => {
                self.unknown(kind);
                None
            }
        }
    }

    fn unknown(&mut self, kind: &Spanned<String>) {
        let message = format!("unknown Type \"{}\" of authentication schemes", kind.value);
        let diagnostic = self.diagnostics.error(codes::SCHEME_TYPE, kind.span, message);
        diagnostic.expected(kind, &SCHEME_TYPES);
    }

    /// Reports settings that a scheme of this type does not use.
    fn report_unused_settings(&mut self, kind: Option<&str>) {
        let Some(kind) = kind else { return };
        for (setting, span, types) in settings_of_types(self.document) {
            if let Some(span) = span.filter(|_| !types.contains(&kind)) {
                let message = format!("\"{setting}\" has no effect on a scheme of Type \"{kind}\"");
                let help = format!("remove it; it is a setting of {}", types.join(" and "));
                self.diagnostics.error(codes::SCHEME_SETTING, span, message).help(help);
            }
        }
    }

    /// Listeners verify certificates; without one that requests them no client can present any.
    fn certificate(&mut self, span: Span) -> SchemeKind {
        if !self.client_certificates_requested {
            let message = "no listener requests client certificates: this scheme rejects every caller";
            self.diagnostics
                .warning(codes::CERTIFICATES_NOT_REQUESTED, span, message)
                .help("set Tls.ClientCertificates on a listener");
        }
        SchemeKind::Certificate
    }

    fn api_key(&mut self) -> Option<ApiKeySettings> {
        let inline =
            self.document.keys.as_ref().map(|keys| (keys.span, inline::keys_file(&self.document.keys)));
        let content = self.entries(("KeysFile", &self.document.keys_file), ("Keys", inline));
        let locations = self.credential_locations("X-Api-Key");
        let (setting, span, text) = content?;
        let keys = self.accept(codes::SCHEME_FILE, span, setting, files::api_keys(&text))?;
        self.warn_no_listener_asks(keys.is_empty(), span, setting);
        Some(ApiKeySettings { locations, keys })
    }

    fn basic(&mut self) -> Option<BasicSettings> {
        let inline =
            self.document.users.as_ref().map(|users| (users.span, inline::users_file(&self.document.users)));
        let content = self.entries(("UsersFile", &self.document.users_file), ("Users", inline));
        let (setting, span, text) = content?;
        let users = self.accept(codes::SCHEME_FILE, span, setting, files::users(&text))?;
        self.warn_no_listener_asks(users.is_empty(), span, setting);
        let default = Duration::from_secs(2);
        let max_failure_delay =
            self.time("MaxWrongPasswordDelay", &self.document.max_wrong_password_delay, default, [0, 30]);
        Some(BasicSettings { users, max_failure_delay })
    }

    /// The keys or users of a scheme: of its file or of the scheme itself, with the setting that they come from.
    fn entries(
        &mut self,
        file: (&'static str, &Setting<String>),
        inline: (&'static str, Option<(Span, Vec<u8>)>),
    ) -> Option<(&'static str, Span, Cow<'r, [u8]>)> {
        match (inline.1, file.1) {
            (Some((span, _)), Some(_)) => {
                let message = format!("{} and {} are both set", file.0, inline.0);
                self.diagnostics.error(codes::SCHEME_KEYS, span, message).help("remove one of them");
                None
            }
            (Some((span, text)), None) => Some((inline.0, span, Cow::Owned(text))),
            (None, _) => {
                self.required(file.0, file.1).map(|(span, text)| (file.0, span, Cow::Borrowed(text)))
            }
        }
    }

    fn warn_no_listener_asks(&mut self, is_empty: bool, span: Span, setting: &str) {
        if is_empty {
            let message = format!("{setting} is empty: every caller is rejected");
            self.diagnostics.warning(codes::SCHEME_FILE, span, message);
        }
    }

    /// The content of a required file.
    pub(super) fn required(&mut self, setting: &str, set: &Setting<String>) -> Option<(Span, &'r [u8])> {
        let Some(name) = non_blank(set) else {
            let message = format!("the scheme \"{}\" has no {setting}", self.name.value);
            self.diagnostics.error(codes::SCHEME_KEYS, self.document.span, message);
            return None;
        };
        self.attached_file(setting, name).map(|text| (name.span, text))
    }

    /// The content of a file of a setting.
    pub(super) fn attached_file(&mut self, setting: &str, name: &Spanned<String>) -> Option<&'r [u8]> {
        let read = self.attached.get(name.span);
        if let Err(why) = &read {
            let message = format!("{setting}: cannot read {}: {why}", name.value);
            self.diagnostics
                .error(codes::SCHEME_FILE, name.span, message)
                .help("create the file, readable for the user of the gateway");
        }
        read.ok()
    }

    /// The value, or a report of its error.
    pub(super) fn accept<T>(
        &mut self,
        code: Code,
        span: Span,
        setting: &str,
        read: Result<T, String>,
    ) -> Option<T> {
        read.map_err(|why| self.diagnostics.error(code, span, format!("{setting}: {why}"))).ok()
    }

    /// The locations of the credentials.
    pub(super) fn credential_locations(&mut self, default_value: &str) -> CredentialLocations {
        let header = non_blank(&self.document.header);
        let (query, cookie) = (non_blank(&self.document.query_parameter), non_blank(&self.document.cookie));
        for (setting, name) in [("Header", header), ("QueryParameter", query), ("Cookie", cookie)] {
            if let Some(name) = name.filter(|name| !is_token(name.as_bytes())) {
                let message = format!("invalid {setting} \"{}\"", name.value);
                self.diagnostics.error(codes::BAD_HEADER_NAME, name.span, message);
            }
        }
        if let Some(keeps) = self.document.keep_query_parameter.as_ref().filter(|_| query.is_none()) {
            let cure = "remove it, or set \"QueryParameter\"";
            self.report_no_effect("KeepQueryParameter", keeps.span, "without QueryParameter", cure);
        }
        let text = |name: Option<&Spanned<String>>| name.map(|name| name.value.clone());
        CredentialLocations {
            header: text(header).unwrap_or_else(|| default_value.to_owned()),
            query: text(query),
            keeps_query: self.document.keep_query_parameter.as_ref().is_some_and(|keep| keep.value),
            cookie: text(cookie),
        }
    }

    /// One of a few names, or the first of them.
    pub(super) fn choice<T: Copy>(
        &mut self,
        setting: &str,
        set: &Setting<String>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let Some(name) = non_blank(set) else { return choices.first().map(|(_, value)| *value) };
        let chosen = choices.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
        if let Some((_, value)) = chosen {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        let message = format!("unknown {setting} \"{}\"", name.value);
        self.diagnostics.error(codes::SCHEME_VALUE, name.span, message).expected(name, &names);
        None
    }

    /// A setting that must be present.
    pub(super) fn needed(&mut self, setting: &str, set: &'r Setting<String>) -> Option<&'r Spanned<String>> {
        let found = non_blank(set);
        if found.is_none() {
            let message = format!("the scheme \"{}\" has no {setting}", self.name.value);
            self.diagnostics.error(codes::SCHEME_INCOMPLETE, self.document.span, message);
        }
        found
    }

    /// Names of header fields.
    pub(super) fn field_names(&mut self, setting: &str, list: &List<String>) -> Vec<String> {
        let mut names = Vec::new();
        for name in items(list) {
            match is_token(name.trim().as_bytes()) {
                true => names.push(name.trim().to_owned()),
                false => {
                    let message = format!("invalid name \"{}\" in {setting}", name.value);
                    self.diagnostics.error(codes::BAD_HEADER_NAME, name.span, message);
                }
            }
        }
        names
    }

    /// A duration within its range.
    pub(super) fn time(
        &mut self,
        setting: &str,
        set: &Setting<DurationText>,
        default_value: Duration,
        range: [u64; 2],
    ) -> Duration {
        let [min, max] = range.map(Duration::from_secs);
        RangeChecker::for_code(codes::LIMIT_RANGE, self.diagnostics).time(
            setting,
            set,
            default_value,
            min,
            max,
        )
    }
}
