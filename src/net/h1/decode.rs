//! Decoding message bodies: separates framing (Content-Length, chunked) from body bytes.

use super::trailers::trailers;
use crate::{
    base::bytes::is_tchar,
    pipeline::{body::Framing, head::Head},
};
use memchr::{memchr, memmem};

/// Maximum length of a chunk-size line: a longer one is an attack, not an extension.
const MAX_CHUNK_LINE: usize = 1024;

/// What the buffered bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Bytes of the body.
    Data(usize),
    /// Bytes of framing: drop them and decode again.
    Skip(usize),
    /// More bytes are needed.
    More,
    /// The message is complete.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A body of known length; the number of bytes left.
    Length(u64),
    ChunkSize,
    /// Within a chunk; the number of bytes left.
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    End,
}

/// Decodes one incoming body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Maximum size and number of fields of a trailer section.
    trailer_limits: (usize, usize),
    trailers: Option<Head>,
    /// Bytes of the trailer section that were searched for its end.
    scanned: usize,
}

impl Decoder {
    /// A decoder for a body with this framing.
    pub fn new(framing: Framing, trailer_limits: (usize, usize)) -> Decoder {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::End,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Decoder { state, trailer_limits, trailers: None, scanned: 0 }
    }

    /// Whether the message is complete.
    pub fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Whether the message ends with the connection.
    pub fn ends_with_close(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Handles the end of the connection, where it is the end of the message.
    pub fn close(&mut self) {
        if self.ends_with_close() {
            self.state = State::End;
        }
    }

    /// The trailers, once the body has ended.
    pub fn trailers(&mut self) -> Option<&mut Head> {
        self.trailers.as_mut()
    }

    /// Decodes the beginning of the buffered bytes.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, &'static str> {
        match self.state {
            State::End => Ok(Decoded::End),
            _ if bytes.is_empty() => Ok(Decoded::More),
            State::Length(remaining) | State::ChunkData(remaining) => {
                Ok(Decoded::Data(remaining.min(bytes.len() as u64) as usize))
            }
            State::UntilClose => Ok(Decoded::Data(bytes.len())),
            State::ChunkSize => self.size(bytes),
            State::ChunkEnd => self.expect_crlf(bytes),
            State::Trailers => self.read_trailers(bytes),
        }
    }

    /// Marks `n` bytes of [`Decoded::Data`] as consumed.
    pub fn advance(&mut self, n: usize) {
        let n = n as u64;
        match &mut self.state {
            State::Length(remaining) => {
                *remaining -= n.min(*remaining);
                if *remaining == 0 {
                    self.state = State::End;
                }
            }
            State::ChunkData(remaining) => {
                *remaining -= n.min(*remaining);
                if *remaining == 0 {
                    self.state = State::ChunkEnd;
                }
            }
            _ => {}
        }
    }

    /// RFC 9112 7.1: 1*HEXDIG [ chunk-ext ] CRLF.
    fn size(&mut self, bytes: &[u8]) -> Result<Decoded, &'static str> {
        let Some(end) = memchr(b'\n', bytes) else {
            return if bytes.len() > MAX_CHUNK_LINE {
                Err("a chunk size line is too long")
            } else {
                Ok(Decoded::More)
            };
        };
        if end > MAX_CHUNK_LINE {
            return Err("a chunk size line is too long");
        }
        if end == 0 || bytes[end - 1] != b'\r' {
            return Err("a chunk size line ends without CR LF");
        }
        let size = chunk_size(&bytes[..end - 1])?;
        self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
        Ok(Decoded::Skip(end + 1))
    }

    fn expect_crlf(&mut self, bytes: &[u8]) -> Result<Decoded, &'static str> {
        match bytes {
            [b'\r'] => Ok(Decoded::More),
            [b'\r', b'\n', ..] => {
                self.state = State::ChunkSize;
                Ok(Decoded::Skip(2))
            }
            _ => Err("chunk data does not end with CR LF"),
        }
    }

    fn read_trailers(&mut self, bytes: &[u8]) -> Result<Decoded, &'static str> {
        if bytes.starts_with(b"\r\n") {
            self.state = State::End;
            return Ok(Decoded::Skip(2));
        }
        let from = self.scanned.saturating_sub(3);
        if bytes[0] == b'\n' || memmem::find(&bytes[from..], b"\n\n").is_some() {
            return Err("a trailer line ends without CR LF");
        }
        let Some(end) = memmem::find(&bytes[from..], b"\r\n\r\n").map(|at| from + at + 4) else {
            self.scanned = bytes.len();
            return if bytes.len() > self.trailer_limits.0 {
                Err("the trailer section is too large")
            } else {
                Ok(Decoded::More)
            };
        };
        if end > self.trailer_limits.0 {
            return Err("the trailer section is too large");
        }
        self.trailers = Some(trailers(&bytes[..end], self.trailer_limits.1)?);
        self.state = State::End;
        Ok(Decoded::Skip(end))
    }
}

/// The number before the extensions; the extensions are validated and dropped.
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 {
        return Err("a chunk size is not a number");
    }
    let size = line[..digits].iter().try_fold(0u64, |n, &b| {
        let digit = (b as char).to_digit(16)?;
        n.checked_mul(16)?.checked_add(u64::from(digit))
    });
    extensions(&line[digits..])?;
    size.filter(|&n| n <= i64::MAX as u64).ok_or("a chunk size is too large")
}

/// RFC 9112 7.1.1: *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ).
fn extensions(mut rest: &[u8]) -> Result<(), &'static str> {
    const BAD_EXTENSION: &str = "a chunk extension is malformed";
    while !rest.is_empty() {
        rest = skip_space(rest).strip_prefix(b";").ok_or(BAD_EXTENSION)?;
        rest = token(skip_space(rest)).ok_or(BAD_EXTENSION)?;
        if let Some(value) = skip_space(rest).strip_prefix(b"=") {
            let value = skip_space(value);
            rest = if value.first() == Some(&b'"') {
                quoted_string(value).ok_or(BAD_EXTENSION)?
            } else {
                token(value).ok_or(BAD_EXTENSION)?
            };
        }
    }
    Ok(())
}

fn skip_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

fn token(text: &[u8]) -> Option<&[u8]> {
    let n = text.iter().take_while(|&&b| is_tchar(b)).count();
    (n > 0).then(|| &text[n..])
}

fn quoted_string(text: &[u8]) -> Option<&[u8]> {
    let mut state = 1;
    loop {
        match text.get(state)? {
            b'"' => return Some(&text[state + 1..]),
            b'\\' if text.get(state + 1).is_some_and(|&b| printable(b)) => state += 2,
            &b if printable(b) && b != b'\\' => state += 1,
            _ => return None,
        }
    }
}

fn printable(b: u8) -> bool {
    b == b'\t' || (b >= 0x20 && b != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_all(text: &[u8], step: usize) -> Result<(Vec<u8>, bool), &'static str> {
        let mut decoder = Decoder::new(Framing::Chunked, (400, 10));
        let (mut body, mut state, mut available) = (Vec::new(), 0, 0);
        loop {
            match decoder.decode(&text[state..available])? {
                Decoded::Data(n) => {
                    body.extend_from_slice(&text[state..state + n]);
                    decoder.advance(n);
                    state += n;
                }
                Decoded::Skip(n) => state += n,
                Decoded::More if available == text.len() => return Ok((body, false)),
                Decoded::More => available = (available + step).min(text.len()),
                Decoded::End => return Ok((body, true)),
            }
        }
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let text = b"5;a=\"b;\\\"c\" ; d\r\nhello\r\n6\r\n world\r\n000\r\nX-T: 1\r\n\r\n";
        for step in [1, 2, 7, 100] {
            assert_eq!(decode_all(text, step), Ok((b"hello world".to_vec(), true)), "step {step}");
        }
    }

    #[test]
    fn ambiguous_framing_is_rejected() {
        for bad in [
            &b"\r\nhello\r\n"[..],
            b"-5\r\n",
            b"5g\r\n",
            b"\"5\"\r\n",
            b"5\t\r\nhello",
            b"5\r\r\n",
            b"10000000000000005\r\n",
            b"5\nhello",
            b"5\r\nhelloXX0\r\n\r\n",
            b"0\n\n",
            b"5;a\nb\r\n",
            b"5;a\0b\r\n",
            b"0x5\r\n",
            b"FFFFFFFFFFFFFFFF\r\n",
            b"0\r\nX-T : 1\r\n\r\n",
        ] {
            assert!(decode_all(bad, 100).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn a_chunked_body_is_decoded_completely(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8), step in 1usize..60) {
            let mut text = Vec::new();
            for part in &parts {
                text.extend_from_slice(format!("{:X}\r\n", part.len()).as_bytes());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode_all(&text, step), Ok((parts.concat(), true)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), step in 1usize..20) {
            let _ = decode_all(&bytes, step);
        }
    }
}
