use super::*;

#[test]
fn protobuf_messages_have_the_bytes_of_the_interface() {
    assert_eq!(
        from_hex("32 05 0a 01 67 10 01"),
        Ok(ClientMessage::JoinGroup { group: "g".into(), ack_id: Some(1) })
    );
    assert_eq!(
        from_hex("0a 0d 0a 01 67 10 02 1a 04 0a 02 68 69 20 01"),
        Ok(ClientMessage::SendToGroup {
            group: "g".into(),
            ack_id: Some(2),
            no_echo: true,
            payload: text("hi"),
            ttl_seconds: None,
        })
    );
    assert_eq!(
        from_hex("2a 0b 0a 01 65 12 04 12 02 01 02 18 03"),
        Ok(ClientMessage::Event {
            event: "e".into(),
            ack_id: Some(3),
            payload: Payload::Binary(Bytes::from_static(&[1, 2])),
        })
    );
    assert_eq!(from_hex("42 02 08 07"), Ok(ClientMessage::SequenceAck { sequence_id: 7 }));
    assert_eq!(from_hex("4a 00"), Ok(ClientMessage::Ping));
    assert_eq!(
        from_hex("32 05 0a 01 67 10 00"),
        Ok(ClientMessage::JoinGroup { group: "g".into(), ack_id: Some(0) }),
        "an encoded 0 is an id"
    );
    for frame in ["ff ff ff", "9a 06 00", "32 00", "0a 03 0a 01 67", "0a 07 0a 01 67 1a 02 0a 01"] {
        assert!(from_hex(frame).is_err(), "{frame}");
    }
    assert!(decode(Subprotocol::ProtobufReliable, true, &bytes("4a 00")).is_err(), "a text frame");
}

#[test]
fn protobuf_controls_and_publications_have_the_bytes_of_the_interface() {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let control = |message| hex(control(Subprotocol::ProtobufReliable, &message));
    assert_eq!(control(ServerMessage::Ack { ack_id: 1, error: None }), "0a 04 08 01 10 01");
    assert_eq!(
        control(ServerMessage::Ack { ack_id: 1, error: Some(NamedError::new("Forbidden", "no")) }),
        "0a 15 08 01 10 00 1a 0f 0a 09 46 6f 72 62 69 64 64 65 6e 12 02 6e 6f"
    );
    assert_eq!(control(ServerMessage::Pong), "22 00");
    assert_eq!(
        control(ServerMessage::Connected {
            connection_id: "c1".into(),
            user_id: Some("u".into()),
            reconnection_token: Some("t".into()),
        }),
        "1a 0c 0a 0a 0a 02 63 31 12 01 75 1a 01 74"
    );
    assert_eq!(
        control(ServerMessage::Disconnected { message: "bye".into(), allows_reconnect: true }),
        "1a 07 12 05 12 03 62 79 65"
    );
    let group = Publication::new(Origin::Group { group: "g".into(), from_user: None }, text("hi"));
    let fields = "0a 05 67 72 6f 75 70 12 01 67 1a 04 0a 02 68 69";
    assert_eq!(hex(delivered(Subprotocol::ProtobufReliable, &group, 1)), format!("12 12 {fields} 20 01"));
    assert_eq!(hex(delivered(Subprotocol::Protobuf, &group, 1)), format!("12 10 {fields}"));
}
