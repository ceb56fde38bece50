//! Arguments of queries, forms and bodies.

use super::parts::{Kind, Request, Source, Value};
use crate::waf::transform::url;

impl Request {
    /// Adds an argument and its name.
    pub fn add_argument(&mut self, source: Source, name: &[u8], value: &[u8], path: &[u8]) {
        self.argument_count += 1;
        if self.argument_count > self.max_arguments {
            self.fail_body("too many arguments");
            return;
        }
        self.arguments_size += (name.len() + value.len()) as u64;
        let name = self.add_text(name);
        let value = self.add_text(value);
        let path = self.add_text(path);
        let (kind, name_kind) = match source {
            Source::Query => (Kind::QueryValue, Kind::QueryName),
            _ => (Kind::BodyValue, Kind::BodyName),
        };
        self.add_named(Value { kind, source, name, value, path }, name_kind);
    }

    /// Adds the arguments of a query or a form body: `a=1&b=2`, each name and value percent-decoded.
    pub fn add_form(&mut self, source: Source, text: &[u8]) {
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let is_plain = memchr::memchr2(b'%', b'+', pair).is_none();
            if is_plain {
                self.add_argument(source, name, value, &[]);
            } else {
                self.add_argument(source, &url::decode(name), &url::decode(value), &[]);
            }
        }
    }
}
