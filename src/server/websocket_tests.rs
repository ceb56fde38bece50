use super::*;
use crate::server::scripted_client::ScriptedClient;
use std::task::Waker;

const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A text frame with four bytes.
const FRAME: &[u8] = b"\x81\x04abcd";

fn config() -> TunnelConfig {
    TunnelConfig { idle_timeout: IDLE_TIMEOUT, certificate_expires_at: None, metrics: Arc::default() }
}

/// A side that sends these bytes and then stays connected.
fn open(chunks: &[&'static [u8]]) -> ScriptedClient {
    ScriptedClient { stalls: true, ..ScriptedClient::with_body(chunks) }
}

/// Runs a tunnel between two scripted sides until it ends.
async fn run_between(client: &mut ScriptedClient, backend: &mut ScriptedClient) -> CloseReason {
    let config = config();
    let mut tunnel = Tunnel::new(&config);
    poll_fn(|cx| tunnel.poll(cx, client, &mut *backend)).await
}

fn poll_once(
    tunnel: &mut Tunnel,
    client: &mut ScriptedClient,
    backend: &mut ScriptedClient,
) -> Poll<CloseReason> {
    tunnel.poll(&mut Context::from_waker(Waker::noop()), client, backend)
}

#[tokio::test]
async fn bytes_are_copied_both_ways_until_both_sides_end() {
    let (config, drain) = (config(), Drain::default());
    let metrics = config.metrics.clone();
    let mut client = ScriptedClient::with_body(&[b"ping", b"!"]);
    let backend = Box::new(ScriptedClient::with_body(&[b"pong"]));
    assert_eq!(run(&mut client, backend, config, &drain).await, CloseReason::Closed);
    assert_eq!((client.body.as_slice(), client.is_ended), (&b"pong"[..], true));
    assert_eq!((metrics.bytes(), metrics.totals()), ([5, 4], (1, 0)), "five bytes up, four down, none open");
}

#[tokio::test]
async fn a_slow_receiver_stops_the_sender() {
    let config = config();
    let mut tunnel = Tunnel::new(&config);
    let mut client = open(&[b"1234", b"5678"]);
    let mut backend = ScriptedClient { max_receive_bytes: Some(5), ..open(&[]) };
    assert!(poll_once(&mut tunnel, &mut client, &mut backend).is_pending());
    assert_eq!((backend.body.as_slice(), client.chunks.len()), (&b"12345"[..], 1));
    backend.max_receive_bytes = None;
    assert!(poll_once(&mut tunnel, &mut client, &mut backend).is_pending());
    assert_eq!(backend.body, b"12345678");
}

#[tokio::test]
async fn a_reset_connection_aborts_the_tunnel() {
    let mut client = ScriptedClient { is_reset: true, ..open(&[]) };
    let mut backend = open(&[]);
    assert_eq!(run_between(&mut client, &mut backend).await, CloseReason::Aborted);
    assert!(!backend.is_ended, "the backend sees no clean end");
}

#[tokio::test(start_paused = true)]
async fn a_silent_tunnel_ends_after_the_idle_timeout() {
    let start = tokio::time::Instant::now();
    let reason = run_between(&mut open(&[FRAME]), &mut open(&[])).await;
    assert_eq!(reason, CloseReason::IdleTimeout);
    assert!(start.elapsed() >= IDLE_TIMEOUT, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_other_side_has_ten_seconds_after_one_has_ended() {
    let start = tokio::time::Instant::now();
    let (mut client, mut backend) = (ScriptedClient::with_body(&[FRAME]), open(&[]));
    assert_eq!(run_between(&mut client, &mut backend).await, CloseReason::Closed);
    assert_eq!((backend.body.as_slice(), backend.is_ended), (FRAME, true), "the end is passed on");
    assert!(start.elapsed() >= HALF_CLOSE_TIMEOUT && start.elapsed() < IDLE_TIMEOUT, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_ends_with_close_frames_when_the_client_certificate_expires() {
    let start = tokio::time::Instant::now();
    let expires_at = Some((start + Duration::from_secs(5)).into_std());
    let config = TunnelConfig { certificate_expires_at: expires_at, ..config() };
    let (mut client, backend) = (open(&[]), Box::new(open(&[])));
    let reason = run(&mut client, backend, config, &Drain::default()).await;
    assert_eq!((reason, client.body.as_slice()), (CloseReason::CertificateExpired, &GOING_AWAY[..]));
    assert_eq!(start.elapsed().as_secs(), 5 + HALF_CLOSE_TIMEOUT.as_secs(), "the other side did not answer");
}

#[tokio::test]
async fn both_sides_receive_a_close_frame_when_the_gateway_drains() {
    let config = config();
    let mut tunnel = Tunnel::new(&config);
    tunnel.draining = true;
    let (mut client, mut backend) = (open(&[]), open(&[]));
    assert!(poll_once(&mut tunnel, &mut client, &mut backend).is_pending());
    assert_eq!(client.body, GOING_AWAY);
    let mask = backend.body[2..6].try_into().unwrap();
    assert_eq!(backend.body, masked_going_away_frame(mask));
}

#[tokio::test]
async fn a_frame_in_progress_is_completed_before_the_close_frame_and_no_frame_follows() {
    let config = config();
    let mut tunnel = Tunnel::new(&config);
    let (mut client, mut backend) = (open(&[]), open(&[&FRAME[..3]]));
    assert!(poll_once(&mut tunnel, &mut client, &mut backend).is_pending());
    tunnel.draining = true;
    assert!(poll_once(&mut tunnel, &mut client, &mut backend).is_pending());
    assert_eq!(client.body, FRAME[..3], "no close frame within a frame");
    // The rest of the frame and the next one arrive together.
    backend.chunks.push_back(b"bcd\x81\x04next");
    assert!(poll_once(&mut tunnel, &mut client, &mut backend).is_pending());
    assert_eq!(client.body, [FRAME, &GOING_AWAY].concat());
    assert!(backend.chunks.is_empty(), "later frames are read and dropped");
}
