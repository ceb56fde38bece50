//! The lines of a streaming response, as they are received.

use super::{connection::Connection, request::invalid_data};
use crate::{base::url::HttpUrl, pipeline::head::Head};
use std::{io, time::Duration};

/// The lines of a streaming response, for watches.
pub struct LineStream {
    address: String,
    head: Head,
    connection: Connection,
    /// Received and not returned yet.
    buffered: Vec<u8>,
    /// How much of `buffered` was searched for a line end.
    scanned: usize,
    max_line: usize,
}

impl LineStream {
    pub(super) fn new(url: &HttpUrl, head: Head, connection: Connection, max_line: usize) -> LineStream {
        LineStream { address: url.to_string(), head, connection, buffered: Vec::new(), scanned: 0, max_line }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The next line without its end; `None` at the end of the response. Receiving nothing for `idle` is an error.
    /// Cancel-safe: received bytes are kept.
    pub async fn next_line(&mut self, idle: Duration) -> Result<Option<Vec<u8>>, String> {
        match tokio::time::timeout(idle, self.line()).await {
            Ok(line) => line.map_err(|error| format!("{}: {error}", self.address)),
            Err(_) => Err(format!("{}: nothing received for {idle:?}", self.address)),
        }
    }

    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffered[self.scanned..]) {
                return Ok(Some(self.take_line(self.scanned + at)));
            }
            self.scanned = self.buffered.len();
            if self.buffered.len() > self.max_line {
                return Err(invalid_data(&format!("a line is longer than {} bytes", self.max_line)));
            }
            if !self.connection.read_chunk(&mut self.buffered).await? {
                self.scanned = 0;
                return Ok((!self.buffered.is_empty()).then(|| std::mem::take(&mut self.buffered)));
            }
        }
    }

    fn take_line(&mut self, end: usize) -> Vec<u8> {
        let mut line: Vec<u8> = self.buffered.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.scanned = 0;
        line
    }
}

impl std::fmt::Debug for LineStream {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("LineStream").field("address", &self.address).finish_non_exhaustive()
    }
}
