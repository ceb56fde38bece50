//! Topics, ids and errors of device streams.

use crate::{base::percent::percent_encoded, pipeline::error::ErrorCode};

/// The filter with which a device receives requests for streams.
pub const STREAM_FILTER: &str = "$iothub/streams/POST/#";
/// The beginning of the topics of its answers.
const ANSWER_TOPIC: &str = "$iothub/streams/res/";

/// Why a stream is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    NotFound,
    NotOnline,
    Timeout,
    Disabled,
    Throttled,
    Unauthorized,
    Invalid(&'static str),
}

impl DeviceError {
    /// The error code.
    pub fn code(self) -> ErrorCode {
        match self {
            DeviceError::NotFound => ErrorCode::DeviceNotFound,
            DeviceError::NotOnline => ErrorCode::DeviceOffline,
            DeviceError::Timeout => ErrorCode::DeviceTimeout,
            DeviceError::Disabled => ErrorCode::DeviceDisabled,
            DeviceError::Throttled => ErrorCode::DeviceThrottled,
            DeviceError::Unauthorized => ErrorCode::IdentitySignature,
            DeviceError::Invalid(_) => ErrorCode::DeviceRequest,
        }
    }

    /// The code in the body, as service SDKs expect it, and a sentence.
    pub fn message(self) -> (&'static str, &'static str) {
        match self {
            DeviceError::NotFound => ("DeviceNotFound", "no entry of Tunnels.Agents fits the device"),
            DeviceError::NotOnline => {
                ("DeviceNotOnline", "the device is not connected, or does not accept streams")
            }
            DeviceError::Timeout => ("GatewayTimeout", "the device did not answer in time"),
            DeviceError::Disabled => ("DeviceDisabled", "the device is disabled"),
            DeviceError::Throttled => ("ThrottlingException", "too many device streams"),
            DeviceError::Unauthorized => {
                ("IotHubUnauthorizedAccess", "the token does not allow device streams")
            }
            DeviceError::Invalid(why) => ("ArgumentInvalid", why),
        }
    }
}

/// Whether this is the name of a stream: 1 to 128 letters, digits and `._~-`.
pub fn is_stream_name(name: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(is_name_byte)
}

/// A client id: the device and its module.
pub fn split_client_id(id: &str) -> (&str, Option<&str>) {
    id.split_once('/').map_or((id, None), |(device, module)| (device, Some(module)))
}

/// The topic of a request. Only the URL is encoded: clients split the topic at `/`, and decode nothing else.
pub fn request_topic(name: &str, rid: u32, url: &str, token: &str) -> String {
    let url = percent_encoded(url);
    format!("$iothub/streams/POST/{name}/?$rid={rid:x}&$url={url}&$auth={token}")
}

/// The request id and whether the device accepts; `None` for other topics.
pub fn parse_answer(topic: &str) -> Option<(u32, bool)> {
    let rest = topic.strip_prefix(ANSWER_TOPIC)?;
    let (status, query) = rest.split_once('?')?;
    let status = status.trim_end_matches('/');
    let rid = query.split('&').find_map(|pair| pair.strip_prefix("$rid="))?;
    let is_rid = (1..=8).contains(&rid.len()) && status.bytes().all(|byte| byte.is_ascii_digit());
    is_rid.then(|| u32::from_str_radix(rid, 16).ok()).flatten().map(|rid| (rid, status == "200"))
}

/// Whether a device may subscribe to the filter.
pub fn is_known_filter(filter: &str, device: &str) -> bool {
    const FILTERS: [&str; 5] = [
        STREAM_FILTER,
        "$iothub/streams/res/#",
        "$iothub/twin/res/#",
        "$iothub/twin/PATCH/properties/desired/#",
        "$iothub/methods/POST/#",
    ];
    FILTERS.contains(&filter) || *filter == format!("devices/{device}/messages/devicebound/#")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_four_slashes_and_its_answer_names_it() {
        let topic = request_topic("my-stream", 0x1f, "wss://hub.example/bridges/00", "tok_en-1");
        assert_eq!(
            topic,
            "$iothub/streams/POST/my-stream/?$rid=1f&$url=wss%3A%2F%2Fhub.example%2Fbridges%2F00&$auth=tok_en-1"
        );
        assert_eq!(parse_answer("$iothub/streams/res/200/?$rid=1f"), Some((0x1f, true)));
        assert_eq!(parse_answer("$iothub/streams/res/400/?$rid=1f"), Some((0x1f, false)));
        for topic in [
            "$iothub/streams/res/200/",
            "$iothub/streams/res/200/?$rid=",
            "devices/d/messages/events/",
            "$iothub/streams/res/x/?$rid=1",
        ] {
            assert_eq!(parse_answer(topic), None, "{topic}");
        }
    }

    #[test]
    fn names_and_filters_are_checked() {
        assert!(
            is_stream_name("a.b_c~d-1")
                && !is_stream_name("a/b")
                && !is_stream_name("")
                && !is_stream_name("a+b")
        );
        assert!(is_known_filter("devices/d1/messages/devicebound/#", "d1"));
        assert!(!is_known_filter("devices/d2/messages/devicebound/#", "d1") && !is_known_filter("#", "d1"));
        assert_eq!(split_client_id("d/m"), ("d", Some("m")));
    }
}
