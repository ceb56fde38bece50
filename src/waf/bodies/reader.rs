//! Chooses the parser of a body and feeds it as the body arrives.

use super::multipart::MultipartParser;
use super::{BodyFault, boundary, json, xml};
use crate::waf::request::parts::{BodyProcessor, Request, Source};

/// The bytes at the beginning of a body that decide about its format.
const SNIFFED_BYTES: usize = 256;

/// How a body is read.
#[derive(Clone, Copy, Debug)]
pub struct BodySettings {
    /// The bytes that are inspected; contents of files do not count.
    pub inspect_limit: usize,
    /// Whether the content decides when the type is unknown.
    pub is_guessing: bool,
}

#[derive(Debug)]
enum Format {
    /// Nothing was read that decides.
    Unknown,
    /// Not inspected.
    Opaque,
    Form,
    Multipart(Box<MultipartParser>),
    Json,
    JsonLines,
    Xml,
    Text,
}

/// A reader of one body.
#[derive(Debug)]
pub struct BodyReader {
    settings: BodySettings,
    format: Format,
    is_declared: bool,
    is_text: bool,
    held: Vec<u8>,
    length: u64,
    is_cut: bool,
}

impl BodyReader {
    /// A reader for the type that the head declares.
    pub fn new(request: &mut Request, settings: BodySettings) -> Self {
        let content_type = request.header("content-type").unwrap_or_default().to_vec();
        let mut format = match request.processor {
            BodyProcessor::UrlEncoded => Format::Form,
            BodyProcessor::Json => Format::Json,
            BodyProcessor::Xml => Format::Xml,
            BodyProcessor::Multipart => match boundary::from_content_type(&content_type) {
                Ok(boundary) => Format::Multipart(Box::new(MultipartParser::new(&boundary))),
                Err(error) => {
                    request.fail_body(error);
                    Format::Opaque
                }
            },
            BodyProcessor::None => Format::Unknown,
        };
        let media = content_type
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii()
            .to_ascii_lowercase();
        if matches!(&media[..], b"application/x-ndjson" | b"application/ndjson" | b"application/jsonl") {
            format = Format::JsonLines;
        }
        let is_text = media.starts_with(b"text/") || media == b"application/graphql";
        let is_declared = !matches!(format, Format::Unknown);
        if !is_declared && !settings.is_guessing {
            format = Format::Opaque;
        }
        Self { settings, format, is_declared, is_text, held: Vec::new(), length: 0, is_cut: false }
    }

    /// Whether the content is inspected; the first bytes may decide.
    pub fn is_inspecting(&self) -> bool {
        !matches!(self.format, Format::Opaque) && !self.is_cut
    }

    /// The bytes of the file that is being read.
    pub fn open_file_bytes(&self) -> Option<u64> {
        match &self.format {
            Format::Multipart(parser) => parser.open_file_bytes(),
            _ => None,
        }
    }

    /// Whether more bytes arrived than are inspected, files left out.
    pub fn is_over_limit(&self, request: &Request) -> bool {
        let files = request.files_size + self.open_file_bytes().unwrap_or(0);
        self.is_inspecting() && self.length.saturating_sub(files) > self.settings.inspect_limit as u64
    }

    /// Leaves the rest of the body uninspected.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Reads the next bytes.
    pub fn push(&mut self, bytes: &[u8], request: &mut Request) {
        if self.is_cut || matches!(self.format, Format::Opaque) {
            return;
        }
        self.length += bytes.len() as u64;
        if let Format::Multipart(parser) = &mut self.format {
            parser.push(bytes, request);
            return;
        }
        let room = self.settings.inspect_limit.saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if matches!(self.format, Format::Unknown) && self.held.len() >= SNIFFED_BYTES.min(room) {
            self.guess();
        }
    }

    fn guess(&mut self) {
        let start = self.held.trim_ascii_start();
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        self.format = match start.first() {
            Some(b'{' | b'[') => Format::Json,
            Some(b'<') => Format::Xml,
            _ if begins_form(start) => Format::Form,
            Some(_) if self.is_text => Format::Text,
            _ => Format::Opaque,
        };
        if matches!(self.format, Format::Opaque) {
            self.held = Vec::new();
        }
    }

    /// Ends the body and returns its raw bytes, as far as they are held.
    pub fn finish(&mut self, request: &mut Request) -> Vec<u8> {
        if matches!(self.format, Format::Unknown) && !self.held.is_empty() {
            self.guess();
        }
        let body = std::mem::take(&mut self.held);
        let values = request.values().len();
        let result = match &mut self.format {
            Format::Unknown | Format::Opaque => Ok(()),
            Format::Form => {
                request.add_form(Source::Form, &body);
                Ok(())
            }
            Format::Json => json::parse(&body, request),
            Format::JsonLines => json::parse_lines(&body, request),
            Format::Xml if body.is_empty() => Ok(()),
            Format::Xml => xml::parse(&body, request),
            Format::Text => {
                request.add_argument(Source::Text, b"body", &body, &[]);
                Ok(())
            }
            Format::Multipart(parser) => {
                parser.finish(self.is_cut, request);
                parser.error().map_or(Ok(()), |error| Err(BodyFault::Invalid(error)))
            }
        };
        self.report(result, request);
        self.inspect_unread(&body, values, request);
        request.body_length = self.length;
        body
    }

    fn report(&self, result: Result<(), BodyFault>, request: &mut Request) {
        let message = match result {
            Ok(()) => return,
            Err(BodyFault::Incomplete) if self.is_cut => return,
            Err(BodyFault::Incomplete) => "the body ends too early",
            Err(BodyFault::Invalid(message)) => message,
        };
        if self.is_declared {
            if matches!(self.format, Format::Multipart(_)) {
                request.is_multipart_strict_error = true;
            }
            request.fail_body(message);
        }
    }

    /// A text whose guessed format does not hold is inspected as it is.
    fn inspect_unread(&self, body: &[u8], values: usize, request: &mut Request) {
        let is_unread = !self.is_declared && self.is_text && request.values().len() == values;
        if is_unread && matches!(self.format, Format::Json | Format::Xml) && !body.is_empty() {
            request.add_argument(Source::Text, b"body", body, &[]);
        }
    }
}

/// Whether a text begins with `name=`.
fn begins_form(text: &[u8]) -> bool {
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.[]%$+".contains(byte);
    let length = text.iter().take(128).take_while(is_name).count();
    length > 0 && text.get(length) == Some(&b'=')
}
