//! Parser for dictionaries of structured fields (RFC 8941 4.2.2), as far as cache directives need them.

use crate::base::bytes::trim_ows;

/// The value of a member; parameters are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    True,
    Number(i64),
    Text(Vec<u8>),
    /// Any other well-formed value.
    Other,
}

/// The members, the last of each name; `None` if it is not a dictionary.
pub fn dictionary(text: &[u8]) -> Option<Vec<(Vec<u8>, Value)>> {
    let mut remaining = Parser(trim_ows(text));
    let mut members: Vec<(Vec<u8>, Value)> = Vec::new();
    while !remaining.0.is_empty() {
        let name = remaining.key()?.to_vec();
        let value = if remaining.consume_if(b'=') { remaining.item_or_list()? } else { Value::True };
        remaining.parameters()?;
        members.retain(|(known, _)| *known != name);
        members.push((name, value));
        remaining.0 = trim_ows(remaining.0);
        if remaining.0.is_empty() {
            break;
        }
        if !remaining.consume_if(b',') {
            return None;
        }
        remaining.0 = trim_ows(remaining.0);
        // A trailing comma is invalid.
        if remaining.0.is_empty() {
            return None;
        }
    }
    Some(members)
}

struct Parser<'t>(&'t [u8]);

impl<'t> Parser<'t> {
    fn consume_if(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'t [u8] {
        let end = self.0.iter().position(|b| !accept(*b)).unwrap_or(self.0.len());
        let (taken, remaining) = self.0.split_at(end);
        self.0 = remaining;
        taken
    }

    fn key(&mut self) -> Option<&'t [u8]> {
        let first = self.0.first()?;
        if !first.is_ascii_lowercase() && *first != b'*' {
            return None;
        }
        Some(self.take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b)))
    }

    fn item_or_list(&mut self) -> Option<Value> {
        if !self.consume_if(b'(') {
            return self.item();
        }
        loop {
            self.take_while(|b| b == b' ');
            if self.consume_if(b')') {
                return Some(Value::Other);
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Value> {
        match self.0.first()? {
            b'"' => self.text(),
            b'?' => {
                self.consume_if(b'?');
                let set = self.consume_if(b'1');
                (set || self.consume_if(b'0')).then_some(if set { Value::True } else { Value::Other })
            }
            b':' => {
                self.consume_if(b':');
                self.take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
                self.consume_if(b':').then_some(Value::Other)
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take_while(|b| crate::base::bytes::is_tchar(b) || b":/".contains(&b));
                Some(Value::Other)
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Value> {
        self.consume_if(b'"');
        let mut text = Vec::new();
        loop {
            let (first, remaining) = self.0.split_first()?;
            self.0 = remaining;
            match first {
                b'"' => return Some(Value::Text(text)),
                b'\\' => {
                    let (escaped, remaining) = self.0.split_first()?;
                    self.0 = remaining;
                    matches!(escaped, b'"' | b'\\').then(|| text.push(*escaped))?;
                }
                0x20..=0x7e => text.push(*first),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let negative = self.consume_if(b'-');
        let digits = self.take_while(|b| b.is_ascii_digit());
        if self.consume_if(b'.') {
            let fraction = self.take_while(|b| b.is_ascii_digit());
            let fits = (1..=12).contains(&digits.len()) && (1..=3).contains(&fraction.len());
            return fits.then_some(Value::Other);
        }
        if !(1..=15).contains(&digits.len()) {
            return None;
        }
        let n = digits.iter().fold(0i64, |n, digit| n * 10 + i64::from(digit - b'0'));
        Some(Value::Number(if negative { -n } else { n }))
    }

    fn parameters(&mut self) -> Option<()> {
        while self.consume_if(b';') {
            self.take_while(|b| b == b' ');
            self.key()?;
            if self.consume_if(b'=') {
                self.item()?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_typed_values() {
        let text = b" a, b=10;p=1;q, c=\"x\\\"y\",\td=-5 , e=(1 \"x\";y t), f=1.5, g=:YQ==:, h=?0, i=tok/en ";
        let members = dictionary(text).unwrap();
        let values: Vec<_> = members.into_iter().map(|(_, value)| value).collect();
        let (number, other) = (Value::Number, Value::Other);
        assert_eq!(values[..4], [Value::True, number(10), Value::Text(b"x\"y".to_vec()), number(-5)]);
        assert!(values[4..].iter().all(|value| *value == other));
        assert_eq!(dictionary(b"a=1, a=2"), Some(vec![(b"a".to_vec(), Value::Number(2))]));
        assert_eq!(dictionary(b""), Some(vec![]));
    }

    #[test]
    fn malformed_dictionaries_are_rejected() {
        for text in [
            "A",
            "a=",
            "a,",
            "a,,b",
            "a b",
            "a=\"x",
            "a=1234567890123456",
            "a=1.2345",
            "a=(1 2",
            "a=:x",
            "&",
            "a=\"\u{e9}\"",
        ] {
            assert_eq!(dictionary(text.as_bytes()), None, "{text}");
        }
    }
}
