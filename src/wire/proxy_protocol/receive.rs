//! The header on a connection just accepted: who may say it, whether it must be there, and when.

use super::{Ends, LONGEST, Parsed, parse};
use crate::{
    base::ip::IpSet,
    pipeline::cause::{Cause, Why},
    wire::{io::Io, listen::Accepted},
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
pub struct Reception {
    /// Whose word counts.
    pub trusted: IpSet,
    /// The word of everybody who comes through a socket of this machine counts.
    pub unix: bool,
    pub mode: Mode,
    /// The time for the header.
    pub limit: Duration,
}

/// Why a connection is closed without a word.
#[derive(Debug)]
pub enum Refusal {
    /// It ended before it began.
    Gone,
    For(Cause),
}

impl Reception {
    /// The connection, and its two ends as the header tells them.
    pub async fn receive(&self, accepted: Accepted) -> Result<(Io, SocketAddr, SocketAddr), Refusal> {
        let Accepted { io, peer, local, unix } = accepted;
        if !self.trusts(peer, unix) {
            return match self.mode {
                Mode::Optional => Ok((io, peer, local)),
                Mode::Required => {
                    Err(refused(Why::ProxyUntrusted, "the client is none of the trusted proxies"))
                }
            };
        }
        match tokio::time::timeout(self.limit, self.header(io)).await {
            Ok(Ok((io, Some(Ends { from, to })))) => Ok((io, from, to)),
            Ok(Ok((io, None))) => Ok((io, peer, local)),
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(refused(Why::ProxyLate, "the header was not complete in time")),
        }
    }

    fn trusts(&self, peer: SocketAddr, unix: bool) -> bool {
        if unix { self.unix } else { self.trusted.contains(peer.ip()) }
    }

    /// Takes the header off the connection; what was read behind it is put back.
    async fn header(&self, io: Io) -> Result<(Io, Option<Ends>), Refusal> {
        let mut stream = io.into_plain().ok_or(Refusal::Gone)?;
        let (mut space, mut read) = ([0; LONGEST], 0);
        loop {
            match stream.read(&mut space[read..]).await {
                Ok(n @ 1..) => read += n,
                _ if read == 0 => return Err(Refusal::Gone),
                _ => return Err(refused(Why::ProxyHeader, "the connection ended within the header")),
            }
            let bytes = &space[..read];
            let (ends, length) = match parse(bytes) {
                // There is room: a header that is longer than all of it is wrong.
                Ok(Parsed::More) => continue,
                Ok(Parsed::Header { ends, length }) => (ends, length),
                Ok(Parsed::None) if self.mode == Mode::Optional => (None, 0),
                Ok(Parsed::None) => return Err(refused(Why::ProxyHeader, "there is no header")),
                Err(wrong) => return Err(refused(Why::ProxyHeader, wrong.0)),
            };
            stream.rewind(&bytes[length..]);
            return Ok((Io::new(stream), ends));
        }
    }
}

fn refused(why: Why, detail: &'static str) -> Refusal {
    Refusal::For(Cause::new(why, detail))
}
