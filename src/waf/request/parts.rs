//! Named values and where they come from.

use std::net::IpAddr;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the part of its name")]
pub enum Kind {
    QueryValue,
    QueryName,
    BodyValue,
    BodyName,
    CookieValue,
    CookieName,
    HeaderValue,
    HeaderName,
    Line,
    Method,
    Protocol,
    Uri,
    RawUri,
    Path,
    BaseName,
    QueryString,
    Body,
    FileName,
    FileField,
    PartHeader,
    XmlText,
    XmlAttribute,
    ResponseBody,
    ResponseHeaderValue,
    ResponseHeaderName,
    ResponseStatus,
    ResponseProtocol,
}

impl Kind {
    /// The number of kinds.
    pub const COUNT: usize = Self::ResponseProtocol as usize + 1;

    /// Whether it is the name of a part, not its value.
    pub fn is_name(self) -> bool {
        matches!(
            self,
            Self::QueryName | Self::BodyName | Self::CookieName | Self::HeaderName | Self::FileField
        )
    }
}

/// Which parser produced an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Anything that is no argument.
    Head,
    /// The query.
    Query,
    /// A form body.
    Form,
    /// A field of a multipart body.
    Multipart,
    /// A member of a JSON body; the path is that of the member.
    Json,
    /// A text body, which is one argument.
    Text,
}

/// A piece of the text of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The length in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A named value.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Where it comes from.
    pub source: Source,
    /// The name; empty for parts of which there is one.
    pub name: Span,
    /// The value.
    pub value: Span,
    /// The path of a JSON member, `$.items[0].text`.
    pub path: Span,
}

/// The end of a list of values.
const NO_VALUE: u32 = u32::MAX;

/// How the body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the format of its name")]
pub enum BodyProcessor {
    #[default]
    None,
    UrlEncoded,
    Multipart,
    Json,
    Xml,
}

impl BodyProcessor {
    /// Its name in the rule language.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::UrlEncoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::Xml => "XML",
        }
    }

    /// The processor of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::UrlEncoded, Self::Multipart, Self::Json, Self::Xml]
            .into_iter()
            .find(|processor| processor.name() == name)
    }
}

/// Everything that rules read, as one text and the pieces of it.
#[derive(Debug)]
pub struct Request {
    text: Vec<u8>,
    values: Vec<Value>,
    /// For each value the next one of its kind.
    next: Vec<u32>,
    /// For each kind the first and the last value.
    lists: [(u32, u32); Kind::COUNT],
    /// How the body is read.
    pub processor: BodyProcessor,
    /// Why the body cannot be read.
    pub body_error: Option<&'static str>,
    /// Whether a multipart body violates its grammar.
    pub is_multipart_strict_error: bool,
    /// The bytes of the body that were inspected.
    pub body_length: u64,
    /// The bytes of the files of a multipart body.
    pub files_size: u64,
    /// The sizes of these files.
    pub file_sizes: Vec<u64>,
    /// The bytes of all names and values of arguments.
    pub arguments_size: u64,
    /// The number of arguments.
    pub argument_count: usize,
    /// The address of the client.
    pub remote_address: IpAddr,
    /// The id of the request.
    pub unique_id: Span,
    /// The arguments that a request may have; one more is an error of the body.
    pub max_arguments: usize,
}

impl Request {
    /// A request without parts.
    pub fn empty(remote_address: IpAddr) -> Self {
        Self {
            text: Vec::with_capacity(2048),
            values: Vec::with_capacity(64),
            next: Vec::with_capacity(64),
            lists: [(NO_VALUE, NO_VALUE); Kind::COUNT],
            processor: BodyProcessor::None,
            body_error: None,
            is_multipart_strict_error: false,
            body_length: 0,
            files_size: 0,
            file_sizes: Vec::new(),
            arguments_size: 0,
            argument_count: 0,
            remote_address,
            unique_id: Span::default(),
            max_arguments: 1000,
        }
    }

    /// All values, in the order of the request.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The bytes of a piece.
    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.text[span.start as usize..span.end as usize]
    }

    /// The bytes of everything that was added.
    pub fn text_length(&self) -> usize {
        self.text.len()
    }

    /// Keeps a text.
    pub fn add_text(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        Span { start, end: self.text.len() as u32 }
    }

    /// A piece of a piece.
    pub fn slice(&self, span: Span, start: usize, end: usize) -> Span {
        Span { start: span.start + start as u32, end: span.start + end as u32 }
    }

    /// Adds a part of the head, or a body.
    pub fn add(&mut self, kind: Kind, name: Span, value: Span) {
        self.push(Value { kind, source: Source::Head, name, value, path: Span::default() });
    }

    fn push(&mut self, value: Value) {
        let at = self.values.len() as u32;
        let (first, last) = &mut self.lists[value.kind as usize];
        if *first == NO_VALUE {
            *first = at;
        } else {
            self.next[*last as usize] = at;
        }
        *last = at;
        self.values.push(value);
        self.next.push(NO_VALUE);
    }

    /// The positions of the values of a kind, in order.
    pub fn positions(&self, kind: Kind) -> impl Iterator<Item = usize> + '_ {
        let mut at = self.lists[kind as usize].0;
        std::iter::from_fn(move || {
            let position = (at != NO_VALUE).then_some(at as usize)?;
            at = self.next[position];
            Some(position)
        })
    }

    /// Adds a part whose name is a value too.
    pub fn add_named(&mut self, value: Value, name_kind: Kind) {
        self.push(value);
        self.push(Value { kind: name_kind, value: value.name, ..value });
    }

    /// Reports an error of the body; the first one counts.
    pub fn fail_body(&mut self, message: &'static str) {
        self.body_error.get_or_insert(message);
    }

    /// The first value of a kind.
    pub fn first(&self, kind: Kind) -> &[u8] {
        self.positions(kind).next().map_or(&[], |at| self.bytes(self.values[at].value))
    }

    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.positions(Kind::HeaderValue).map(|at| &self.values[at]);
        let found = fields.find(|value| self.bytes(value.name).eq_ignore_ascii_case(name.as_bytes()));
        found.map(|value| self.bytes(value.value))
    }

    /// The name of a part in the terms of the configuration: `query id`, `json $.items[0].text`, `header User-Agent`.
    pub fn part(&self, value: &Value) -> String {
        let name = String::from_utf8_lossy(self.bytes(value.name));
        let prefix = match (value.kind, value.source) {
            (Kind::QueryValue | Kind::QueryName, _) => "query",
            (_, Source::Json) => return format!("json {}", String::from_utf8_lossy(self.bytes(value.path))),
            (Kind::BodyValue | Kind::BodyName, _) => "form",
            (Kind::CookieValue | Kind::CookieName, _) => "cookie",
            (Kind::HeaderValue | Kind::HeaderName, _) => "header",
            (Kind::FileName | Kind::FileField, _) => "file name",
            (Kind::PartHeader, _) => "part header",
            (Kind::ResponseHeaderValue | Kind::ResponseHeaderName, _) => "response header",
            (kind, _) => return single_part(kind).to_owned(),
        };
        format!("{prefix} {name}")
    }
}

fn single_part(kind: Kind) -> &'static str {
    match kind {
        Kind::Line => "request line",
        Kind::Method => "method",
        Kind::Protocol => "protocol",
        Kind::Uri | Kind::RawUri => "uri",
        Kind::QueryString => "query string",
        Kind::Body => "body",
        Kind::XmlText | Kind::XmlAttribute => "xml",
        Kind::ResponseBody => "response body",
        Kind::ResponseStatus => "response status",
        _ => "path",
    }
}
