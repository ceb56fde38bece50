//! `HmacSignature`: the sender, its secrets and its limits.

use super::schemes::SchemeCompiler;
use crate::{
    base::secret::Secret,
    config::{
        codes,
        ranges::RangeChecker,
        values::{items, non_blank},
    },
    stages::authentication::{
        settings::WebhookSettings,
        webhook::{
            key_bytes,
            senders::{SENDERS, format},
            settings::{
                ContentPart, SecretFormat, SignatureEncoding, SignatureFormat, SignatureHash,
                SignatureLayout, TimestampSource,
            },
        },
    },
};
use std::time::Duration;

const ENCODINGS: &[(&str, SignatureEncoding)] =
    &[("Hex", SignatureEncoding::Hex), ("Base64", SignatureEncoding::Base64)];
const HASHES: &[(&str, SignatureHash)] = &[
    ("SHA256", SignatureHash::Sha256),
    ("SHA384", SignatureHash::Sha384),
    ("SHA512", SignatureHash::Sha512),
    ("SHA1", SignatureHash::Sha1),
];
/// The placeholders of `SignedContent`.
const PLACEHOLDERS: &[(&str, ContentPart)] = &[
    ("body", ContentPart::Body),
    ("timestamp", ContentPart::Timestamp),
    ("id", ContentPart::Id),
    ("method", ContentPart::Method),
    ("url", ContentPart::Url),
];

impl SchemeCompiler<'_, '_> {
    pub(super) fn hmac(&mut self) -> Option<WebhookSettings> {
        let document = self.document;
        let sender = self.needed("Sender", &document.sender)?;
        let is_custom = sender.trim().eq_ignore_ascii_case("Custom");
        let known = SENDERS.iter().find(|known| known.eq_ignore_ascii_case(sender.trim()));
        let format = match (known, is_custom) {
            (_, true) => self.custom_format(),
            (Some(known), _) => {
                self.report_custom_settings(known);
                format(known)
            }
            (None, false) => {
                let message = format!("unknown Sender \"{}\"", sender.value);
                let mut names = SENDERS.to_vec();
                names.push("Custom");
                self.diagnostics.error(codes::SCHEME_VALUE, sender.span, message).expected(sender, &names);
                None
            }
        }?;
        let tolerance = self.time("Tolerance", &document.tolerance, Duration::from_secs(300), [1, 3600]);
        let has_timestamp = format.timestamp != TimestampSource::None;
        let default_window = if has_timestamp { tolerance * 2 } else { Duration::ZERO };
        let replay_window = self.time("ReplayWindow", &document.replay_window, default_window, [0, 86_400]);
        let mut range = RangeChecker::for_code(codes::LIMIT_RANGE, self.diagnostics);
        let max_body_bytes = range.size("MaxBodySize", &document.max_body_size, 1 << 20, 1 << 10, 64 << 20);
        let secrets = self.secrets(format.secret)?;
        let sender = known.copied().unwrap_or("Custom").to_owned();
        Some(WebhookSettings { sender, format, secrets, tolerance, replay_window, max_body_bytes })
    }

    /// At least one usable secret.
    fn secrets(&mut self, format: SecretFormat) -> Option<Vec<Secret>> {
        let list = items(&self.document.secrets);
        if list.is_empty() {
            let message = format!("the scheme \"{}\" has no Secrets", self.name.value);
            self.diagnostics.error(codes::SCHEME_INCOMPLETE, self.document.span, message);
            return None;
        }
        for secret in list {
            if let Err(why) = key_bytes(format, secret.reveal()) {
                self.diagnostics
                    .error(codes::SCHEME_SECRET, secret.span, format!("unusable secret: {why}"))
                    .help("generate one with openssl rand -hex 32, and set it at the sender");
            }
        }
        Some(list.iter().map(|secret| secret.value.clone()).collect())
    }

    fn report_custom_settings(&mut self, sender: &str) {
        let document = self.document;
        let settings = [
            ("SignatureHeader", &document.signature_header),
            ("SignaturePrefix", &document.signature_prefix),
            ("SignatureEncoding", &document.signature_encoding),
            ("SignatureAlgorithm", &document.signature_algorithm),
            ("SignedContent", &document.signed_content),
            ("TimestampHeader", &document.timestamp_header),
            ("IdHeader", &document.id_header),
        ];
        for (name, set) in settings {
            if let Some(set) = set {
                let message = format!("\"{name}\" has no effect with the Sender \"{sender}\"");
                let help = "remove it, or set \"Sender\": \"Custom\"";
                self.diagnostics.error(codes::SCHEME_SETTING, set.span, message).help(help);
            }
        }
    }

    fn custom_format(&mut self) -> Option<SignatureFormat> {
        let document = self.document;
        self.needed("SignatureHeader", &document.signature_header)?;
        let header = self.field_name("SignatureHeader", &document.signature_header);
        let encoding = self.choice("SignatureEncoding", &document.signature_encoding, ENCODINGS);
        let hash = self.choice("SignatureAlgorithm", &document.signature_algorithm, HASHES);
        let timestamp = self.field_name("TimestampHeader", &document.timestamp_header);
        let id_header = self.field_name("IdHeader", &document.id_header);
        let content = self.signed_content(timestamp.is_some(), id_header.is_some());
        let prefix = document.signature_prefix.as_ref().map_or("", |prefix| prefix.value.as_str());
        Some(SignatureFormat {
            header: header?,
            layout: SignatureLayout::Single { prefix: prefix.to_owned() },
            encoding: encoding?,
            hash: hash?,
            timestamp: timestamp.map_or(TimestampSource::None, TimestampSource::Header),
            id_header,
            content: content?,
            secret: SecretFormat::Plain,
        })
    }

    /// What is signed: the body always, the timestamp if and only if there is one.
    fn signed_content(&mut self, has_timestamp: bool, has_id: bool) -> Option<Vec<ContentPart>> {
        let Some(set) = non_blank(&self.document.signed_content) else {
            let default_content = vec![ContentPart::Body];
            return self.check_content(default_content, has_timestamp, has_id, self.document.span);
        };
        let parts = parse_content(set);
        let parts = self.accept(codes::SCHEME_VALUE, set.span, "SignedContent", parts)?;
        self.check_content(parts, has_timestamp, has_id, set.span)
    }

    fn check_content(
        &mut self,
        parts: Vec<ContentPart>,
        has_timestamp: bool,
        has_id: bool,
        span: crate::config::Span,
    ) -> Option<Vec<ContentPart>> {
        let has = |part: &ContentPart| parts.contains(part);
        let why = match () {
            () if !has(&ContentPart::Body) => "expected {body} in SignedContent",
            () if has(&ContentPart::Timestamp) && !has_timestamp => "{timestamp} needs TimestampHeader",
            () if !has(&ContentPart::Timestamp) && has_timestamp => {
                "TimestampHeader needs {timestamp} in SignedContent: an unsigned time can be changed"
            }
            () if has(&ContentPart::Id) != has_id => "{id} in SignedContent and IdHeader need each other",
            () => return Some(parts),
        };
        self.diagnostics.error(codes::SCHEME_VALUE, span, why);
        None
    }
}

fn parse_content(text: &str) -> Result<Vec<ContentPart>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').ok_or("`{` has no `}`")?;
        let part = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
        let unknown = || {
            let names: Vec<String> = PLACEHOLDERS.iter().map(|(known, _)| format!("{{{known}}}")).collect();
            format!("unknown placeholder {{{name}}}; expected one of {}", names.join(", "))
        };
        if !before.is_empty() {
            parts.push(ContentPart::Text(before.to_owned()));
        }
        parts.push(part.ok_or_else(unknown)?.1.clone());
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(ContentPart::Text(rest.to_owned()));
    }
    Ok(parts)
}
