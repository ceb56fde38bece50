//! The header on a connection just accepted: who may say it, whether it must be there, and when.

use super::{MAX_V2_LEN, Parsed, ProxyAddresses, parse};
use crate::{
    base::ip_set::IpSet,
    net::{io::Stream, listener::Accepted},
    pipeline::error::{ErrorCode, GatewayError},
};
use std::{net::SocketAddr, time::Duration};
use tokio::io::AsyncReadExt;

/// Whether clients may come without a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Only trusted proxies come, and they always say for whom.
    #[default]
    Required,
    /// Trusted proxies may say for whom they come; everybody else comes for himself.
    Optional,
}

/// How a listener receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocolConfig {
    /// Whose word counts.
    pub trusted: IpSet,
    /// The word of everybody who comes through a socket of this machine counts.
    pub trust_unix: bool,
    pub mode: Mode,
    /// The time for the header.
    pub timeout: Duration,
}

/// Why a connection is closed without a word.
#[derive(Debug)]
pub enum ReceiveError {
    /// It ended before it began.
    Closed,
    Rejected(GatewayError),
}

impl ProxyProtocolConfig {
    /// The connection, and its two ends as the header tells them.
    pub async fn receive(
        &self,
        accepted: Accepted,
    ) -> Result<(Stream, SocketAddr, SocketAddr), ReceiveError> {
        let Accepted { io, peer, local, unix } = accepted;
        if !self.trusts(peer, unix) {
            return match self.mode {
                Mode::Optional => Ok((io, peer, local)),
                Mode::Required => {
                    Err(rejection(ErrorCode::ProxyUntrusted, "the client is none of the trusted proxies"))
                }
            };
        }
        match tokio::time::timeout(self.timeout, self.header(io)).await {
            Ok(Ok((io, Some(ProxyAddresses { source: from, destination: to })))) => Ok((io, from, to)),
            Ok(Ok((io, None))) => Ok((io, peer, local)),
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(rejection(ErrorCode::ProxyTimeout, "the header was not complete in time")),
        }
    }

    fn trusts(&self, peer: SocketAddr, unix: bool) -> bool {
        if unix { self.trust_unix } else { self.trusted.contains(peer.ip()) }
    }

    /// Takes the header off the connection; what was read behind it is put back.
    async fn header(&self, io: Stream) -> Result<(Stream, Option<ProxyAddresses>), ReceiveError> {
        let mut stream = io.into_plain().ok_or(ReceiveError::Closed)?;
        let (mut space, mut read) = ([0; MAX_V2_LEN], 0);
        loop {
            match stream.read(&mut space[read..]).await {
                Ok(n @ 1..) => read += n,
                _ if read == 0 => return Err(ReceiveError::Closed),
                _ => return Err(rejection(ErrorCode::ProxyHeader, "the connection ended within the header")),
            }
            let bytes = &space[..read];
            let (ends, length) = match parse(bytes) {
                // There is room: a header that is longer than all of it is wrong.
                Ok(Parsed::Incomplete) => continue,
                Ok(Parsed::Header { parse_addresses: ends, length }) => (ends, length),
                Ok(Parsed::Absent) if self.mode == Mode::Optional => (None, 0),
                Ok(Parsed::Absent) => return Err(rejection(ErrorCode::ProxyHeader, "there is no header")),
                Err(wrong) => return Err(rejection(ErrorCode::ProxyHeader, wrong.0)),
            };
            stream.rewind(&bytes[length..]);
            return Ok((Stream::new(stream), ends));
        }
    }
}

fn rejection(why: ErrorCode, detail: &'static str) -> ReceiveError {
    ReceiveError::Rejected(GatewayError::new(why, detail))
}
