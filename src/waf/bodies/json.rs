//! JSON (RFC 8259) to arguments: `json.items.array_0.text` with the path `$.items[0].text`.

use super::BodyFault;
use crate::waf::request::parts::{Request, Source};

/// The nesting that a body may have.
pub const MAX_DEPTH: usize = 64;

/// Where the parser is inside of an object or an array.
struct Level {
    /// The index of the element of an array; none in an object.
    index: Option<usize>,
    /// The lengths of name and path in front of the member.
    name_length: usize,
    path_length: usize,
}

/// A parser of one text.
pub struct JsonParser<'b> {
    text: &'b [u8],
    at: usize,
    levels: Vec<Level>,
    name: Vec<u8>,
    path: Vec<u8>,
    value: Vec<u8>,
}

const DEPTH: BodyFault = BodyFault::Invalid("JSON is nested too deeply");
const SYNTAX: BodyFault = BodyFault::Invalid("invalid JSON");

/// Adds the scalar members of a JSON text; nothing of an empty one.
pub fn parse(text: &[u8], request: &mut Request) -> Result<(), BodyFault> {
    let mut parser = JsonParser::new(text);
    if parser.peek_token().is_none() {
        return Ok(());
    }
    parser.read_value(request)?;
    match parser.peek_token() {
        None => Ok(()),
        Some(_) => Err(SYNTAX),
    }
}

/// Adds the members of every line.
pub fn parse_lines(text: &[u8], request: &mut Request) -> Result<(), BodyFault> {
    text.split(|byte| *byte == b'\n').try_for_each(|line| parse(line, request))
}

impl<'b> JsonParser<'b> {
    fn new(text: &'b [u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let (name, path) = (b"json".to_vec(), b"$".to_vec());
        Self { text, at: 0, levels: Vec::new(), name, path, value: Vec::new() }
    }

    /// The next byte behind white space.
    fn peek_token(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn token(&mut self) -> Result<u8, BodyFault> {
        let byte = self.peek_token().ok_or(BodyFault::Incomplete)?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads one value with everything in it.
    fn read_value(&mut self, request: &mut Request) -> Result<(), BodyFault> {
        loop {
            let is_open = match self.token()? {
                b'{' => self.open_object()?,
                b'[' => self.open_array()?,
                first => {
                    self.read_scalar(first, request)?;
                    false
                }
            };
            if !is_open && self.leave_value()? {
                return Ok(());
            }
        }
    }

    /// Returns whether the object has a member, whose value is next.
    fn open_object(&mut self) -> Result<bool, BodyFault> {
        self.push_level(None)?;
        if self.peek_token() == Some(b'}') {
            self.at += 1;
            self.pop_level();
            return Ok(false);
        }
        self.read_key()?;
        Ok(true)
    }

    fn open_array(&mut self) -> Result<bool, BodyFault> {
        self.push_level(Some(0))?;
        if self.peek_token() == Some(b']') {
            self.at += 1;
            self.pop_level();
            return Ok(false);
        }
        self.name_element(0);
        Ok(true)
    }

    /// Goes on behind a value; returns whether it was the outermost one.
    fn leave_value(&mut self) -> Result<bool, BodyFault> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(true) };
            let index = level.index.as_mut().map(|index| {
                *index += 1;
                *index
            });
            match (self.token()?, index) {
                (b',', Some(index)) => {
                    self.name_element(index);
                    return Ok(false);
                }
                (b',', None) => {
                    self.read_key()?;
                    return Ok(false);
                }
                (b']', Some(_)) | (b'}', None) => self.pop_level(),
                _ => return Err(SYNTAX),
            }
        }
    }

    fn push_level(&mut self, index: Option<usize>) -> Result<(), BodyFault> {
        if self.levels.len() == MAX_DEPTH {
            return Err(DEPTH);
        }
        self.levels.push(Level { index, name_length: self.name.len(), path_length: self.path.len() });
        Ok(())
    }

    fn pop_level(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.name.truncate(level.name_length);
            self.path.truncate(level.path_length);
        }
    }

    fn name_element(&mut self, index: usize) {
        let Some(level) = self.levels.last() else { return };
        self.name.truncate(level.name_length);
        self.path.truncate(level.path_length);
        self.name.extend_from_slice(format!(".array_{index}").as_bytes());
        self.path.extend_from_slice(format!("[{index}]").as_bytes());
    }

    fn read_key(&mut self) -> Result<(), BodyFault> {
        if self.token()? != b'"' {
            return Err(SYNTAX);
        }
        self.read_string()?;
        if self.token()? != b':' {
            return Err(SYNTAX);
        }
        let Some(level) = self.levels.last() else { return Err(SYNTAX) };
        self.name.truncate(level.name_length);
        self.path.truncate(level.path_length);
        self.name.push(b'.');
        self.name.extend_from_slice(if self.value.is_empty() { b"empty-key" } else { &self.value });
        push_path_key(&mut self.path, &self.value);
        Ok(())
    }

    fn read_scalar(&mut self, first: u8, request: &mut Request) -> Result<(), BodyFault> {
        self.value.clear();
        let read = match first {
            b'"' => self.read_string(),
            b'-' | b'0'..=b'9' => self.read_number(),
            b't' => self.read_word(b"true", b"true"),
            b'f' => self.read_word(b"false", b"false"),
            b'n' => self.read_word(b"null", b""),
            _ => return Err(SYNTAX),
        };
        // A string that is cut at the limit is inspected up to there.
        if read.is_ok() || (read == Err(BodyFault::Incomplete) && first == b'"') {
            request.add_argument(Source::Json, &self.name, &self.value, &self.path);
        }
        read
    }

    fn read_word(&mut self, word: &[u8], value: &[u8]) -> Result<(), BodyFault> {
        let rest = &self.text[self.at - 1..];
        if !rest.starts_with(word) {
            return Err(if word.starts_with(rest) { BodyFault::Incomplete } else { SYNTAX });
        }
        self.at += word.len() - 1;
        self.value.extend_from_slice(value);
        Ok(())
    }

    fn read_number(&mut self) -> Result<(), BodyFault> {
        let rest = &self.text[self.at - 1..];
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(is_part).count();
        self.value.extend_from_slice(&rest[..length]);
        self.at += length - 1;
        if is_number(&rest[..length]) { Ok(()) } else { Err(SYNTAX) }
    }

    /// Reads a string behind its opening quote into `value`.
    fn read_string(&mut self) -> Result<(), BodyFault> {
        self.value.clear();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            if std::str::from_utf8(&rest[..plain]).is_err() {
                return Err(BodyFault::Invalid("JSON is not UTF-8"));
            }
            self.value.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            match rest.get(plain) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.read_escape()?,
                Some(_) => return Err(SYNTAX),
                None => return Err(BodyFault::Incomplete),
            }
        }
    }

    fn read_escape(&mut self) -> Result<(), BodyFault> {
        let letter = *self.text.get(self.at).ok_or(BodyFault::Incomplete)?;
        self.at += 1;
        let byte = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.read_code_unit(),
            _ => return Err(SYNTAX),
        };
        self.value.push(byte);
        Ok(())
    }

    /// `\u0041`, or a surrogate pair; an unpaired surrogate becomes the replacement character.
    fn read_code_unit(&mut self) -> Result<(), BodyFault> {
        let unit = self.read_hex()?;
        let is_pair = (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with(b"\\u");
        let mut code = unit;
        if is_pair {
            let start = self.at;
            self.at += 2;
            match self.read_hex()? {
                low @ 0xdc00..=0xdfff => code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                _ => self.at = start,
            }
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn read_hex(&mut self) -> Result<u32, BodyFault> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(BodyFault::Incomplete)?;
        self.at += 4;
        let text = std::str::from_utf8(digits).map_err(|_| SYNTAX)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(SYNTAX);
        }
        u32::from_str_radix(text, 16).map_err(|_| SYNTAX)
    }
}

/// `.name`, or `["name"]` where the name has other characters.
pub fn push_path_key(path: &mut Vec<u8>, key: &[u8]) {
    let is_plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$' | b'@' | 0x80..);
    if !key.is_empty() && key.iter().all(is_plain) {
        path.push(b'.');
        path.extend_from_slice(key);
        return;
    }
    path.extend_from_slice(b"[\"");
    for &byte in key {
        if matches!(byte, b'"' | b'\\') {
            path.push(b'\\');
        }
        path.push(byte);
    }
    path.extend_from_slice(b"\"]");
}

/// The grammar of numbers: `-0.5e+3`.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let [b'.', fraction @ ..] = rest {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            _ => exponent,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}
