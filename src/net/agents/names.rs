//! Names of the protocol between gateway and agent, and the grammar of ids.

/// `Upgrade` of an agent.
pub const AGENT_PROTOCOL: &str = "margay-agent/1";
/// `Upgrade` of a connector.
pub const CONNECT_PROTOCOL: &str = "margay-connect/1";
/// The subprotocol of an agent where the upgrade is a WebSocket.
pub const AGENT_SUBPROTOCOL: &str = "margay-agent.1";
/// The subprotocol of a connector.
pub const CONNECT_SUBPROTOCOL: &str = "margay-connect.1";
/// The host of the resources that agents and connectors sign, besides the host of the request.
pub const SAS_HOST: &str = "margay";

/// The id of the agent.
pub const AGENT_FIELD: &str = "margay-agent";
/// 16 hexadecimal digits that distinguish the processes of an agent.
pub const INSTANCE_FIELD: &str = "margay-instance";
/// The services that the agent offers.
pub const SERVICES_FIELD: &str = "margay-services";
/// Seconds between two PINGs.
pub const HEARTBEAT_FIELD: &str = "margay-heartbeat";
/// Of a stream: its id in the logs of both sides.
pub const STREAM_FIELD: &str = "margay-stream";
/// Of a stream: the address of the client.
pub const CLIENT_FIELD: &str = "margay-client";
/// Of a stream: the milliseconds in which the agent must connect.
pub const TIMEOUT_FIELD: &str = "margay-timeout";
/// Of a refusal: the reason in a few words.
pub const ERROR_FIELD: &str = "margay-error";
/// The path of the stream on which an agent sends new tokens.
pub const RENEW_PATH: &str = "/renew";

/// Most services that an agent may offer.
pub const MAX_SERVICES: usize = 64;
/// Longest text of an agent that is logged.
const MAX_LOGGED_BYTES: usize = 200;

/// Whether this is the id of an agent: 1 to 128 letters, digits and `-._~:@`.
pub fn is_agent_id(text: &str) -> bool {
    let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(is_id_byte)
}

/// Whether this is the name of a service: 1 to 64 letters, digits and `-_.`.
pub fn is_service_name(text: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_name_byte)
}

/// The names of the services in `Margay-Services`: `ssh, http;protocol=http`. Invalid names are ignored.
pub fn parse_services(value: &str) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for entry in value.split(',') {
        let name = entry.split(';').next().unwrap_or_default().trim();
        if is_service_name(name) && names.len() < MAX_SERVICES && !names.iter().any(|known| **known == *name)
        {
            names.push(name.into());
        }
    }
    names
}

/// Text of an untrusted peer as it may be logged: escaped and short.
pub fn loggable(text: &str) -> String {
    let mut end = text.len().min(MAX_LOGGED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].escape_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_have_their_alphabets() {
        assert!(
            is_agent_id("dev-1._~:@X")
                && !is_agent_id("")
                && !is_agent_id("a/b")
                && !is_agent_id(&"a".repeat(129))
        );
        assert!(is_service_name("a-b_c.1") && !is_service_name("a b") && !is_service_name(&"a".repeat(65)));
    }

    #[test]
    fn offered_services_are_parsed_once_each() {
        let names = parse_services("ssh, http;protocol=http,, bad name, ssh");
        assert_eq!(names, [Box::from("ssh"), Box::from("http")]);
    }

    #[test]
    fn text_of_a_peer_is_escaped_and_cut() {
        assert_eq!(loggable("a\nb"), "a\\nb");
        assert_eq!(loggable(&"\u{e4}".repeat(300)).matches("\\u{e4}").count(), 100);
    }
}
