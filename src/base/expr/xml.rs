//! XML documents as trees: without DTDs and entities of documents, bounded in depth.

use quick_xml::{Reader, escape::unescape, events::Event};
use std::sync::Arc;

/// Maximum depth of elements.
const MAX_DEPTH: usize = 64;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The name as written, with its prefix.
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Node>,
}

/// A child of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Text(String),
    Element(Arc<Element>),
}

impl Element {
    /// The name without its prefix.
    pub fn local_name(&self) -> &str {
        local(&self.name)
    }

    /// The child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Arc<Element>> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// All text in it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.collect_text(&mut text);
        text
    }

    fn collect_text(&self, text: &mut String) {
        for child in &self.children {
            match child {
                Node::Text(part) => text.push_str(part),
                Node::Element(element) => element.collect_text(text),
            }
        }
    }
}

/// A name without its prefix.
pub fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Parses a document; the message of an error is for logs and diagnostics.
pub fn parse(text: &str) -> Result<Arc<Element>, String> {
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().map_err(|error| format!("malformed XML: {error}"))? {
            Event::Start(tag) => {
                if open.len() >= MAX_DEPTH {
                    return Err(format!("elements are nested more than {MAX_DEPTH} levels deep"));
                }
                open.push(element(&tag)?);
            }
            Event::Empty(tag) => add(&mut open, &mut root, element(&tag)?)?,
            Event::End(_) => {
                let done = open.pop().ok_or("an end tag without its start tag")?;
                add(&mut open, &mut root, done)?;
            }
            Event::Text(part) => add_text(&mut open, &decoded(&part)?)?,
            Event::CData(part) => add_text(&mut open, &part)?,
            Event::GeneralRef(name) => add_text(&mut open, &entity(&name)?)?,
            Event::DocType(_) => return Err("DTDs are not allowed".to_owned()),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    if !open.is_empty() {
        return Err("an element is not closed".to_owned());
    }
    root.map(Arc::new).ok_or_else(|| "the document has no element".to_owned())
}

/// Text with its entities replaced; only the five of XML and character references exist.
fn decoded(text: &str) -> Result<String, String> {
    unescape(text).map(|text| text.into_owned()).map_err(|error| error.to_string())
}

/// The text of `&name;`.
fn entity(name: &str) -> Result<String, String> {
    unescape(&format!("&{name};"))
        .map(|text| text.into_owned())
        .map_err(|_| format!("unknown entity &{name};"))
}

fn element(tag: &quick_xml::events::BytesStart<'_>) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| format!("malformed attribute: {error}"))?;
        attributes.push((attribute.key.as_ref().to_owned(), decoded(&attribute.value)?));
    }
    Ok(Element { name: tag.name().as_ref().to_owned(), attributes, children: Vec::new() })
}

fn add(open: &mut [Element], root: &mut Option<Element>, done: Element) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => parent.children.push(Node::Element(Arc::new(done))),
        None if root.is_none() => *root = Some(done),
        None => return Err("the document has two root elements".to_owned()),
    }
    Ok(())
}

fn add_text(open: &mut [Element], text: &str) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => match parent.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ => parent.children.push(Node::Text(text.to_owned())),
        },
        None if text.trim().is_empty() => {}
        None => return Err("there is text outside the root element".to_owned()),
    }
    Ok(())
}

/// Escapes a text.
pub fn escape_into(text: &str, is_attribute: bool, buffer: &mut String) {
    for c in text.chars() {
        match c {
            '&' => buffer.push_str("&amp;"),
            '<' => buffer.push_str("&lt;"),
            '>' => buffer.push_str("&gt;"),
            '"' if is_attribute => buffer.push_str("&quot;"),
            c => buffer.push(c),
        }
    }
}

/// The document of an element.
pub fn write_element(element: &Element) -> String {
    let mut buffer = String::new();
    write_into(element, &mut buffer);
    buffer
}

fn write_into(element: &Element, buffer: &mut String) {
    buffer.push('<');
    buffer.push_str(&element.name);
    for (name, value) in &element.attributes {
        buffer.push(' ');
        buffer.push_str(name);
        buffer.push_str("=\"");
        escape_into(value, true, buffer);
        buffer.push('"');
    }
    if element.children.is_empty() {
        buffer.push_str("/>");
        return;
    }
    buffer.push('>');
    for child in &element.children {
        match child {
            Node::Text(text) => escape_into(text, false, buffer),
            Node::Element(child) => write_into(child, buffer),
        }
    }
    buffer.push_str("</");
    buffer.push_str(&element.name);
    buffer.push('>');
}

/// The texts at a path: `a/b`, `//b`, `*`, `@attribute`, `[n]`. A name without a prefix has any namespace. The path begins at
/// the root element.
pub fn find(root: &Arc<Element>, path: &str) -> Result<Vec<String>, String> {
    let document = Arc::new(Element { children: vec![Node::Element(root.clone())], ..Element::default() });
    let mut here = vec![document];
    let mut rest = path.trim();
    if rest.is_empty() {
        return Err("the path is empty".to_owned());
    }
    loop {
        let is_deep = rest.starts_with("//");
        rest = rest.trim_start_matches('/');
        let (step, next) = rest.split_once('/').map_or((rest, ""), |(step, _)| (step, &rest[step.len()..]));
        if let Some(name) = step.strip_prefix('@') {
            let owners = if is_deep { here.iter().flat_map(descendants).collect() } else { here };
            let values = owners.iter().flat_map(|owner| &owner.attributes);
            return Ok(values
                .filter(|(known, _)| is_named(known, name))
                .map(|(_, value)| value.clone())
                .collect());
        }
        if step == "text()" {
            return Ok(here.iter().map(|element| element.text()).collect());
        }
        here = step_into(&here, step, is_deep)?;
        if next.is_empty() {
            return Ok(here.iter().map(|element| element.text()).collect());
        }
        rest = next;
    }
}

/// The elements that one step of a path leads to.
fn step_into(here: &[Arc<Element>], step: &str, is_deep: bool) -> Result<Vec<Arc<Element>>, String> {
    let (name, position) = match step.split_once('[') {
        None => (step, None),
        Some((name, rest)) => {
            let number = rest.strip_suffix(']').and_then(|number| number.parse::<usize>().ok());
            (name, Some(number.ok_or_else(|| format!("malformed step `{step}`"))?))
        }
    };
    if name.is_empty() {
        return Err("a step of the path is empty".to_owned());
    }
    let mut found = Vec::new();
    for parent in here {
        let parents = if is_deep { descendants(parent) } else { vec![parent.clone()] };
        for parent in parents {
            let mut fitting = parent.elements().filter(|child| name == "*" || is_named(&child.name, name));
            match position {
                None => found.extend(fitting.cloned()),
                Some(at) => found.extend(fitting.nth(at.wrapping_sub(1)).cloned()),
            }
        }
    }
    Ok(found)
}

fn descendants(element: &Arc<Element>) -> Vec<Arc<Element>> {
    let mut all = vec![element.clone()];
    for child in element.elements() {
        all.extend(descendants(child));
    }
    all
}

fn is_named(known: &str, name: &str) -> bool {
    if name.contains(':') { known == name } else { local(known) == name }
}
