//! Reads XML into a tree: no DTD, no external entities, bounded in size and depth.

use quick_xml::{
    Reader as XmlReader,
    events::{BytesStart, Event},
};

/// Maximum size of a file.
pub const MAX_BYTES: u64 = 1 << 20;
const MAX_DEPTH: usize = 64;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Element>,
    /// From 1.
    pub line: usize,
}

impl Element {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The children with this name.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first child with this name.
    pub fn first(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// An error, with its line.
pub type XmlError = (usize, String);

/// The root element of a document.
///
/// # Errors
///
/// The first mistake.
pub fn parse(text: &str) -> Result<Element, XmlError> {
    let mut reader = XmlReader::from_str(text);
    let mut open: Vec<Element> = vec![Element::default()];
    loop {
        let line = line_at(text, reader.buffer_position());
        let event = reader.read_event().map_err(|error| {
            let line = line_at(text, reader.error_position());
            (line, format!("not well-formed XML: {error}"))
        })?;
        match event {
            Event::DocType(_) => return Err((line, "a DOCTYPE is not allowed".to_owned())),
            Event::Start(start) => {
                if open.len() > MAX_DEPTH {
                    return Err((line, format!("elements are nested more than {MAX_DEPTH} deep")));
                }
                open.push(element(&start, line)?);
            }
            Event::Empty(start) => {
                let element = element(&start, line)?;
                push(&mut open, element);
            }
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    push(&mut open, element);
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let last = line_at(text, text.len() as u64);
    if open.len() != 1 {
        return Err((last, "an element is not closed".to_owned()));
    }
    let mut roots = open.pop().map(|root| root.children).unwrap_or_default();
    if roots.len() != 1 {
        return Err((1, "expected one root element".to_owned()));
    }
    roots.pop().ok_or((1, "expected one root element".to_owned()))
}

fn push(open: &mut [Element], element: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(element);
    }
}

fn element(start: &BytesStart, line: usize) -> Result<Element, XmlError> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| (line, format!("malformed attribute: {error}")))?;
        let value = unescape(&attribute.value).map_err(|error| (line, error))?;
        attributes.push((attribute.key.as_ref().to_owned(), value));
    }
    let name = start.local_name().as_ref().to_owned();
    Ok(Element { name, attributes, children: Vec::new(), line })
}

fn unescape(value: &str) -> Result<String, String> {
    quick_xml::escape::unescape(value)
        .map(|value| value.into_owned())
        .map_err(|error| format!("malformed value: {error}"))
}

fn line_at(text: &str, position: u64) -> usize {
    let end = usize::try_from(position).unwrap_or(text.len()).min(text.len());
    text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_their_attributes_and_lines() {
        let root =
            parse("<?xml version=\"1.0\"?>\n<a x=\"1 &amp; 2\">\n <b/>\n <b y=\"z\"><c/></b></a>").unwrap();
        assert_eq!((root.name.as_str(), root.line, root.attribute("x")), ("a", 2, Some("1 & 2")));
        assert_eq!(root.all("b").map(|b| b.line).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn a_document_type_malformed_text_and_deep_nesting_are_refused() {
        assert!(parse("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>").is_err());
        for text in ["", "<a>", "<a></b>", "<a/><b/>", "text"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = format!("{}{}", "<a>".repeat(70), "</a>".repeat(70));
        assert!(parse(&deep).unwrap_err().1.contains("64"));
    }
}
