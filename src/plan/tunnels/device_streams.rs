//! `Tunnels.DeviceStreams`.

use crate::config::{
    Diagnostics, Spanned, codes,
    ranges::RangeChecker,
    values::{items, non_blank, value_or_default},
};
use crate::net::agents::config::{DeviceStreamsConfig, StreamLogFormat};
use crate::plan::document::{DeviceStreamsDocument, StreamLogFormatDocument};
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
const MIN_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// The settings of device streams.
pub fn device_streams(
    document: &Spanned<DeviceStreamsDocument>,
    diagnostics: &mut Diagnostics,
) -> DeviceStreamsConfig {
    let host_names: Vec<Box<str>> = items(&document.host_names)
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
        .map(Box::from)
        .collect();
    if host_names.is_empty() {
        diagnostics
            .error(codes::BAD_DEVICE_STREAMS, document.span, "DeviceStreams has no HostNames")
            .help("set the names that tokens are signed for: \"HostNames\": [\"hub.example\"]");
    }
    let public_url = public_url(document, diagnostics);
    let mut read = RangeChecker::for_code(codes::BAD_DEVICE_STREAMS, diagnostics);
    let mut timeout = |name, set, min| read.time(name, set, DEFAULT_TIMEOUT, min, MAX_TIMEOUT);
    DeviceStreamsConfig {
        host_names,
        public_url,
        connect_timeout: timeout("ConnectTimeout", &document.connect_timeout, Duration::ZERO),
        response_timeout: timeout("ResponseTimeout", &document.response_timeout, Duration::ZERO),
        handshake_timeout: timeout("HandshakeTimeout", &document.handshake_timeout, MIN_HANDSHAKE_TIMEOUT),
        log_format: match value_or_default(&document.log_format) {
            StreamLogFormatDocument::Own => StreamLogFormat::Own,
            StreamLogFormatDocument::Azure => StreamLogFormat::Azure,
        },
    }
}

/// `ws(s)://host[:port]`, without a final slash.
fn public_url(document: &Spanned<DeviceStreamsDocument>, diagnostics: &mut Diagnostics) -> Box<str> {
    let help = "set where clients open bridges: \"PublicUrl\": \"wss://hub.example\"";
    let Some(url) = non_blank(&document.public_url) else {
        diagnostics
            .error(codes::BAD_DEVICE_STREAMS, document.span, "DeviceStreams has no PublicUrl")
            .help(help);
        return Box::default();
    };
    let text = url.trim().trim_end_matches('/');
    let authority = text.strip_prefix("wss://").or_else(|| text.strip_prefix("ws://"));
    let is_valid = authority.is_some_and(|authority| {
        !authority.contains(['/', '?', '#', '@']) && authority.parse::<http::uri::Authority>().is_ok()
    });
    if !is_valid {
        let message = format!("invalid PublicUrl \"{}\": must be ws(s)://host[:port]", url.value);
        diagnostics.error(codes::BAD_DEVICE_STREAMS, url.span, message).help(help);
    }
    text.into()
}
