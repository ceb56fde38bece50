//! After a 101 the bytes of both sides pass unchanged, and so do their ends.

use super::document;
use crate::support::client::RESPONSE_TIMEOUT;
use crate::support::gateway::Gateway;
use crate::support::http1_reader::Http1Stream;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::websocket::{agreement, opening};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// The script of one side.
#[derive(Clone, Debug, Default)]
struct Side {
    /// The bytes it sends, each piece with its own call.
    pieces: Vec<Vec<u8>>,
    /// The first piece is sent together with the head.
    together: bool,
    /// The last piece is sent only after the other side has ended.
    last: bool,
}

impl Side {
    fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// The bytes sent with the head, and the bytes after it.
    fn split(&self) -> (&[u8], &[Vec<u8>]) {
        match self.pieces.split_first() {
            Some((first, rest)) if self.together => (first, rest),
            _ => (&[], &self.pieces),
        }
    }

    /// Sends the remaining bytes, closes, and returns everything received until the peer's end.
    fn play(&self, wire: &mut Http1Stream) -> Vec<u8> {
        let mut came = wire.take();
        let mut reader = wire.stream.try_clone().expect("a second handle");
        let reading = std::thread::spawn(move || {
            let mut more = Vec::new();
            let _ = reader.read_to_end(&mut more);
            more
        });
        let (_, rest) = self.split();
        let (now, later) = rest.split_at(if self.last { rest.len().saturating_sub(1) } else { rest.len() });
        now.iter().for_each(|piece| _ = wire.send(piece));
        if self.last {
            came.extend(reading.join().expect("no panic"));
            later.iter().for_each(|piece| _ = wire.send(piece));
            wire.finish();
            return came;
        }
        wire.finish();
        came.extend(reading.join().expect("no panic"));
        came
    }
}

/// A backend that plays the given scripts, one per connection, and reports what it received.
struct ScriptedPeer {
    service: ScriptedBackend,
    tell: Sender<Side>,
    came: Receiver<Vec<u8>>,
}

impl ScriptedPeer {
    fn start() -> ScriptedPeer {
        let ((tell, told), (say, came)) = (channel::<Side>(), channel());
        let (told, say) = (Mutex::new(told), Mutex::new(say));
        let service = ScriptedBackend::start(move |wire, _| {
            let Ok(head) = wire.head() else { return };
            let Ok(side) = told.lock().expect("no panic").try_recv() else { return };
            let mut first = agreement(&head, "").into_bytes();
            first.extend_from_slice(side.split().0);
            wire.send(&first);
            let _ = say.lock().expect("no panic").send(side.play(wire));
        });
        ScriptedPeer { service, tell, came }
    }

    fn gateway(&self) -> Gateway {
        Gateway::with(&document(self.service.port(), &json!({}), &json!({})))
    }

    /// One connection; the bytes that the client received, and those of the backend.
    fn meets(&self, gateway: &Gateway, client: &Side, service: &Side) -> (Vec<u8>, Vec<u8>) {
        self.tell.send(service.clone()).expect("it runs");
        let mut wire = opened(gateway, client.split().0);
        let back = client.play(&mut wire);
        (back, self.came.recv_timeout(RESPONSE_TIMEOUT).expect("it ended"))
    }
}

/// A connection after its 101, with bytes sent directly after the handshake.
fn opened(gateway: &Gateway, behind: &[u8]) -> Http1Stream {
    let mut wire = Http1Stream::new(TcpStream::connect(gateway.address).expect("a connection"));
    wire.read_timeout(RESPONSE_TIMEOUT);
    let mut first = opening("/").bytes("gw");
    first.extend_from_slice(behind);
    wire.send(&first);
    let head = wire.head().expect("a response");
    assert!(head.start.contains(" 101 "), "{}", head.start);
    wire
}

/// A frame with arbitrary header bits, and the length that it announces.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => 0_usize..126, 2 => 126_usize..2000, 1 => 65_530_usize..65_600];
    (any::<u8>(), any::<Option<[u8; 4]>>(), length, any::<u8>()).prop_map(|(first, mask, length, fill)| {
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(bit | length as u8),
            126..65_536 => {
                frame.push(bit | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
        frame.resize(frame.len() + length, fill);
        frame
    })
}

/// Valid and invalid frames, closes with arbitrary codes, and noise.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let close = any::<[u8; 2]>().prop_map(|[a, b]| vec![0x88, 2, a, b]);
    let noise = proptest::collection::vec(any::<u8>(), 0..300);
    let part = prop_oneof![4 => frame(), 1 => close, 2 => noise];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// One side, with its bytes cut at arbitrary positions.
fn side() -> impl Strategy<Value = Side> {
    let cuts = proptest::collection::vec(any::<proptest::sample::Index>(), 0..6);
    (said(), cuts, any::<bool>()).prop_map(|(bytes, cuts, together)| {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect();
        Side { pieces, together, last: false }
    })
}

#[test]
fn arbitrary_bytes_pass_unchanged_in_both_directions() {
    let scripted = ScriptedPeer::start();
    let gateway = scripted.gateway();
    let strategy = (side(), side(), 0..3);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&strategy, |(mut client, mut service, later)| {
        (client.last, service.last) = (later == 1, later == 2);
        let (to_client, to_service) = scripted.meets(&gateway, &client, &service);
        prop_assert!(to_client == service.bytes(), "{} bytes to the client", to_client.len());
        prop_assert!(to_service == client.bytes(), "{} bytes to the service", to_service.len());
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn messages_of_16_mib_pass_in_both_directions_concurrently() {
    let scripted = ScriptedPeer::start();
    let gateway = scripted.gateway();
    let message = |seed: u32| {
        let mut frame = vec![0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0];
        frame.extend((0..16_u32 << 20).map(|n| (n.wrapping_mul(seed) >> 13) as u8));
        Side { pieces: vec![frame], ..Side::default() }
    };
    let (client, service) = (message(2_654_435_761), message(40_503));
    let (to_client, to_service) = scripted.meets(&gateway, &client, &service);
    assert!(to_client == service.bytes() && to_service == client.bytes());
}

/// Ends a connection with a reset.
fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("an option");
}

#[test]
fn a_client_reset_closes_the_backend_side_at_once() {
    let scripted = ScriptedPeer::start();
    let gateway = scripted.gateway();
    scripted.tell.send(Side { last: true, ..Side::default() }).expect("it runs");
    let mut wire = opened(&gateway, b"");
    wire.send(b"\x81\x80\0\0\0\0");
    reset(&wire.stream);
    let began = Instant::now();
    drop(wire);
    let came = scripted.came.recv_timeout(RESPONSE_TIMEOUT).expect("it ended");
    assert!(b"\x81\x80\0\0\0\0".starts_with(&came), "{came:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_backend_reset_closes_the_client_side_at_once() {
    let service = ScriptedBackend::start(|wire, _| {
        let head = wire.head().expect("a request");
        wire.send(agreement(&head, "").as_bytes());
        let _ = wire.fill();
        reset(&wire.stream);
    });
    let gateway = Gateway::with(&document(service.port(), &json!({}), &json!({})));
    let mut wire = opened(&gateway, b"");
    wire.send(b"go");
    let began = Instant::now();
    assert_eq!(wire.drain(), Some(Vec::new()));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn data_sent_after_a_backend_half_close_arrives() {
    let service = ScriptedBackend::start(|wire, _| {
        let head = wire.head().expect("a request");
        wire.send(agreement(&head, "").as_bytes());
        let _ = wire.fill();
        // Closed with unread input: the kernel sends a reset after these bytes.
        wire.send(b"\x88\x02\x03\xea");
    });
    let gateway = Gateway::with(&document(service.port(), &json!({}), &json!({})));
    for _ in 0..20 {
        let mut wire = opened(&gateway, b"");
        let mut writer = wire.stream.try_clone().expect("a second handle");
        let talking = std::thread::spawn(move || {
            for _ in 0..16 {
                if writer.write_all(&[0; 16 * 1024]).is_err() {
                    return;
                }
            }
        });
        let received = wire.drain();
        let _ = wire.stream.shutdown(Shutdown::Both);
        let _ = talking.join();
        assert_eq!(received.as_deref(), Some(&b"\x88\x02\x03\xea"[..]));
    }
}
