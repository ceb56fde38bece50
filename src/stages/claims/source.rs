//! Expressions of claims transformation: `Claims[type] > value` and `Claims[type] > value[index] > delimiter`.

use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    identity::Identity,
};
use std::fmt;

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSource {
    /// The claim's type.
    pub claim: Box<str>,
    /// `None`: the whole value.
    pub part: Option<ClaimPart>,
}

/// A part of a delimited value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPart {
    pub index: i32,
    /// Each of these characters is a delimiter.
    pub delimiters: Box<str>,
}

impl ClaimSource {
    /// Parses an expression as Ocelot does; `None` where Ocelot ignores the entry.
    pub fn parse(text: &str) -> Option<ClaimSource> {
        let mut steps = text.split('>');
        let (first, second) = (steps.next()?, steps.next()?);
        let has_brackets = first.find("Claims[").is_some_and(|at| first[at..].contains(']'));
        let claim = between_brackets(first).filter(|_| has_brackets)?;
        let has_index = second.find("value[").is_some_and(|at| second[at..].contains(']'));
        let part = match steps.next().filter(|_| has_index) {
            None => None,
            Some(delimiters) => Some(ClaimPart {
                index: between_brackets(second)?.trim().parse().ok()?,
                delimiters: delimiters.trim().into(),
            }),
        };
        let part = part.filter(|part| !part.delimiters.is_empty());
        Some(ClaimSource { claim: claim.into(), part })
    }

    /// Appends the value to `out`: all claims of the type joined with commas, or a part.
    pub fn write(&self, user: Option<&Identity>, buffer: &mut Vec<u8>) -> Result<(), GatewayError> {
        let start = buffer.len();
        let mut has_value = false;
        for value in user.into_iter().flat_map(|user| user.claim_values(&self.claim)) {
            if std::mem::replace(&mut has_value, true) {
                buffer.push(b',');
            }
            buffer.extend_from_slice(value.as_bytes());
        }
        match &self.part {
            _ if !has_value => Err(self.missing_claim(user)),
            None => Ok(()),
            Some(part) => part.retain_part(start, buffer).ok_or_else(|| self.missing_claim(user)),
        }
    }

    fn missing_claim(&self, user: Option<&Identity>) -> GatewayError {
        let detail = match (user, &self.part) {
            (None, _) => format!("the request is not authenticated and has no claim {}", self.claim),
            (Some(user), Some(part)) if user.claim_value(&self.claim).is_some() => {
                format!("the caller's claim {} has no part {}", self.claim, part.index)
            }
            _ => format!("the caller has no claim {}", self.claim),
        };
        GatewayError::new(ErrorCode::AccessClaim, detail)
    }
}

impl ClaimPart {
    /// Reduces the bytes after `start` to this part; `None` if there is no such part.
    fn retain_part(&self, start: usize, buffer: &mut Vec<u8>) -> Option<()> {
        let text = std::str::from_utf8(&buffer[start..]).ok()?;
        let part = text.split(|c| self.delimiters.contains(c)).nth(usize::try_from(self.index).ok()?)?;
        let from = start + (part.as_ptr() as usize - text.as_ptr() as usize);
        let length = part.len();
        buffer.copy_within(from..from + length, start);
        buffer.truncate(start + length);
        Some(())
    }
}

/// The text between the first `[` and the first `]`.
fn between_brackets(text: &str) -> Option<&str> {
    let (open, close) = (text.find('[')?, text.find(']')?);
    text.get(open + 1..close)
}

impl fmt::Display for ClaimSource {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Claims[{}] > value", self.claim)?;
        match &self.part {
            Some(part) => write!(f, "[{}] > {}", part.index, part.delimiters),
            None => Ok(()),
        }
    }
}
