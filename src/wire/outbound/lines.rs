//! An answer that never ends: its lines, as they come.

use super::{conversation::Conversation, odd};
use crate::{base::url::HttpUrl, pipeline::head::Head};
use std::{io, time::Duration};

/// The lines of an answer, for watches.
pub struct Lines {
    place: String,
    head: Head,
    conversation: Conversation,
    /// Received, and not given out yet.
    held: Vec<u8>,
    /// So much of it was searched for a line end.
    searched: usize,
    longest: usize,
}

impl Lines {
    pub(super) fn new(url: &HttpUrl, head: Head, conversation: Conversation, longest: usize) -> Lines {
        Lines { place: url.to_string(), head, conversation, held: Vec::new(), searched: 0, longest }
    }

    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The next line without its end; `None` when the answer is over. Nothing for longer than `idle` is an error.
    /// Waiting may be given up: what was received is kept.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<Vec<u8>>, String> {
        match tokio::time::timeout(idle, self.line()).await {
            Ok(line) => line.map_err(|error| format!("{}: {error}", self.place)),
            Err(_) => Err(format!("{}: nothing came for {idle:?}", self.place)),
        }
    }

    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.held[self.searched..]) {
                return Ok(Some(self.give(self.searched + at)));
            }
            self.searched = self.held.len();
            if self.held.len() > self.longest {
                return Err(odd(&format!("a line is longer than {} bytes", self.longest)));
            }
            if !self.conversation.part(&mut self.held).await? {
                self.searched = 0;
                return Ok((!self.held.is_empty()).then(|| std::mem::take(&mut self.held)));
            }
        }
    }

    fn give(&mut self, end: usize) -> Vec<u8> {
        let mut line: Vec<u8> = self.held.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.searched = 0;
        line
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Lines").field("place", &self.place).finish_non_exhaustive()
    }
}
