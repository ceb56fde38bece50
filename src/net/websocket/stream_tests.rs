//! Tests of WebSocket connections as byte streams.

use super::*;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[tokio::test]
async fn bytes_pass_in_both_directions_and_a_close_frame_ends_the_stream() {
    let (client, server) = duplex(1000);
    let mut client = WebSocketStream::new(client, WebSocketRole::Client);
    let mut server = WebSocketStream::new(server, WebSocketRole::Server);
    let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let send = async {
        client.write_all(&sent).await.unwrap();
        client.queue_ping();
        client.shutdown().await.unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.unwrap();
        back
    };
    let receive = async {
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        server.write_all(b"done").await.unwrap();
        server.shutdown().await.unwrap();
        received
    };
    let (back, received) = tokio::join!(send, receive);
    assert_eq!((received, &back[..]), (sent, &b"done"[..]));
    assert_eq!((server.close_code(), client.close_code()), (Some(1000), Some(1000)));
}

#[tokio::test]
async fn a_ping_is_answered_and_an_end_without_close_frame_is_a_loss() {
    let (mut raw, server) = duplex(1000);
    let mut server = WebSocketStream::new(server, WebSocketRole::Server);
    raw.write_all(&[0x89, 0x81, 0, 0, 0, 0, b'x', 0x82, 0x81, 0, 0, 0, 0, b'y']).await.unwrap();
    let mut byte = [0; 1];
    server.read_exact(&mut byte).await.unwrap();
    let mut pong = [0; 3];
    raw.read_exact(&mut pong).await.unwrap();
    assert_eq!((byte, pong), (*b"y", [0x8a, 1, b'x']));
    drop(raw);
    let lost = server.read(&mut byte).await.unwrap_err();
    assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn violations_are_errors() {
    for bytes in [
        &[0x82, 1, b'x'][..],
        &[0xc2, 0x80],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x09, 0x80, 0, 0, 0, 0],
        &[0x88, 0x81, 0, 0, 0, 0, 1],
        &[0x88, 0xfe, 1, 0, 0, 0, 0, 0],
    ] {
        let (mut raw, server) = duplex(1000);
        raw.write_all(bytes).await.unwrap();
        let mut server = WebSocketStream::new(server, WebSocketRole::Server);
        let error = server.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut raw, server) = duplex(1 << 16);
            raw.write_all(&bytes).await.unwrap();
            drop(raw);
            let mut server = WebSocketStream::new(server, WebSocketRole::Server);
            let _ = server.read_to_end(&mut Vec::new()).await;
        });
    }
}
