//! What waits to be written to one client, and what a reliable client has not acknowledged yet.

use crate::net::websocket::{MAX_HEADER_BYTES, Opcode, header};
use crate::realtime::{
    message::{EncodedMessage, Publication},
    protocols::{Envelope, Subprotocol, encode_publication, envelope, signalr::Framing},
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{collections::VecDeque, sync::Arc, time::SystemTime};

/// The memory of a queue that stays allocated while it is empty, in entries.
const MAX_RETAINED_ENTRIES: usize = 8;
/// How many bytes are written at once.
const MAX_WRITE_BYTES: usize = 64 * 1024;
/// What an entry counts in addition to its payload.
pub const ENTRY_BYTES: usize = 64;

/// An entry of the queue.
#[derive(Debug)]
enum Outbound {
    /// Published data, with the number of a reliable receiver or 0.
    Publication(Arc<Publication>, u64),
    /// A complete frame.
    Frame(Box<[u8]>),
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub struct OutboundQueue {
    entries: VecDeque<Outbound>,
    /// Bytes of the first entry that were written.
    written: usize,
    /// In the order of their numbers; reliable receivers only.
    unacknowledged: VecDeque<(u64, Arc<Publication>)>,
    last_sequence: u64,
    /// The highest number that was written to a socket.
    last_written: u64,
    /// Publications among the entries.
    publications: usize,
    bytes: usize,
    frame_bytes: usize,
    subprotocol: Subprotocol,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteProgress {
    pub messages: u64,
    pub bytes: u64,
    pub expired: u64,
}

impl OutboundQueue {
    /// Queues published data; a reliable receiver gets the next number.
    pub fn push_publication(&mut self, publication: Arc<Publication>, subprotocol: Subprotocol) {
        self.subprotocol = subprotocol;
        self.bytes += publication.held_bytes();
        if !subprotocol.is_reliable() {
            self.publications += 1;
            self.entries.push_back(Outbound::Publication(publication, 0));
            return;
        }
        self.last_sequence += 1;
        self.unacknowledged.push_back((self.last_sequence, publication.clone()));
        self.publications += 1;
        self.entries.push_back(Outbound::Publication(publication, self.last_sequence));
    }

    /// Keeps published data of a reliable receiver for its next socket.
    pub fn keep_publication(&mut self, publication: Arc<Publication>, subprotocol: Subprotocol) {
        self.subprotocol = subprotocol;
        self.bytes += publication.held_bytes();
        self.last_sequence += 1;
        self.unacknowledged.push_back((self.last_sequence, publication));
    }

    /// Queues a complete frame.
    pub fn push_frame(&mut self, frame: Box<[u8]>) {
        self.frame_bytes += frame.len();
        self.entries.push_back(Outbound::Frame(frame));
    }

    /// Messages that count against the limit: of a reliable receiver the unacknowledged ones.
    pub fn messages(&self) -> usize {
        self.publications.max(self.unacknowledged.len())
    }

    /// Bytes that count against the limit.
    pub fn bytes(&self) -> usize {
        self.bytes + self.frame_bytes
    }

    /// Entries of the queue, of both kinds.
    pub fn len(&self) -> usize {
        self.entries.len() + self.unacknowledged.len()
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of the last message.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Releases the messages up to this number that were written.
    pub fn acknowledge(&mut self, sequence: u64) {
        let sequence = sequence.min(self.last_written);
        while self.unacknowledged.front().is_some_and(|(number, _)| *number <= sequence) {
            if let Some((_, publication)) = self.unacknowledged.pop_front() {
                self.bytes -= publication.held_bytes();
            }
        }
        release(&mut self.unacknowledged);
    }

    /// Appends what can be written to `buffer`, at most 64 KiB; expired messages are dropped.
    pub fn fill(&mut self, buffer: &mut Vec<u8>, now: impl Fn() -> SystemTime) -> u64 {
        let mut expired = 0;
        let mut skip = self.written;
        let mut at = 0;
        while buffer.len() < MAX_WRITE_BYTES {
            let Some(entry) = self.entries.get(at) else { break };
            let is_expired = skip == 0
                && matches!(entry, Outbound::Publication(publication, _)
                    if publication.expires_at.is_some_and(|end| end <= now()));
            if is_expired {
                self.remove_expired(at);
                expired += 1;
                continue;
            }
            append(entry, self.subprotocol, skip, buffer);
            (skip, at) = (0, at + 1);
        }
        buffer.truncate(MAX_WRITE_BYTES);
        expired
    }

    /// Removes an entry that is not written any more; its number stays unused.
    fn remove_expired(&mut self, at: usize) {
        let Some(Outbound::Publication(publication, sequence)) = self.entries.remove(at) else { return };
        self.publications -= 1;
        if sequence == 0 {
            self.bytes -= publication.held_bytes();
        } else if let Ok(at) = self.unacknowledged.binary_search_by_key(&sequence, |(number, _)| *number) {
            self.unacknowledged.remove(at);
            self.bytes -= publication.held_bytes();
        }
    }

    /// Removes the entries of `n` written bytes.
    pub fn advance(&mut self, n: usize) -> WriteProgress {
        let mut written = WriteProgress { bytes: n as u64, ..WriteProgress::default() };
        self.written += n;
        while let Some(entry) = self.entries.front() {
            let len = entry_len(entry, self.subprotocol);
            if len > self.written {
                break;
            }
            self.written -= len;
            written.messages += self.pop_written();
        }
        release(&mut self.entries);
        written
    }

    /// Removes the first entry, which was written; 1 for a message.
    fn pop_written(&mut self) -> u64 {
        match self.entries.pop_front() {
            Some(Outbound::Publication(publication, sequence)) => {
                self.publications -= 1;
                self.last_written = self.last_written.max(sequence);
                if sequence == 0 {
                    self.bytes -= publication.held_bytes();
                }
                1
            }
            Some(Outbound::Frame(frame)) => {
                self.frame_bytes -= frame.len();
                0
            }
            None => 0,
        }
    }

    /// The number of the first message that is not acknowledged, or of the next one.
    pub fn first_unacknowledged(&self) -> u64 {
        self.unacknowledged.front().map_or(self.last_sequence + 1, |(number, _)| *number)
    }

    /// Takes whole messages out, about as many bytes; expired ones are dropped. For receivers without numbers.
    pub fn take_batch(&mut self, max_bytes: usize, now: impl Fn() -> SystemTime) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while bytes < max_bytes {
            let Some(entry) = self.entries.pop_front() else { break };
            match &entry {
                Outbound::Publication(publication, _) => {
                    self.publications -= 1;
                    self.bytes -= publication.held_bytes();
                    if publication.expires_at.is_some_and(|end| end <= now()) {
                        continue;
                    }
                }
                Outbound::Frame(frame) => self.frame_bytes -= frame.len(),
            }
            bytes += entry_len(&entry, self.subprotocol);
            batch.entries.push(entry);
        }
        release(&mut self.entries);
        batch
    }

    /// Returns messages that were not sent to the front of the queue.
    pub fn restore_batch(&mut self, batch: Batch) {
        for entry in batch.entries.into_iter().rev() {
            match &entry {
                Outbound::Publication(publication, _) => {
                    self.publications += 1;
                    self.bytes += publication.held_bytes();
                }
                Outbound::Frame(frame) => self.frame_bytes += frame.len(),
            }
            self.entries.push_front(entry);
        }
    }

    /// Drops what waits for a socket that is gone; unacknowledged messages stay.
    pub fn restart(&mut self) {
        for entry in self.entries.drain(..) {
            if let Outbound::Publication(publication, 0) = entry {
                self.bytes -= publication.held_bytes();
            }
        }
        (self.written, self.frame_bytes, self.publications) = (0, 0, 0);
        release(&mut self.entries);
    }

    /// Queues all unacknowledged messages, for a new socket.
    pub fn requeue_unacknowledged(&mut self) {
        let again = self
            .unacknowledged
            .iter()
            .map(|(number, publication)| Outbound::Publication(publication.clone(), *number));
        self.entries.extend(again);
        self.publications = self.unacknowledged.len();
    }

    /// Drops everything, except the rest of an entry that was written in part.
    pub fn discard_unwritten(&mut self) {
        let partial = if self.written > 0 { self.entries.pop_front() } else { None };
        let written = self.written;
        self.unacknowledged = VecDeque::new();
        self.entries = VecDeque::new();
        (self.bytes, self.frame_bytes, self.publications) = (0, 0, 0);
        if let Some(partial) = partial {
            match &partial {
                Outbound::Publication(publication, sequence) => {
                    self.publications = 1;
                    self.bytes = if *sequence == 0 { publication.held_bytes() } else { 0 };
                }
                Outbound::Frame(frame) => self.frame_bytes = frame.len(),
            }
            self.entries.push_back(partial);
            self.written = written;
        }
    }

    /// The unacknowledged messages with their numbers, for another node.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &(u64, Arc<Publication>)> {
        self.unacknowledged.iter()
    }

    /// Restores the messages of a session of another node.
    pub fn restore(
        &mut self,
        last_sequence: u64,
        messages: Vec<(u64, Arc<Publication>)>,
        subprotocol: Subprotocol,
    ) {
        self.bytes = messages.iter().map(|(_, publication)| publication.held_bytes()).sum();
        self.unacknowledged = messages.into();
        (self.last_sequence, self.last_written) = (last_sequence, last_sequence);
        self.subprotocol = subprotocol;
    }
}

/// Messages that are being sent together.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Outbound>,
}

impl Batch {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of each message.
    pub fn segments(&self, subprotocol: Subprotocol) -> impl Iterator<Item = Bytes> {
        self.entries.iter().map(move |entry| match entry {
            Outbound::Frame(frame) => Bytes::copy_from_slice(frame),
            Outbound::Publication(publication, _) => encoded(publication, subprotocol).body.clone(),
        })
    }

    /// How many messages are published data.
    pub fn messages(&self) -> u64 {
        self.entries.iter().filter(|entry| matches!(entry, Outbound::Publication(..))).count() as u64
    }
}

/// Frees the memory of an empty queue that was long.
fn release<T>(entries: &mut VecDeque<T>) {
    if entries.is_empty() && entries.capacity() > MAX_RETAINED_ENTRIES {
        *entries = VecDeque::new();
    }
}

fn encoded(publication: &Publication, subprotocol: Subprotocol) -> &EncodedMessage {
    publication.encoded(subprotocol.encoding(), encode_publication)
}

/// The length of the frame of an entry.
fn entry_len(entry: &Outbound, subprotocol: Subprotocol) -> usize {
    match entry {
        Outbound::Frame(frame) => frame.len(),
        Outbound::Publication(publication, sequence) => {
            let body = &encoded(publication, subprotocol).body;
            let len = message_len(&envelope(subprotocol, body.len(), *sequence), body);
            frame_start(subprotocol, true, len).len() + len + frame_end(subprotocol).len()
        }
    }
}

/// What precedes a message of this length on its transport.
fn frame_start(subprotocol: Subprotocol, is_text: bool, len: usize) -> SmallVec<[u8; MAX_HEADER_BYTES]> {
    match subprotocol.framing() {
        Framing::WebSocket => header(if is_text { Opcode::Text } else { Opcode::Binary }, len),
        Framing::EventStream => SmallVec::from_slice(b"data: "),
        Framing::Concatenated => SmallVec::new(),
    }
}

/// What follows a message on its transport.
fn frame_end(subprotocol: Subprotocol) -> &'static [u8] {
    match subprotocol.framing() {
        Framing::EventStream => b"\r\n\r\n",
        Framing::WebSocket | Framing::Concatenated => b"",
    }
}

fn message_len(envelope: &Envelope, body: &[u8]) -> usize {
    envelope.prefix.len() + body.len() - envelope.skip + envelope.suffix.len()
}

/// Appends the frame of an entry without its first `skip` bytes, until 64 KiB are written.
fn append(entry: &Outbound, subprotocol: Subprotocol, mut skip: usize, buffer: &mut Vec<u8>) {
    let (publication, sequence) = match entry {
        Outbound::Frame(frame) => return buffer.extend_from_slice(&frame[skip..]),
        Outbound::Publication(publication, sequence) => (publication, *sequence),
    };
    let EncodedMessage { is_text, body } = encoded(publication, subprotocol);
    let around = envelope(subprotocol, body.len(), sequence);
    let start = frame_start(subprotocol, *is_text, message_len(&around, body));
    let end = frame_end(subprotocol);
    for part in [&start[..], &around.prefix, &body[around.skip..], &around.suffix, end] {
        let from = skip.min(part.len());
        skip -= from;
        let room = MAX_WRITE_BYTES.saturating_sub(buffer.len());
        let part = &part[from..];
        buffer.extend_from_slice(&part[..part.len().min(room)]);
    }
}
