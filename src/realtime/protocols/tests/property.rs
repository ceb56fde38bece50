//! The same meaning in every subprotocol.

use super::*;

/// A message of a client in both notations.
#[derive(Clone, Debug)]
struct Notations {
    json: Value,
    protobuf: wire::ClientFrameKind,
}

fn payloads() -> impl Strategy<Value = (Value, wire::MessageData)> {
    let data = |data| wire::MessageData { data: Some(data) };
    prop_oneof![
        ".{0,20}".prop_map(move |text| {
            (json!({ "dataType": "text", "data": text }), data(wire::Data::Text(text.into())))
        }),
        prop_oneof![Just("1.0"), Just("{\"b\":[null],\"a\":1e400}"), Just("null"), Just("\"x\"")].prop_map(
            move |text| (json!({ "dataType": "json", "data": text }), data(wire::Data::Json(text.into())))
        ),
        any::<Vec<u8>>().prop_map(move |bytes| {
            let text = STANDARD.encode(&bytes);
            (json!({ "dataType": "binary", "data": text }), data(wire::Data::Binary(bytes.into())))
        }),
        Just((
            json!({ "dataType": "protobuf", "data": STANDARD.encode(ANY) }),
            data(wire::Data::Protobuf(Bytes::from_static(ANY)))
        )),
    ]
}

/// Names that are valid and invalid.
fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z日.*/ ]{1,12}", Just(String::new()), Just("  ".to_owned()), Just("x".repeat(1025))]
}

/// The members of a message; which ones count depends on its kind.
#[derive(Clone, Debug)]
struct Members {
    kind: usize,
    group: String,
    name: String,
    ack_id: Option<u64>,
    json_data: Value,
    data: wire::MessageData,
    no_echo: bool,
    number: Option<u32>,
    has_data: bool,
}

fn client_messages() -> impl Strategy<Value = Notations> {
    let ack_ids = proptest::option::of(any::<u64>());
    let parts = (0..10_usize, names(), names(), ack_ids, payloads(), any::<(bool, Option<u32>, bool)>());
    parts.prop_map(|(kind, group, name, ack_id, (json_data, data), (no_echo, number, has_data))| {
        let members = Members { kind, group, name, ack_id, json_data, data, no_echo, number, has_data };
        if kind < 5 { members.group_message() } else { members.other_message() }
    })
}

impl Members {
    /// The JSON notation with the payload.
    fn with_payload(&self, mut json: Value) -> Value {
        if let (Some(to), Some(from)) = (json.as_object_mut(), self.json_data.as_object()) {
            to.append(&mut from.clone());
        }
        json
    }

    fn group_message(&self) -> Notations {
        use wire::ClientFrameKind as Kind;
        let Members { group, ack_id, no_echo, number, .. } = self;
        let request = wire::GroupRequest { group: group.clone(), ack_id: *ack_id };
        let (stream_id, idle_timeout_ms) = (self.name.clone(), *number);
        let sent = |data, stream| wire::SendToGroup {
            group: group.clone(),
            ack_id: *ack_id,
            data,
            no_echo: Some(*no_echo),
            ttl_seconds: *number,
            stream,
        };
        let (json, protobuf) = match self.kind {
            0 => (json!({ "type": "joinGroup", "group": group, "ackId": ack_id }), Kind::JoinGroup(request)),
            1 => {
                (json!({ "type": "leaveGroup", "group": group, "ackId": ack_id }), Kind::LeaveGroup(request))
            }
            2 => (
                json!({ "type": "sendToGroup", "group": group, "ackId": ack_id, "noEcho": no_echo,
                    "stream": { "streamId": stream_id, "idleTimeoutMs": number } }),
                Kind::SendToGroup(sent(None, Some(wire::StreamStart { stream_id, idle_timeout_ms }))),
            ),
            _ => (
                self.with_payload(json!({ "type": "sendToGroup", "group": group, "ackId": ack_id,
                    "noEcho": no_echo, "ttlSeconds": number })),
                Kind::SendToGroup(sent(Some(self.data.clone()), None)),
            ),
        };
        Notations { json, protobuf }
    }

    fn other_message(&self) -> Notations {
        use wire::ClientFrameKind as Kind;
        let Members { group, ack_id, number, has_data, .. } = self;
        let (event, stream_id, number) = (self.name.clone(), self.name.clone(), number.map(u64::from));
        let (invocation_id, data) = (group.clone(), Some(self.data.clone()));
        let (json, protobuf) = match self.kind {
            5 => (
                self.with_payload(json!({ "type": "event", "event": event, "ackId": ack_id })),
                Kind::Event(wire::Event { event, data, ack_id: *ack_id }),
            ),
            6 => {
                let json =
                    json!({ "type": "invoke", "invocationId": group, "target": "event", "event": event });
                let data = data.filter(|_| *has_data);
                let json = if *has_data { self.with_payload(json) } else { json };
                (json, Kind::Invoke(wire::Invoke { event, invocation_id, data }))
            }
            7 => {
                let json = json!({ "type": "streamData", "streamId": stream_id, "streamSequenceId": number });
                let data = data.filter(|_| *has_data);
                let json = if *has_data { self.with_payload(json) } else { json };
                (json, Kind::StreamData(wire::StreamData { stream_id, stream_sequence_id: number, data }))
            }
            8 => {
                let reason = wire::StreamEndReason { message: Some(group.clone()), user_error_code: None };
                let json =
                    json!({ "type": "streamEnd", "streamId": stream_id, "error": { "message": group } });
                (json, Kind::StreamEnd(wire::StreamEnd { stream_id, error: Some(reason) }))
            }
            _ if *has_data => (json!({ "type": "ping" }), Kind::Ping(wire::Empty {})),
            _ => (
                json!({ "type": "cancelInvocation", "invocationId": group }),
                Kind::CancelInvocation(wire::CancelInvocation { invocation_id }),
            ),
        };
        Notations { json, protobuf }
    }
}

/// The JSON notation; data of the type `json` is written as it is.
fn json_text(value: &Value) -> String {
    let raw = value["data"].as_str().filter(|_| value["dataType"] == "json").map(str::to_owned);
    let Some(raw) = raw else { return value.to_string() };
    let mut value = value.clone();
    value["data"] = json!("\u{1}");
    value.to_string().replace(r#""\u0001""#, &raw)
}

proptest! {
    #[test]
    fn the_subprotocols_have_the_same_meaning(message in client_messages()) {
        let json = Bytes::from(json_text(&message.json));
        let protobuf = wire::ClientFrame { message: Some(message.protobuf) }.encode_to_vec().into();
        let expected = decode(Subprotocol::Json, true, &json).ok();
        prop_assert_eq!(decode(Subprotocol::JsonReliable, false, &json).ok(), expected.clone());
        prop_assert_eq!(decode(Subprotocol::Protobuf, false, &protobuf).ok(), expected.clone());
        prop_assert_eq!(decode(Subprotocol::ProtobufReliable, false, &protobuf).ok(), expected);
    }

    #[test]
    fn a_publication_is_the_same_in_every_subprotocol(
        (json_data, data) in payloads(), group in proptest::option::of("[a-z]{1,5}"), number in any::<u64>(),
    ) {
        let payload = match data.data.unwrap() {
            wire::Data::Text(bytes) => Payload::Text(bytes),
            wire::Data::Json(bytes) => Payload::Json(bytes),
            wire::Data::Binary(bytes) => Payload::Binary(bytes),
            wire::Data::Protobuf(bytes) => Payload::Protobuf(bytes),
        };
        let origin = match &group {
            None => Origin::Server,
            Some(group) => Origin::Group { group: group.as_str().into(), from_user: None },
        };
        let publication = Publication::new(origin, payload.clone());
        let text = String::from_utf8(delivered(Subprotocol::JsonReliable, &publication, number)).unwrap();
        let json: Value = serde_json::from_str(&text.replace("1e400", "1")).unwrap();
        prop_assert_eq!(&json["sequenceId"], &json!(number));
        prop_assert_eq!(json["group"].as_str(), group.as_deref());
        prop_assert_eq!(&json["dataType"], &json_data["dataType"]);
        let message = wire::ServiceFrame::decode(&*delivered(Subprotocol::ProtobufReliable, &publication, number)).unwrap();
        let Some(wire::ServiceFrameKind::Data(body)) = message.message else { panic!("a data message") };
        prop_assert_eq!((body.sequence_id, body.group), (Some(number), group));
        let expected = match payload {
            Payload::Text(bytes) | Payload::Json(bytes) => wire::Data::Text(bytes),
            Payload::Binary(bytes) => wire::Data::Binary(bytes),
            Payload::Protobuf(bytes) => wire::Data::Protobuf(bytes),
        };
        prop_assert_eq!(body.data.unwrap().data, Some(expected));
    }

    #[test]
    fn no_frame_causes_a_panic(frame in any::<Vec<u8>>(), is_text in any::<bool>()) {
        let frame = Bytes::from(frame);
        for subprotocol in Subprotocol::NAMED {
            let _ = decode(subprotocol, is_text, &frame);
        }
    }
}
