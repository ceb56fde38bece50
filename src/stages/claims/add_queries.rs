//! `AddQueriesToRequest`: query parameters out of claims.
//!
//! What came is kept as it is spelled; a value of ours is escaped, so that it can neither end nor begin a parameter.

use super::{Entry, describe, sorted};
use crate::{
    base::percent::{is_unsplit, percent_decoded, put_percent},
    pipeline::{
        cause::Cause,
        exchange::Exchange,
        stage::{Stage, Step},
    },
};

use smallvec::SmallVec;

pub const NAME: &str = "claims-to-queries";

/// Sets parameters: in their place where the request has them, else behind the others.
#[derive(Debug)]
pub struct AddQueries {
    entries: Box<[Entry]>,
    /// Ocelot's letter: what came is decoded and written anew, `flag` becomes `flag=`.
    ocelot: bool,
}

impl AddQueries {
    pub fn new(entries: Vec<Entry>, ocelot: bool) -> AddQueries {
        AddQueries { entries: sorted(entries), ocelot }
    }

    /// Writes the new query, with its `?`, to `out`; `value` is memory.
    fn write(&self, x: &Exchange, value: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Cause> {
        let query = x.req.target().get(x.path_len + 1..).unwrap_or_default();
        let mut seen: SmallVec<[bool; 8]> = SmallVec::from_elem(false, self.entries.len());
        for param in query.split(|b| *b == b'&').filter(|param| !param.is_empty()) {
            let name = param.split(|b| *b == b'=').next().unwrap_or_default();
            let name = percent_decoded(name, true);
            match self.entries.iter().position(|(entry, _)| entry.as_bytes() == &*name) {
                None => self.keep(param, out),
                Some(at) if !std::mem::replace(&mut seen[at], true) => put(&self.entries[at], x, value, out)?,
                Some(_) => {}
            }
        }
        for (entry, _) in self.entries.iter().zip(seen).filter(|(_, seen)| !seen) {
            put(entry, x, value, out)?;
        }
        Ok(())
    }

    fn keep(&self, param: &[u8], out: &mut Vec<u8>) {
        out.push(separator(out));
        if !self.ocelot {
            return out.extend_from_slice(param);
        }
        let mut sides = param.splitn(2, |b| *b == b'=');
        put_text(&percent_decoded(sides.next().unwrap_or_default(), true), true, out);
        out.push(b'=');
        put_text(&percent_decoded(sides.next().unwrap_or_default(), true), false, out);
    }
}

fn separator(out: &[u8]) -> u8 {
    if out.is_empty() { b'?' } else { b'&' }
}

fn put((name, source): &Entry, x: &Exchange, value: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Cause> {
    value.clear();
    source.write(x.user.as_deref(), value)?;
    out.push(separator(out));
    put_text(name.as_bytes(), true, out);
    out.push(b'=');
    put_text(value, false, out);
    Ok(())
}

/// Writes a name or a value so that it stays one.
fn put_text(text: &[u8], is_name: bool, out: &mut Vec<u8>) {
    for byte in text {
        match is_unsplit(*byte) && !(is_name && *byte == b'=') {
            true => out.push(*byte),
            false => put_percent(*byte, out),
        }
    }
}

impl Stage for AddQueries {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        let (mut query, mut value) = (std::mem::take(&mut x.query), std::mem::take(&mut x.scratch));
        query.clear();
        let written = self.write(x, &mut value, &mut query);
        (x.query, x.scratch) = (query, value);
        match written {
            Ok(()) => Step::Next,
            Err(cause) => Step::Fail(cause),
        }
    }

    fn describe(&self) -> String {
        describe(&self.entries)
    }
}
