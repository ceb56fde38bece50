//! Writes one flat JSON object into a reusable buffer; no value can break the line.

use std::io::Write;

/// The object under construction.
pub(super) struct JsonLineWriter<'b> {
    buffer: &'b mut Vec<u8>,
    first: bool,
}

impl<'b> JsonLineWriter<'b> {
    pub(super) fn begin(buffer: &'b mut Vec<u8>) -> Self {
        buffer.push(b'{');
        JsonLineWriter { buffer, first: true }
    }

    /// A string; bytes that are not UTF-8 become U+FFFD.
    pub(super) fn text(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.name(name);
        self.buffer.push(b'"');
        write_escaped(self.buffer, value);
        self.buffer.push(b'"');
        self
    }

    pub(super) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.raw_value(name, format_args!("{value}"))
    }

    /// A `Display` value without quotes, backslashes and control characters, as a string.
    pub(super) fn string_unescaped(&mut self, name: &str, value: std::fmt::Arguments) -> &mut Self {
        self.raw_value(name, format_args!("\"{value}\""))
    }

    /// A `Display` value that is JSON already.
    pub(super) fn raw_value(&mut self, name: &str, value: std::fmt::Arguments) -> &mut Self {
        self.name(name);
        let result = self.buffer.write_fmt(value);
        debug_assert!(result.is_ok(), "writing to a Vec cannot fail");
        self
    }

    /// An object whose values are strings.
    pub(super) fn object<'v>(
        &mut self,
        name: &str,
        members: impl Iterator<Item = (&'v str, &'v [u8])>,
    ) -> &mut Self {
        self.name(name);
        self.buffer.push(b'{');
        let mut object = JsonLineWriter { buffer: self.buffer, first: true };
        for (name, value) in members {
            object.text(name, value);
        }
        self.buffer.push(b'}');
        self
    }

    pub(super) fn end(self) {
        self.buffer.extend_from_slice(b"}\n");
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.buffer.push(b',');
        }
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }
}

fn write_escaped(buffer: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        escape_str(buffer, chunk.valid());
        if !chunk.invalid().is_empty() {
            buffer.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Copies runs of plain characters and writes the others as escapes.
fn escape_str(buffer: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' && *byte != 0x7f {
            continue;
        }
        buffer.extend_from_slice(&bytes[from..at]);
        let result = match byte {
            b'"' | b'\\' => buffer.write_all(&[b'\\', *byte]),
            _ => write!(buffer, "\\u{byte:04x}"),
        };
        debug_assert!(result.is_ok(), "writing to a Vec cannot fail");
        from = at + 1;
    }
    buffer.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(value: &[u8]) -> Vec<u8> {
        let mut json = Vec::new();
        let mut line = JsonLineWriter::begin(&mut json);
        line.text("v", value).number("n", 7);
        line.end();
        json
    }

    proptest! {
        #[test]
        fn any_bytes_give_one_line_of_valid_json(value: Vec<u8>) {
            let json = line(&value);
            let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(read["v"].as_str().unwrap(), String::from_utf8_lossy(&value));
            prop_assert_eq!(json.iter().filter(|b| **b == b'\n').count(), 1);
        }

        #[test]
        fn text_round_trips(value: String) {
            let read: serde_json::Value = serde_json::from_slice(&line(value.as_bytes())).unwrap();
            prop_assert_eq!(read["v"].as_str().unwrap(), value);
        }
    }
}
