//! The log line of a handshake in the shape of Azure IoT Hub (`LogFormat` `Azure`).

use crate::{base::date::Timestamp, net::agents::names::loggable};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// One handshake.
#[derive(Clone, Copy, Debug)]
pub struct Handshake<'h> {
    pub hub: &'h str,
    pub device: &'h str,
    pub module: Option<&'h str>,
    pub name: &'h str,
    pub user_agent: &'h str,
    pub status: u16,
    pub duration: Duration,
}

/// The line; `properties` is a text that contains JSON.
pub fn line(handshake: Handshake<'_>, now: SystemTime) -> Value {
    let Handshake { hub, device, module, name, user_agent, status, duration } = handshake;
    let properties = json!({
        "deviceId": device,
        "moduleId": module,
        "sdkVersion": loggable(user_agent),
        "requestSize": 0,
        "responseSize": 0,
        "statusCode": status,
        "requestName": name,
        "direction": "c2d",
    });
    json!({
        "time": Timestamp(now).to_string(),
        "resourceId": hub,
        "operationName": "invoke",
        "category": "DeviceStreams",
        "resultType": status.to_string(),
        "level": if status < 400 { "Information" } else { "Error" },
        "durationMs": duration.as_millis().to_string(),
        "properties": properties.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_a_text_with_json() {
        let handshake = Handshake {
            hub: "hub.example",
            device: "dev1",
            module: None,
            name: "ssh",
            user_agent: "sdk\n1",
            status: 200,
            duration: Duration::from_millis(7),
        };
        let line = line(handshake, SystemTime::UNIX_EPOCH);
        let properties: Value = serde_json::from_str(line["properties"].as_str().unwrap()).unwrap();
        assert_eq!((&line["category"], &line["durationMs"]), (&json!("DeviceStreams"), &json!("7")));
        assert_eq!((&properties["deviceId"], &properties["sdkVersion"]), (&json!("dev1"), &json!("sdk\\n1")));
    }
}
