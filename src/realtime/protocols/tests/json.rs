use super::*;

#[test]
fn json_messages_are_decoded() {
    for (frame, message) in [
        (
            r#"{"type":"joinGroup","group":"g","ackId":18446744073709551615}"#,
            ClientMessage::JoinGroup { group: "g".into(), ack_id: Some(u64::MAX) },
        ),
        (
            r#"{"group":"g","extra":[{}],"ackId":null,"type":"leaveGroup"}"#,
            ClientMessage::LeaveGroup { group: "g".into(), ack_id: None },
        ),
        (
            r#"{"type":"event","event":"e","ackId":0,"dataType":"text","data":"\u00e9"}"#,
            ClientMessage::Event { event: "e".into(), ack_id: Some(0), payload: text("é") },
        ),
        (r#" {"type":"ping","group":5}"#, ClientMessage::Ping),
        (r#"{"type":"sequenceAck","sequenceId":7}"#, ClientMessage::SequenceAck { sequence_id: 7 }),
        (
            r#"{"type":"sendToGroup","group":"g","dataType":"binary","data":"AAE="}"#,
            send("g", Payload::Binary(Bytes::from_static(&[0, 1]))),
        ),
        (
            r#"{"type":"invoke","invocationId":"0","target":"event","event":"ask"}"#,
            ClientMessage::Invoke { invocation_id: "0".into(), event: "ask".into(), payload: text("") },
        ),
        (
            r#"{"type":"cancelInvocation","invocationId":"0"}"#,
            ClientMessage::CancelInvocation { invocation_id: "0".into() },
        ),
    ] {
        assert_eq!(from_json(frame), Ok(message), "{frame}");
    }
}

#[test]
fn json_messages_of_streams_are_decoded() {
    for (frame, message) in [
        (
            r#"{"type":"sendToGroup","group":"g","stream":{"streamId":"s","idleTimeoutMs":5}}"#,
            ClientMessage::OpenStream {
                group: "g".into(),
                ack_id: None,
                no_echo: false,
                stream_id: "s".into(),
                idle_timeout_ms: Some(5),
            },
        ),
        (
            r#"{"type":"streamData","streamId":"s"}"#,
            ClientMessage::StreamData { stream_id: "s".into(), sequence_id: None, payload: None },
        ),
        (
            r#"{"type":"streamEnd","streamId":"s","error":{"message":"m","userErrorCode":"E"}}"#,
            ClientMessage::StreamEnd {
                stream_id: "s".into(),
                error: Some(UserError { message: Some("m".into()), user_error_code: Some("E".into()) }),
            },
        ),
    ] {
        assert_eq!(from_json(frame), Ok(message), "{frame}");
    }
}

#[test]
fn the_text_of_json_data_is_kept() {
    let data = r#"{"n":1.0,"big":12345678901234567890,"e":1e400,"k":{"b":1,"a":2}}"#;
    let frame = format!(r#"{{"type":"sendToGroup","group":"g","data":{data}}}"#);
    assert_eq!(from_json(&frame), Ok(send("g", Payload::Json(Bytes::copy_from_slice(data.as_bytes())))));
    let null = r#"{"type":"sendToGroup","group":"g","dataType":null,"data":null}"#;
    assert_eq!(from_json(null), Ok(send("g", Payload::Json(Bytes::from_static(b"null")))));
}

#[test]
fn invalid_json_messages_have_a_reason() {
    for frame in [
        "",
        "[]",
        r#"["ping"]"#,
        r#"{"type":"joinGroup","#,
        r#"{"type":"dance"}"#,
        r#"{"type":5}"#,
        r#"{"group":"g"}"#,
        r#"{"type":"joinGroup"}"#,
        r#"{"type":"joinGroup","group":5}"#,
        r#"{"type":"joinGroup","group":" \t"}"#,
        r#"{"type":"joinGroup","group":"g","ackId":-1}"#,
        r#"{"type":"joinGroup","group":"g","ackId":1.5}"#,
        r#"{"type":"joinGroup","group":"g","ackId":"1"}"#,
        r#"{"type":"joinGroup","group":"g","ackId":18446744073709551616}"#,
        r#"{"type":"joinGroup","group":"g","group":"h"}"#,
        r#"{"type":"sendToGroup","group":"g"}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"text","data":5}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"binary","data":"*"}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"binary","data":[1]}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"protobuf","data":"/w=="}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"yaml","data":"x"}"#,
        r#"{"type":"sendToGroup","group":"g","noEcho":"yes","data":1}"#,
        r#"{"type":"sendToGroup","group":"g","stream":{}}"#,
        r#"{"type":"event","event":"","data":1}"#,
        r#"{"type":"sequenceAck"}"#,
        r#"{"type":"invoke","invocationId":"0","target":"server","event":"e","data":1}"#,
        r#"{"type":"invoke","target":"event","event":"e","data":1}"#,
        r#"{"type":"streamData","streamId":"s","streamSequenceId":1}"#,
        r#"{"type":"streamData","streamId":"s","data":1}"#,
    ] {
        assert!(!from_json(frame).unwrap_err().is_empty(), "{frame}");
    }
    let deep = format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert!(from_json(&deep).is_err());
    assert!(
        decode(Subprotocol::Json, false, &Bytes::from_static(b"{\"type\":\"ping\",\"x\":\"\xff\"}")).is_err()
    );
}

#[test]
fn json_controls_have_their_members_in_order() {
    let failed = |name| Some(NamedError::new(name, "no"));
    let connected = |user_id: Option<&str>, token: Option<&str>| ServerMessage::Connected {
        connection_id: "c".into(),
        user_id: user_id.map(Into::into),
        reconnection_token: token.map(Into::into),
    };
    let response = |result| ServerMessage::InvokeResponse { invocation_id: "0".into(), result };
    for (message, expected) in [
        (
            connected(Some("u"), None),
            r#"{"type":"system","event":"connected","userId":"u","connectionId":"c"}"#,
        ),
        (
            connected(None, Some("t")),
            r#"{"type":"system","event":"connected","connectionId":"c","reconnectionToken":"t"}"#,
        ),
        (
            ServerMessage::Disconnected { message: "a\"b".into(), allows_reconnect: true },
            r#"{"type":"system","event":"disconnected","message":"a\"b"}"#,
        ),
        (ServerMessage::Ack { ack_id: 1, error: None }, r#"{"type":"ack","ackId":1,"success":true}"#),
        (
            ServerMessage::Ack { ack_id: 1, error: failed("Forbidden") },
            r#"{"type":"ack","ackId":1,"success":false,"error":{"name":"Forbidden","message":"no"}}"#,
        ),
        (
            response(Ok(Some(Payload::Json(Bytes::from_static(b"{}"))))),
            r#"{"type":"invokeResponse","invocationId":"0","success":true,"dataType":"json","data":{}}"#,
        ),
        (response(Ok(None)), r#"{"type":"invokeResponse","invocationId":"0","success":true}"#),
        (
            response(Err(NamedError::new("E", ""))),
            r#"{"type":"invokeResponse","invocationId":"0","success":false,"error":{"name":"E","message":""}}"#,
        ),
    ] {
        assert_eq!(json_control(&message), expected);
        assert!(control(Subprotocol::Simple, &message).is_empty());
    }
}

#[test]
fn a_pong_has_only_its_type() {
    assert_eq!(json_control(&ServerMessage::Pong), r#"{"type":"pong"}"#);
}

#[test]
fn json_controls_of_streams_have_their_members_in_order() {
    let failed = |name| Some(NamedError::new(name, "no"));
    for (message, expected) in [
        (
            ServerMessage::StreamAck { stream_id: "s".into(), expected_sequence_id: 2 },
            r#"{"type":"streamAck","streamId":"s","expectedSequenceId":2}"#,
        ),
        (
            ServerMessage::StreamNack {
                stream_id: "s".into(),
                expected_sequence_id: 2,
                error: NamedError::new("InvalidSequenceId", "no"),
            },
            r#"{"type":"streamNack","streamId":"s","expectedSequenceId":2,"name":"InvalidSequenceId","message":"no"}"#,
        ),
        (
            ServerMessage::StreamClosed { stream_id: "s".into(), error: None },
            r#"{"type":"streamClosed","streamId":"s"}"#,
        ),
        (
            ServerMessage::StreamClosed { stream_id: "s".into(), error: failed("StreamNotFound") },
            r#"{"type":"streamClosed","streamId":"s","error":{"name":"StreamNotFound","message":"no"}}"#,
        ),
    ] {
        assert_eq!(json_control(&message), expected);
        assert!(control(Subprotocol::Simple, &message).is_empty());
    }
}

#[test]
fn json_publications_have_their_members_in_order_and_the_number_first() {
    let from_server = Publication::new(Origin::Server, Payload::Json(Bytes::from_static(b"{\"a\":1.0}")));
    let json = |publication: &Publication, protocol, number| {
        String::from_utf8(delivered(protocol, publication, number)).unwrap()
    };
    assert_eq!(
        json(&from_server, Subprotocol::Json, 9),
        r#"{"type":"message","from":"server","dataType":"json","data":{"a":1.0}}"#
    );
    assert_eq!(
        json(&from_server, Subprotocol::JsonReliable, u64::MAX),
        r#"{"sequenceId":18446744073709551615,"type":"message","from":"server","dataType":"json","data":{"a":1.0}}"#
    );
    let origin = Origin::Group { group: "g".into(), from_user: Some("u".into()) };
    let error =
        StreamEndError { name: "UserError".into(), message: "m".into(), user_error_code: Some("E".into()) };
    let part =
        StreamPart { stream_id: "s".into(), sequence_id: 2, end: Some(StreamEnd { error: Some(error) }) };
    let end = Publication::new(origin, text("")).with_stream(part);
    assert_eq!(
        json(&end, Subprotocol::Json, 0),
        concat!(
            r#"{"type":"message","from":"group","group":"g","dataType":"text","data":"","fromUserId":"u","#,
            r#""stream":{"streamId":"s","streamSequenceId":2,"endOfStream":true,"#,
            r#""error":{"name":"UserError","message":"m","userErrorCode":"E"}}}"#
        )
    );
    assert_eq!(delivered(Subprotocol::Simple, &from_server, 1), b"{\"a\":1.0}");
    assert!(encode_publication(Encoding::Simple, &from_server).is_text);
    let binary = Publication::new(Origin::Server, Payload::Binary(Bytes::from_static(&[1])));
    assert!(!encode_publication(Encoding::Simple, &binary).is_text);
    assert!(json(&binary, Subprotocol::Json, 0).ends_with(r#""dataType":"binary","data":"AQ=="}"#));
}
