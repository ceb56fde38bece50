//! The line of a forwarded connection or UDP session in the access log, written at its end.

use super::{
    json::JsonLineWriter,
    record_format::{ClientAddressPolicy, ClientAddressText, CombinedText, CombinedTime, Millis},
};
use crate::base::date::Timestamp;
use std::{
    io::Write,
    net::IpAddr,
    time::{Duration, SystemTime},
};

/// One connection or session that ended.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRecord<'a> {
    /// When it began.
    pub time: SystemTime,
    pub id: u64,
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    pub listener: &'a str,
    pub client: IpAddr,
    pub client_address: ClientAddressPolicy,
    /// The server name of the client; empty if it was not read.
    pub server_name: &'a str,
    pub route: &'a str,
    /// The role of the service; empty if it belongs to none.
    pub role: &'a str,
    /// Empty if no connection was opened.
    pub endpoint: &'a str,
    pub attempts: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub connect_duration: Option<Duration>,
    pub duration: Duration,
    /// Why it ended, or the error code.
    pub end: &'static str,
}

impl ConnectionRecord<'_> {
    pub(super) fn write_json(&self, buffer: &mut Vec<u8>) {
        let mut line = JsonLineWriter::begin(buffer);
        line.string_unescaped("time", format_args!("{}", Timestamp(self.time)))
            .string_unescaped("id", format_args!("{:016x}", self.id))
            .text("protocol", self.protocol.as_bytes())
            .text("listener", self.listener.as_bytes());
        if self.client_address != ClientAddressPolicy::Omit {
            let address = ClientAddressText(self.client, self.client_address);
            line.string_unescaped("client", format_args!("{address}"));
        }
        let texts = [
            ("server_name", self.server_name),
            ("route", self.route),
            ("role", self.role),
            ("endpoint", self.endpoint),
        ];
        for (name, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            line.text(name, value.as_bytes());
        }
        line.number("attempts", u64::from(self.attempts))
            .number("bytes_in", self.bytes_in)
            .number("bytes_out", self.bytes_out);
        if let Some(duration) = self.connect_duration {
            line.raw_value("ms_connect", format_args!("{}", Millis(duration)));
        }
        line.raw_value("ms_total", format_args!("{}", Millis(self.duration)));
        line.text("end", self.end.as_bytes());
        line.end();
    }

    /// The request line has the protocol, the route and the endpoint; the status is 0.
    pub(super) fn write_combined(&self, buffer: &mut Vec<u8>) {
        let text = |text: &'_ str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let (route, endpoint) = (text(self.route), text(self.endpoint));
        let result = writeln!(
            buffer,
            "{} - - [{}] \"{} {} {}\" 0 {} \"-\" \"-\" {} \"{}\" \"{}\"",
            ClientAddressText(self.client, self.client_address),
            CombinedTime(self.time),
            self.protocol,
            CombinedText(route.as_bytes()),
            CombinedText(endpoint.as_bytes()),
            self.bytes_out,
            self.duration.as_micros(),
            self.end,
            CombinedText(route.as_bytes()),
        );
        debug_assert!(result.is_ok(), "writing to a Vec cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_ends_of_the_connection_and_why_it_ended() {
        let record = ConnectionRecord {
            time: SystemTime::UNIX_EPOCH,
            id: 7,
            protocol: "TCP",
            listener: "tls",
            client: IpAddr::from([192, 0, 2, 7]),
            client_address: ClientAddressPolicy::Log,
            server_name: "shop.example",
            route: "shop",
            role: "",
            endpoint: "10.0.0.1:8443",
            attempts: 1,
            bytes_in: 517,
            bytes_out: 8211,
            connect_duration: Some(Duration::from_micros(400)),
            duration: Duration::from_micros(1_203_100),
            end: "closed",
        };
        let mut line = Vec::new();
        record.write_json(&mut line);
        let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let expected = serde_json::json!({ "time": json["time"], "id": "0000000000000007", "protocol": "TCP",
            "listener": "tls", "client": "192.0.2.7", "server_name": "shop.example", "route": "shop",
            "endpoint": "10.0.0.1:8443", "attempts": 1, "bytes_in": 517, "bytes_out": 8211, "ms_connect": 0.4,
            "ms_total": 1203.1, "end": "closed" });
        assert_eq!(json, expected);
        line.clear();
        record.write_combined(&mut line);
        let line = String::from_utf8(line).unwrap();
        assert!(
            line.contains(r#""TCP shop 10.0.0.1:8443" 0 8211 "-" "-" 1203100 "closed" "shop""#),
            "{line}"
        );
    }
}
