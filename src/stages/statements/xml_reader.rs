//! Policy documents in XML as Azure API Management accepts them: expressions in attributes and texts are raw C#, with
//! quotes, `<` and `&` that XML does not allow.

use super::csharp::end_of_expression;

/// Depth of elements.
const MAX_DEPTH: usize = 100;

/// An element.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Element {
    pub name: String,
    /// The offsets of the element.
    pub start: usize,
    pub end: usize,
    pub attributes: Vec<XmlAttribute>,
    pub children: Vec<Element>,
    /// The text, trimmed.
    pub text: String,
    pub text_start: usize,
}

/// An attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct XmlAttribute {
    pub name: String,
    pub value: String,
    pub start: usize,
    pub end: usize,
}

/// Why a document is not well-formed, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct XmlError {
    pub message: String,
    pub at: usize,
}

/// Reads a document; `raw` are the elements whose content is a text even if it contains markup.
pub fn read_xml(text: &str, raw: &[&str]) -> Result<Element, XmlError> {
    let mut scanner = Scanner { text, at: 0, raw };
    scanner.skip_prolog()?;
    let root = scanner.element(0)?;
    scanner.skip_space_and_comments()?;
    if scanner.at < text.len() {
        return Err(scanner.error("text behind the root element"));
    }
    Ok(root)
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    raw: &'t [&'t str],
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, message: impl Into<String>) -> XmlError {
        XmlError { message: message.into(), at: self.at }
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn skip_space_and_comments(&mut self) -> Result<(), XmlError> {
        loop {
            self.skip_space();
            if !self.rest().starts_with("<!--") {
                return Ok(());
            }
            self.skip_behind("-->", "a comment is not closed")?;
        }
    }

    fn skip_behind(&mut self, end: &str, message: &str) -> Result<(), XmlError> {
        let found = self.rest().find(end).ok_or_else(|| self.error(message))?;
        self.at += found + end.len();
        Ok(())
    }

    fn skip_prolog(&mut self) -> Result<(), XmlError> {
        if self.rest().starts_with('\u{feff}') {
            self.at += '\u{feff}'.len_utf8();
        }
        self.skip_space();
        if self.rest().starts_with("<?xml") {
            self.skip_behind("?>", "the XML declaration is not closed")?;
        }
        self.skip_space_and_comments()?;
        if self.rest().starts_with("<!") {
            return Err(self.error("a document type declaration is not allowed"));
        }
        Ok(())
    }

    fn name(&mut self) -> Result<String, XmlError> {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let length = self.rest().find(|c| !is_name(c)).unwrap_or(self.rest().len());
        if length == 0 {
            return Err(self.error("expected a name"));
        }
        let name = self.rest()[..length].to_owned();
        self.at += length;
        Ok(name)
    }

    fn element(&mut self, depth: usize) -> Result<Element, XmlError> {
        if !self.rest().starts_with('<') {
            return Err(self.error("expected an element"));
        }
        if depth > MAX_DEPTH {
            return Err(self.error("elements are nested too deeply"));
        }
        let start = self.at;
        self.at += 1;
        let mut element = Element { name: self.name()?, start, ..Element::default() };
        loop {
            self.skip_space();
            if self.rest().starts_with("/>") {
                self.at += 2;
                element.end = self.at;
                return Ok(element);
            }
            if self.rest().starts_with('>') {
                self.at += 1;
                break;
            }
            let attribute = self.attribute()?;
            if element.attributes.iter().any(|known| known.name == attribute.name) {
                return Err(self.error(format!("the attribute `{}` is repeated", attribute.name)));
            }
            element.attributes.push(attribute);
        }
        self.content(&mut element, depth)?;
        element.end = self.at;
        Ok(element)
    }

    fn attribute(&mut self) -> Result<XmlAttribute, XmlError> {
        let start = self.at;
        let name = self.name()?;
        self.skip_space();
        if !self.rest().starts_with('=') {
            return Err(self.error(format!("expected `=` behind `{name}`")));
        }
        self.at += 1;
        self.skip_space();
        let quote = self.rest().chars().next().filter(|c| matches!(c, '"' | '\''));
        let quote = quote.ok_or_else(|| self.error("expected a quoted value"))?;
        self.at += 1;
        let length = self.value_length(quote).ok_or_else(|| self.error("the value is not closed"))?;
        let value = unescaped(&self.rest()[..length]);
        self.at += length + 1;
        Ok(XmlAttribute { name, value, start, end: self.at })
    }

    /// The length of a value up to its quote; the quotes of an expression do not end it.
    fn value_length(&self, quote: char) -> Option<usize> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start().len();
        if is_expression(&rest[blank..])
            && let Some(length) = end_of_expression(&rest[blank..])
        {
            let behind = &rest[blank + length..];
            let space = behind.len() - behind.trim_start().len();
            if behind[space..].starts_with(quote) {
                return Some(blank + length + space);
            }
        }
        rest.find(quote)
    }

    fn content(&mut self, element: &mut Element, depth: usize) -> Result<(), XmlError> {
        let end_tag = format!("</{}", element.name);
        if self.raw.contains(&element.name.as_str()) {
            return self.raw_content(element, &end_tag);
        }
        let mut text = String::new();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return Err(XmlError {
                    message: format!("`{}` is not closed", element.name),
                    at: element.start,
                });
            }
            if rest.starts_with("<!--") {
                self.skip_behind("-->", "a comment is not closed")?;
            } else if let Some(data) = rest.strip_prefix("<![CDATA[") {
                let length = data.find("]]>").ok_or_else(|| self.error("a CDATA section is not closed"))?;
                text.push_str(&data[..length]);
                self.at += "<![CDATA[".len() + length + 3;
            } else if rest.starts_with("</") {
                return self.end(element, &text);
            } else if rest.starts_with('<') {
                let child = self.element(depth + 1)?;
                element.children.push(child);
            } else {
                self.text_part(element, &mut text);
            }
        }
    }

    fn text_part(&mut self, element: &mut Element, text: &mut String) {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start().len();
        if text.trim().is_empty() {
            element.text_start = self.at + blank;
        }
        let inner = &rest[blank..];
        let length = if is_expression(inner) { end_of_expression(inner) } else { None };
        let length = length.map_or_else(|| rest.find('<').unwrap_or(rest.len()), |length| blank + length);
        text.push_str(&unescaped(&rest[..length]));
        self.at += length.max(1);
    }

    fn end(&mut self, element: &mut Element, text: &str) -> Result<(), XmlError> {
        self.at += 2;
        let name = self.name()?;
        if name != element.name {
            return Err(self.error(format!("expected `</{}>`, found `</{name}>`", element.name)));
        }
        self.skip_space();
        if !self.rest().starts_with('>') {
            return Err(self.error("expected `>`"));
        }
        self.at += 1;
        text.trim().clone_into(&mut element.text);
        Ok(())
    }

    /// The content up to the end tag, as it is.
    fn raw_content(&mut self, element: &mut Element, end_tag: &str) -> Result<(), XmlError> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start().len();
        element.text_start = self.at + blank;
        let skipped = if is_expression(&rest[blank..]) { end_of_expression(&rest[blank..]) } else { None };
        let from = blank + skipped.unwrap_or(0);
        let found = rest[from..].find(end_tag);
        let length = from + found.ok_or_else(|| self.error(format!("`{}` is not closed", element.name)))?;
        let content = rest[..length].trim();
        let content = content.strip_prefix("<![CDATA[").and_then(|data| data.strip_suffix("]]>"));
        let text = content.map_or_else(|| unescaped(rest[..length].trim()), str::to_owned);
        self.at += length;
        self.end(element, &text)
    }
}

fn is_expression(text: &str) -> bool {
    text.starts_with("@(") || text.starts_with("@{")
}

/// Replaces the five entities and character references; everything else stays.
fn unescaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').filter(|end| *end <= 10);
        let character = end.and_then(|end| entity(&rest[1..end]));
        match (character, end) {
            (Some(character), Some(end)) => {
                result.push(character);
                rest = &rest[end + 1..];
            }
            _ => {
                result.push('&');
                rest = &rest[1..];
            }
        }
    }
    result + rest
}

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_keep_their_quotes_and_brackets() {
        let text = r#"<policies><!-- c --><a b="@(x["k"] == "</a>")" c='1'/><v>@(y.As<J>() && 1 < 2)</v></policies>"#;
        let root = read_xml(text, &[]).unwrap();
        assert_eq!(root.children[0].attributes[0].value, r#"@(x["k"] == "</a>")"#);
        assert_eq!(root.children[0].attributes[1].value, "1");
        assert_eq!(root.children[1].text, "@(y.As<J>() && 1 < 2)");
        assert_eq!(&text[root.children[1].start..root.children[1].end], "<v>@(y.As<J>() && 1 < 2)</v>");
    }

    #[test]
    fn entities_are_replaced_and_raw_content_stays() {
        let root =
            read_xml("<p><set-body><a>1 &lt; 2</a></set-body><x y='&quot;&#65;&amp;&'/></p>", &["set-body"]);
        let root = root.unwrap();
        assert_eq!(root.children[0].text, "<a>1 < 2</a>");
        assert_eq!(root.children[1].attributes[0].value, "\"A&&");
    }

    #[test]
    fn malformed_documents_are_errors() {
        for text in
            ["", "<a>", "<a></b>", "<a b>", "<a b='1' b='2'/>", "<!DOCTYPE a><a/>", "<a/><b/>", "<a b=1/>"]
        {
            assert!(read_xml(text, &[]).is_err(), "{text}");
        }
    }
}
