//! The MQTT connection of a device.

use super::{
    hub::{DeviceHub, DeviceSession, MAX_OUTGOING},
    names::{STREAM_FILTER, is_known_filter, parse_answer, split_client_id},
};
use crate::net::{
    agents::{
        access::{Proof, admit_agent},
        names::is_agent_id,
    },
    mqtt::{
        Connect, PUBACK, PUBCOMP, PUBREC, Packet, UNSUBACK, connack, connack_code, decode, id_packet,
        pingresp, suback,
    },
};
use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// Time and size of what a client may send before it has proven who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_CONNECT_BYTES: usize = 16 * 1024;
/// Longest packet of a device, such as a message with its payload.
const MAX_PACKET_BYTES: usize = 300 * 1024;
/// How long a device may be silent that announces no keep-alive.
const DEFAULT_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long a device may take to read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub struct DevicePeer {
    pub address: SocketAddr,
    /// The client certificate of the connection.
    pub certificate: Option<Proof>,
}

/// A connection with what was received and not decoded yet.
struct PacketStream<T> {
    io: T,
    input: Vec<u8>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> PacketStream<T> {
    /// The next packet; `None` at the end of the connection.
    async fn next(&mut self, max_bytes: usize) -> io::Result<Option<Packet>> {
        loop {
            let decoded = decode(&self.input, max_bytes);
            match decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.0))? {
                Some((packet, length)) => {
                    self.input.drain(..length);
                    if self.input.is_empty() {
                        self.input = Vec::new();
                    }
                    return Ok(Some(packet));
                }
                None if self.io.read_buf(&mut self.input).await? == 0 => return Ok(None),
                None => {}
            }
        }
    }

    async fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let write = async {
            self.io.write_all(packet).await?;
            self.io.flush().await
        };
        tokio::time::timeout(WRITE_TIMEOUT, write).await?
    }
}

/// Serves a connection until it ends.
pub async fn serve<T: AsyncRead + AsyncWrite + Unpin>(io: T, hub: Arc<DeviceHub>, peer: DevicePeer) {
    let mut stream = PacketStream { io, input: Vec::new() };
    if let Err(error) = serve_packets(&mut stream, &hub, &peer).await {
        log::debug!("MQTT connection of {}: {error}", peer.address);
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.io.shutdown()).await;
}

async fn serve_packets<T: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut PacketStream<T>,
    hub: &Arc<DeviceHub>,
    peer: &DevicePeer,
) -> io::Result<()> {
    let proofs = &hub.registry.failed_proofs;
    let is_counted = !peer.address.ip().to_canonical().is_loopback();
    if is_counted && proofs.is_refused(peer.address.ip(), Instant::now()) {
        return Ok(());
    }
    let first = tokio::time::timeout(CONNECT_TIMEOUT, stream.next(MAX_CONNECT_BYTES)).await??;
    let Some(Packet::Connect(connect)) = first else { return Ok(()) };
    let proof = match admit(hub, &connect, peer) {
        Ok(proof) => proof,
        Err(code) => {
            if is_counted && matches!(code, connack_code::BAD_CREDENTIALS | connack_code::NOT_AUTHORIZED) {
                proofs.record(peer.address.ip(), Instant::now());
            }
            return stream.send(&connack(code)).await;
        }
    };
    let (outgoing, packets) = mpsc::channel(MAX_OUTGOING);
    let session = DeviceSession::new(&connect.client_id, proof, outgoing);
    hub.add(&session);
    let served = serve_session(stream, hub, &session, packets, connect.keep_alive).await;
    hub.remove(&session);
    served
}

/// The proof that admits the device, or the code of CONNACK.
fn admit(hub: &DeviceHub, connect: &Connect, peer: &DevicePeer) -> Result<Proof, u8> {
    if connect.level != 4 {
        return Err(connack_code::UNSUPPORTED_LEVEL);
    }
    let (device, module) = split_client_id(&connect.client_id);
    if !is_agent_id(device) || module.is_some_and(|module| !is_agent_id(module)) {
        return Err(connack_code::INVALID_CLIENT_ID);
    }
    let Some((config, settings)) = hub.settings() else { return Err(connack_code::NOT_AVAILABLE) };
    if hub.registry.is_draining() {
        return Err(connack_code::NOT_AVAILABLE);
    }
    let user = connect.user_name.as_deref().unwrap_or_default();
    let (host, rest) = user.split_once('/').unwrap_or_default();
    let is_own_host = settings.host_names.iter().any(|name| name.eq_ignore_ascii_case(host));
    let is_own_id =
        rest.strip_prefix(&*connect.client_id).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !is_own_host || !is_own_id {
        return Err(connack_code::BAD_CREDENTIALS);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let password = connect.password.as_deref().filter(|password| !password.is_empty());
    let proof = match password.map(|password| Proof::of_authorization(password, now)) {
        Some(Ok(Some(proof))) => proof,
        Some(_) => return Err(connack_code::NOT_AUTHORIZED),
        None => peer.certificate.clone().ok_or(connack_code::BAD_CREDENTIALS)?,
    };
    let hosts: Vec<&str> = settings.host_names.iter().map(|name| &**name).collect();
    let admitted = admit_agent(&config, (device, module), std::slice::from_ref(&proof), &hosts);
    admitted.map(|_| proof).map_err(|_| connack_code::NOT_AUTHORIZED)
}

async fn serve_session<T: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut PacketStream<T>,
    hub: &Arc<DeviceHub>,
    session: &Arc<DeviceSession>,
    mut packets: mpsc::Receiver<Vec<u8>>,
    keep_alive: u16,
) -> io::Result<()> {
    stream.send(&connack(connack_code::ACCEPTED)).await?;
    let silence = match keep_alive {
        0 => DEFAULT_KEEP_ALIVE_TIMEOUT,
        seconds => Duration::from_secs(u64::from(seconds)).mul_f64(1.5),
    };
    loop {
        tokio::select! {
            biased;
            () = session.ended() => return Ok(()),
            Some(packet) = packets.recv() => stream.send(&packet).await?,
            received = tokio::time::timeout(silence, stream.next(MAX_PACKET_BYTES)) => {
                let Some(packet) = received?? else { return Ok(()) };
                match respond(hub, session, packet) {
                    Some(response) if response.is_empty() => {}
                    Some(response) => stream.send(&response).await?,
                    None => return Ok(()),
                }
            }
        }
    }
}

/// What is sent for a packet; `None`: the connection is closed.
fn respond(hub: &DeviceHub, session: &DeviceSession, packet: Packet) -> Option<Vec<u8>> {
    let device = split_client_id(&session.client_id).0;
    Some(match packet {
        Packet::Connect(_) | Packet::Disconnect => return None,
        Packet::Ping => pingresp(),
        Packet::Acknowledgment => Vec::new(),
        Packet::Release { id } => id_packet(PUBCOMP, id),
        Packet::Unsubscribe { id } => {
            hub.accept_streams(session, false);
            id_packet(UNSUBACK, id)
        }
        Packet::Publish { topic, qos, id } => {
            if let Some((rid, is_accepted)) = parse_answer(&topic) {
                session.answer(rid, is_accepted);
            }
            match qos {
                0 => Vec::new(),
                1 => id_packet(PUBACK, id),
                _ => id_packet(PUBREC, id),
            }
        }
        Packet::Subscribe { id, filters } => {
            let codes = filters.iter().map(|(filter, qos)| match is_known_filter(filter, device) {
                true => (*qos).min(1),
                false => 0x80,
            });
            let packet = suback(id, &codes.collect::<Vec<u8>>());
            if filters.iter().any(|(filter, _)| filter == STREAM_FILTER) {
                hub.accept_streams(session, true);
            }
            packet
        }
    })
}
