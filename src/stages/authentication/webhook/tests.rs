//! Signed requests of each sender, and the refusals.

use super::{senders::SENDERS, settings::*, *};
use crate::{
    base::{hex, secret::Secret},
    net::background::BackgroundRuntime,
    pipeline::exchange::Peer,
    stages::authentication::{testing::why, verification_pool::PoolLimits},
};
use std::time::Duration;

const OLD: &str = "the old secret of 2025";
const NEW: &str = "the new secret of 2026";
const BODY: &[u8] = br#"{"event":"paid"}"#;

fn secret(format: SecretFormat, text: &str) -> String {
    match format {
        SecretFormat::Plain => text.to_owned(),
        SecretFormat::StandardWebhooks => format!("whsec_{}", STANDARD.encode(text)),
    }
}

fn webhook(sender: &str, change: impl FnOnce(&mut WebhookSettings)) -> Webhook {
    let format = senders::format(sender).unwrap();
    let has_timestamp = format.timestamp != TimestampSource::None;
    let mut settings = WebhookSettings {
        sender: sender.to_owned(),
        secrets: [OLD, NEW].map(|text| Secret::new(secret(format.secret, text))).into(),
        tolerance: Duration::from_secs(300),
        replay_window: Duration::from_secs(if has_timestamp { 600 } else { 0 }),
        max_body_bytes: 1 << 20,
        format,
    };
    change(&mut settings);
    let limits = PoolLimits { max_parallel: 1, max_queued: 9, max_queued_bytes: 1 << 20 };
    let pool = VerificationPool::new(limits, BackgroundRuntime::default());
    Webhook::new("hooks", settings, Clock::default(), pool)
}

fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A request that the sender signs.
struct Delivery {
    format: SignatureFormat,
    secret: &'static str,
    timestamp: String,
    /// What is signed, and what is sent.
    signed_body: Vec<u8>,
    sent_body: Vec<u8>,
    change: fn(String) -> String,
}

fn delivery(sender: &str) -> Delivery {
    Delivery {
        format: senders::format(sender).unwrap(),
        secret: NEW,
        timestamp: unix_now().to_string(),
        signed_body: BODY.to_vec(),
        sent_body: BODY.to_vec(),
        change: |field| field,
    }
}

impl Delivery {
    fn exchange(&self) -> Exchange {
        let address = ([127, 0, 0, 1], 1).into();
        let mut exchange = Exchange::new(Peer::new(address, address, true), 0, Instant::now());
        exchange.request.begin(b"POST", b"/hooks?a=b");
        exchange.request.append(b"Host", b"api.example");
        exchange.is_dry_run = false;
        if let TimestampSource::Header(name) = &self.format.timestamp {
            exchange.request.append(name.as_bytes(), self.timestamp.as_bytes());
        }
        if let Some(name) = &self.format.id_header {
            exchange.request.append(name.as_bytes(), b"msg_1");
        }
        exchange.body.collected = Some(self.signed_body.clone().into());
        let fields =
            SignedFields { signatures: Vec::new(), timestamp: Some(&self.timestamp), id: Some("msg_1") };
        let content = content(&self.format, &fields, &exchange);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = hmac::sign(&key, &content);
        let signature = match self.format.encoding {
            SignatureEncoding::Hex => hex::encode(signature.as_ref()),
            SignatureEncoding::Base64 => STANDARD.encode(signature),
        };
        let field = match &self.format.layout {
            SignatureLayout::Single { prefix } => format!("{prefix}{signature}"),
            SignatureLayout::List { prefix, separator } => {
                format!("{prefix}{}{separator}{prefix}{signature}", other(self.format.encoding))
            }
            SignatureLayout::Parameters { name, separator } => {
                let TimestampSource::Parameter(time) = self.format.timestamp else { panic!("a timestamp") };
                format!("{time}={}{separator}v0=abc{separator}{name}={signature}", self.timestamp)
            }
        };
        exchange.request.append(self.format.header.as_bytes(), (self.change)(field).as_bytes());
        exchange.body.collected = Some(self.sent_body.clone().into());
        exchange
    }
}

/// A well-formed signature of another secret.
fn other(encoding: SignatureEncoding) -> String {
    match encoding {
        SignatureEncoding::Hex => "ab".repeat(32),
        SignatureEncoding::Base64 => STANDARD.encode([7; 32]),
    }
}

fn outcome(webhook: &Webhook, delivery: &Delivery) -> &'static str {
    why(webhook.authenticate(&delivery.exchange(), None))
}

#[test]
fn signatures_of_every_sender_are_accepted_with_the_old_and_the_new_secret() {
    for sender in SENDERS {
        let webhook = webhook(sender, |settings| settings.replay_window = Duration::ZERO);
        for secret in [OLD, NEW] {
            let delivery = Delivery { secret, ..delivery(sender) };
            assert_eq!(outcome(&webhook, &delivery), "authenticated", "{sender}");
        }
        assert_eq!(webhook.body_limit(&delivery(sender).exchange()), Some(1 << 20));
    }
}

#[test]
fn invalid_signatures_of_every_sender_are_refused() {
    for sender in SENDERS {
        let webhook = webhook(sender, |_| {});
        let changed = Delivery { sent_body: b"{}".to_vec(), ..delivery(sender) };
        assert_eq!(outcome(&webhook, &changed), "identity.signature", "{sender}: another body");
        let unknown = Delivery { secret: "a removed secret", ..delivery(sender) };
        assert_eq!(outcome(&webhook, &unknown), "identity.signature", "{sender}: another secret");
        let truncated = Delivery { change: |field| field[..field.len() - 4].to_owned(), ..delivery(sender) };
        assert_ne!(outcome(&webhook, &truncated), "authenticated", "{sender}: truncated");
        let garbled = Delivery { change: |field| field + "!", ..delivery(sender) };
        assert_eq!(outcome(&webhook, &garbled), "identity.malformed", "{sender}: not encoded");
        let mut unsigned = delivery(sender).exchange();
        unsigned.request.remove(senders::format(sender).unwrap().header.as_bytes());
        assert_eq!(why(webhook.authenticate(&unsigned, None)), "no_credentials", "{sender}: unsigned");
        let mut twice = delivery(sender).exchange();
        twice.request.append(senders::format(sender).unwrap().header.as_bytes(), b"x");
        assert_eq!(why(webhook.authenticate(&twice, None)), "identity.malformed", "{sender}: twice");
    }
}

#[test]
fn timestamps_out_of_tolerance_are_refused() {
    let timed =
        SENDERS.iter().filter(|sender| senders::format(sender).unwrap().timestamp != TimestampSource::None);
    for sender in timed {
        let webhook = webhook(sender, |_| {});
        for (timestamp, expected) in [
            ((unix_now() - 290).to_string(), "authenticated"),
            (((unix_now() - 200) * 1000).to_string(), "authenticated"),
            ((unix_now() - 310).to_string(), "identity.expired"),
            ((unix_now() + 310).to_string(), "identity.not_yet_valid"),
            ("soon".to_owned(), "identity.malformed"),
            ("-5".to_owned(), "identity.malformed"),
            ("1e9".to_owned(), "identity.malformed"),
            ("9".repeat(16), "identity.malformed"),
            ("18446744073709551616".to_owned(), "identity.malformed"),
        ] {
            let delivery = Delivery { timestamp: timestamp.clone(), ..delivery(sender) };
            assert_eq!(outcome(&webhook, &delivery), expected, "{sender}: {timestamp}");
        }
    }
}

#[test]
fn a_signature_is_accepted_once_within_the_window() {
    for sender in ["Stripe", "Slack", "StandardWebhooks", "HubSpot"] {
        let webhook = webhook(sender, |_| {});
        let first = delivery(sender);
        assert_eq!(outcome(&webhook, &first), "authenticated", "{sender}");
        assert_eq!(outcome(&webhook, &first), "identity.replayed", "{sender}");
    }
    let github = webhook("GitHub", |settings| settings.replay_window = Duration::from_secs(60));
    assert_eq!(outcome(&github, &delivery("GitHub")), "authenticated");
    assert_eq!(outcome(&github, &delivery("GitHub")), "identity.replayed");
}

#[test]
fn a_dry_run_uses_up_nothing() {
    let webhook = webhook("Stripe", |_| {});
    let mut exchange = delivery("Stripe").exchange();
    exchange.is_dry_run = true;
    assert_eq!(why(webhook.authenticate(&exchange, None)), "authenticated");
    exchange.is_dry_run = false;
    assert_eq!(why(webhook.authenticate(&exchange, None)), "authenticated");
    exchange.is_dry_run = true;
    assert_eq!(why(webhook.authenticate(&exchange, None)), "identity.replayed");
}

#[test]
fn a_field_with_many_signatures_is_refused() {
    let webhook = webhook("StandardWebhooks", |_| {});
    let many = Delivery {
        change: |_| format!("v1,{} ", other(SignatureEncoding::Base64)).repeat(11),
        ..delivery("StandardWebhooks")
    };
    assert_eq!(outcome(&webhook, &many), "identity.malformed");
    let old = Delivery { change: |field| field.replace("v1,", "v0,"), ..delivery("StandardWebhooks") };
    assert_eq!(outcome(&webhook, &old), "identity.malformed", "another version");
}

#[test]
fn secrets_are_checked() {
    assert!(key_bytes(SecretFormat::Plain, "short").is_err());
    assert!(key_bytes(SecretFormat::StandardWebhooks, "whsec_not base64 at all").is_err());
    assert_eq!(
        key_bytes(SecretFormat::StandardWebhooks, &secret(SecretFormat::StandardWebhooks, NEW)),
        Ok(NEW.into())
    );
}
