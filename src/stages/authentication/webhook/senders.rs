//! How the large senders of webhooks sign.

use super::settings::{
    ContentPart::{self, Body, Id, Method, Text, Timestamp, Url},
    SecretFormat,
    SignatureEncoding::{self, Base64, Hex},
    SignatureFormat, SignatureHash,
    SignatureLayout::{self, List, Parameters, Single},
    TimestampSource,
};

/// The accepted values of `Sender`, without `Custom`.
pub const SENDERS: &[&str] = &[
    "Bitbucket",
    "Dropbox",
    "GitHub",
    "HubSpot",
    "Linear",
    "Meta",
    "Paddle",
    "PagerDuty",
    "Shopify",
    "Slack",
    "Square",
    "StandardWebhooks",
    "Stripe",
    "Svix",
    "Zoom",
];

/// The signature of a sender.
pub fn format(sender: &str) -> Option<SignatureFormat> {
    let format = match sender {
        "GitHub" | "Meta" => body_only("X-Hub-Signature-256", prefixed("sha256="), Hex),
        "Bitbucket" => body_only("X-Hub-Signature", prefixed("sha256="), Hex),
        "Dropbox" => body_only("X-Dropbox-Signature", prefixed(""), Hex),
        "Linear" => body_only("Linear-Signature", prefixed(""), Hex),
        "Shopify" => body_only("X-Shopify-Hmac-Sha256", prefixed(""), Base64),
        "PagerDuty" => body_only("X-PagerDuty-Signature", List { prefix: "v1=", separator: ',' }, Hex),
        "Square" => SignatureFormat {
            content: vec![Url, Body],
            ..body_only("X-Square-HmacSha256-Signature", prefixed(""), Base64)
        },
        "HubSpot" => SignatureFormat {
            content: vec![Method, Url, Body, Timestamp],
            timestamp: header("X-HubSpot-Request-Timestamp"),
            ..body_only("X-HubSpot-Signature-v3", prefixed(""), Base64)
        },
        "Stripe" => SignatureFormat {
            content: vec![Timestamp, text("."), Body],
            timestamp: TimestampSource::Parameter("t"),
            ..body_only("Stripe-Signature", Parameters { name: "v1", separator: ',' }, Hex)
        },
        "Paddle" => SignatureFormat {
            content: vec![Timestamp, text(":"), Body],
            timestamp: TimestampSource::Parameter("ts"),
            ..body_only("Paddle-Signature", Parameters { name: "h1", separator: ';' }, Hex)
        },
        "Slack" => versioned("X-Slack-Signature", "X-Slack-Request-Timestamp"),
        "Zoom" => versioned("X-Zm-Signature", "X-Zm-Request-Timestamp"),
        "StandardWebhooks" => standard("Webhook-Signature", "Webhook-Timestamp", "Webhook-Id"),
        "Svix" => standard("Svix-Signature", "Svix-Timestamp", "Svix-Id"),
        _ => return None,
    };
    Some(format)
}

fn text(text: &str) -> ContentPart {
    Text(text.to_owned())
}

fn prefixed(prefix: &str) -> SignatureLayout {
    Single { prefix: prefix.to_owned() }
}

fn header(name: &str) -> TimestampSource {
    TimestampSource::Header(name.to_owned())
}

fn body_only(header: &str, layout: SignatureLayout, encoding: SignatureEncoding) -> SignatureFormat {
    SignatureFormat {
        header: header.to_owned(),
        layout,
        encoding,
        hash: SignatureHash::Sha256,
        timestamp: TimestampSource::None,
        id_header: None,
        content: vec![Body],
        secret: SecretFormat::Plain,
    }
}

/// `v0=` and the signature of `v0:timestamp:body`.
fn versioned(name: &str, timestamp: &str) -> SignatureFormat {
    SignatureFormat {
        content: vec![text("v0:"), Timestamp, text(":"), Body],
        timestamp: header(timestamp),
        ..body_only(name, prefixed("v0="), Hex)
    }
}

/// The specification of Standard Webhooks.
fn standard(name: &str, timestamp: &str, id: &str) -> SignatureFormat {
    SignatureFormat {
        content: vec![Id, text("."), Timestamp, text("."), Body],
        timestamp: header(timestamp),
        id_header: Some(id.to_owned()),
        secret: SecretFormat::StandardWebhooks,
        ..body_only(name, List { prefix: "v1,", separator: ' ' }, Base64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sender_has_a_format_that_signs_its_body_and_its_timestamp() {
        for sender in SENDERS {
            let format = format(sender).unwrap();
            assert!(format.content.contains(&Body), "{sender}");
            let has_timestamp = format.timestamp != TimestampSource::None;
            assert_eq!(format.content.contains(&Timestamp), has_timestamp, "{sender}");
        }
        assert_eq!(format("Custom"), None);
    }
}
