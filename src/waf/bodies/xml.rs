//! XML to the text of all elements and the values of all attributes. External entities are never resolved.

use super::BodyFault;
use crate::waf::request::parts::{Kind, Request, Span};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::borrow::Cow;
use std::collections::HashMap;

/// The bytes that all internal entities together may expand to.
const MAX_EXPANSION_BYTES: usize = 64 << 10;

/// How deep internal entities may refer to each other.
const MAX_ENTITY_DEPTH: usize = 8;

/// The nesting that a body may have.
const MAX_DEPTH: usize = 256;

const SYNTAX: BodyFault = BodyFault::Invalid("XML is not well-formed");

/// What was read so far.
#[derive(Default)]
struct XmlText {
    text: Vec<u8>,
    attributes: Vec<Vec<u8>>,
    entities: HashMap<String, String>,
    expanded_bytes: usize,
    depth: usize,
    has_root: bool,
}

/// Adds the text of the elements as one value, and each attribute value.
pub fn parse(body: &[u8], request: &mut Request) -> Result<(), BodyFault> {
    let decoded = decode(body).ok_or(BodyFault::Invalid("XML has an unsupported encoding"))?;
    let mut content = XmlText::default();
    let result = content.read(&decoded);
    if !content.text.is_empty() {
        let text = request.add_text(&content.text);
        request.add(Kind::XmlText, Span::default(), text);
    }
    for attribute in &content.attributes {
        let value = request.add_text(attribute);
        request.add(Kind::XmlAttribute, Span::default(), value);
    }
    result
}

/// UTF-8, or a declared encoding of one byte for each character.
fn decode(body: &[u8]) -> Option<Cow<'_, str>> {
    if let Ok(text) = std::str::from_utf8(body) {
        return Some(Cow::Borrowed(text.trim_start_matches('\u{feff}')));
    }
    let head = &body[..body.len().min(200)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let is_narrow = ["iso-8859-", "windows-125", "latin1"].iter().any(|name| head.contains(name));
    if is_narrow {
        return Some(Cow::Owned(body.iter().map(|byte| char::from(*byte)).collect()));
    }
    // A body that is cut at the limit may end inside of a character.
    let error = std::str::from_utf8(body).err()?;
    let is_cut = error.error_len().is_none();
    is_cut.then(|| String::from_utf8_lossy(&body[..error.valid_up_to()]))
}

impl XmlText {
    fn read(&mut self, text: &str) -> Result<(), BodyFault> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        loop {
            let event = reader.read_event().map_err(|error| match error {
                quick_xml::Error::Syntax(_) => BodyFault::Incomplete,
                _ => SYNTAX,
            });
            // The text behind an element that is cut off is inspected as it stands.
            let event = event.inspect_err(|_| self.push_rest(text, reader.error_position() as usize))?;
            if matches!(event, Event::Eof) {
                let is_complete = self.depth == 0 && self.has_root;
                return if is_complete { Ok(()) } else { Err(BodyFault::Incomplete) };
            }
            self.add(&event)?;
        }
    }

    fn push_rest(&mut self, text: &str, at: usize) {
        self.text.extend_from_slice(text.as_bytes().get(at..).unwrap_or_default());
    }

    fn add(&mut self, event: &Event<'_>) -> Result<(), BodyFault> {
        match event {
            Event::Start(start) => {
                self.add_element(start)?;
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(BodyFault::Invalid("XML is nested too deeply"));
                }
            }
            Event::Empty(start) => self.add_element(start)?,
            Event::End(_) => self.depth = self.depth.saturating_sub(1),
            Event::Text(text) => self.add_text(text)?,
            Event::CData(data) if self.depth > 0 => self.text.extend_from_slice(data.as_bytes()),
            Event::CData(_) => return Err(SYNTAX),
            Event::GeneralRef(name) => {
                let mut text = Vec::new();
                self.expand(name, 0, &mut text)?;
                self.text.extend_from_slice(&text);
            }
            Event::DocType(declaration) => self.add_entities(declaration),
            _ => {}
        }
        Ok(())
    }

    fn add_text(&mut self, text: &str) -> Result<(), BodyFault> {
        if self.depth == 0 && !text.trim().is_empty() {
            return Err(SYNTAX);
        }
        if self.depth > 0 {
            self.text.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }

    fn add_element(&mut self, start: &BytesStart<'_>) -> Result<(), BodyFault> {
        if self.depth == 0 && std::mem::replace(&mut self.has_root, true) {
            return Err(SYNTAX);
        }
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| SYNTAX)?;
            let name = attribute.key.as_ref();
            let value: &str = attribute.value.as_ref();
            if name != "xmlns" && !name.starts_with("xmlns:") {
                let mut expanded = Vec::new();
                self.expand_text(value, 0, &mut expanded)?;
                self.attributes.push(expanded);
            }
        }
        Ok(())
    }

    /// A text with entities in it.
    fn expand_text(&mut self, text: &str, depth: usize, expanded: &mut Vec<u8>) -> Result<(), BodyFault> {
        let mut rest = text;
        while let Some(start) = rest.find('&') {
            expanded.extend_from_slice(&rest.as_bytes()[..start]);
            let length = rest[start..].find(';').ok_or(SYNTAX)?;
            self.expand(&rest[start + 1..start + length], depth, expanded)?;
            rest = &rest[start + length + 1..];
        }
        expanded.extend_from_slice(rest.as_bytes());
        Ok(())
    }

    /// The text of an entity; an undeclared one stays empty behind a document type, which may declare it elsewhere.
    fn expand(&mut self, name: &str, depth: usize, expanded: &mut Vec<u8>) -> Result<(), BodyFault> {
        let predefined = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => name.strip_prefix('#').and_then(character),
        };
        if let Some(character) = predefined {
            expanded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        let value =
            self.entities.get(name).cloned().ok_or(BodyFault::Invalid("XML has an undeclared entity"))?;
        self.expanded_bytes += value.len();
        if self.expanded_bytes > MAX_EXPANSION_BYTES || depth == MAX_ENTITY_DEPTH {
            return Err(BodyFault::Invalid("XML entities expand too far"));
        }
        self.expand_text(&value, depth + 1, expanded)
    }

    /// The internal entities of a document type; an external one is empty.
    fn add_entities(&mut self, declaration: &str) {
        for entity in declaration.split("<!ENTITY").skip(1) {
            let entity = entity.trim_start();
            let Some((name, rest)) = entity.split_once(char::is_whitespace) else { continue };
            let rest = rest.trim_start();
            let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
            let value = quote.and_then(|quote| rest[1..].split(quote).next()).unwrap_or("");
            self.entities.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
}

fn character(digits: &str) -> Option<char> {
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    code.ok().and_then(char::from_u32)
}
