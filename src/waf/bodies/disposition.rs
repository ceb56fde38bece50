//! Parameters of header fields: `form-data; name="a"; filename="b.txt"`.

use crate::waf::transform::url;

/// A name and its value.
pub type Parameter = (Vec<u8>, Vec<u8>);

/// What the `Content-Disposition` of a part contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// The name of the field.
    pub name: Option<Vec<u8>>,
    /// The name of the file; none for a field.
    pub file_name: Option<Vec<u8>>,
    /// Whether the grammar is violated; names are read as far as possible.
    pub is_invalid: bool,
}

/// Parameters of a text that begins with `;`; none when the quoting is invalid.
pub fn parameters(text: &[u8]) -> Option<Vec<Parameter>> {
    let mut found = Vec::new();
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        rest = rest.strip_prefix(b";")?.trim_ascii_start();
        if rest.is_empty() {
            break;
        }
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let name = rest[..end].trim_ascii_end();
        let after = rest[end..].strip_prefix(b"=")?.trim_ascii_start();
        let (value, after) = value(after)?;
        found.push((name.to_vec(), value));
        rest = after.trim_ascii_start();
    }
    Some(found)
}

/// A token or a quoted string, and what follows it.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        let token = text[..end].trim_ascii_end();
        let is_quoted = token.iter().any(|byte| matches!(byte, b'"'));
        return (!is_quoted).then(|| (token.to_vec(), &text[end..]));
    };
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match (quoted.get(at)?, quoted.get(at + 1)) {
            (b'"', _) => return Some((value, &quoted[at + 1..])),
            (b'\\', Some(next @ (b'"' | b'\\'))) => {
                value.push(*next);
                at += 2;
            }
            (byte, _) => {
                value.push(*byte);
                at += 1;
            }
        }
    }
}

impl Disposition {
    /// Reads the value of the field.
    pub fn parse(text: &[u8]) -> Self {
        let start = memchr::memchr(b';', text).unwrap_or(text.len());
        let is_form_data = text[..start].trim_ascii().eq_ignore_ascii_case(b"form-data");
        let Some(parameters) = parameters(&text[start..]) else {
            return Self::scan(text);
        };
        let mut disposition = Self { is_invalid: !is_form_data, ..Self::default() };
        for (name, value) in parameters {
            disposition.add(&name, value);
        }
        disposition.is_invalid |= disposition.name.is_none();
        disposition
    }

    fn add(&mut self, name: &[u8], value: Vec<u8>) {
        match name.to_ascii_lowercase().as_slice() {
            b"name" => self.is_invalid |= self.name.replace(value).is_some(),
            b"filename" => self.is_invalid |= self.file_name.replace(value).is_some(),
            b"filename*" => {
                // UTF-8''percent-encoded
                let text = value.rsplit(|byte| *byte == b'\'').next().unwrap_or_default();
                self.file_name = Some(url::decode(text));
            }
            _ => {}
        }
    }

    /// The names of a field whose quoting is invalid: up to the next quote or the end.
    fn scan(text: &[u8]) -> Self {
        let lower = text.to_ascii_lowercase();
        let named = |key: &[u8]| {
            let finder = memchr::memmem::find_iter(&lower, key).find(|at| *at == 0 || lower[at - 1] != b'e');
            finder.map(|at| {
                let rest = text[at + key.len()..].trim_ascii_start();
                let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
                rest.strip_suffix(b"\"").unwrap_or(rest).to_vec()
            })
        };
        Self { name: named(b"name="), file_name: named(b"filename="), is_invalid: true }
    }
}
