//! Frames of agents and devices on a WebSocket: any bytes are payload, control frames or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::net::websocket::{WebSocketRole, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

fuzz_target!(|bytes: &[u8]| {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    runtime.block_on(async {
        let (mut peer, io) = duplex(bytes.len() + 1024);
        if peer.write_all(bytes).await.is_ok() {
            drop(peer);
            let mut payload = Vec::new();
            let _ = WebSocketStream::new(io, WebSocketRole::Server).read_to_end(&mut payload).await;
            assert!(payload.len() <= bytes.len());
        }
    });
});
