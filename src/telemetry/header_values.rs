//! Recorded headers, in reusable memory.

/// Header names in lower case and their values, in the order in which they were recorded.
#[derive(Debug, Default)]
pub struct HeaderValues {
    bytes: Vec<u8>,
    /// The ends of name and value of each header.
    ends: Vec<(usize, usize)>,
}

impl HeaderValues {
    /// Without headers, and without memory.
    pub const fn new() -> HeaderValues {
        HeaderValues { bytes: Vec::new(), ends: Vec::new() }
    }

    /// Adds a header.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len()));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Removes all headers and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        starts.zip(&self.ends).map(|(start, (name_end, end))| {
            let name = self.bytes.get(start..*name_end).unwrap_or_default();
            (
                std::str::from_utf8(name).unwrap_or_default(),
                self.bytes.get(*name_end..*end).unwrap_or_default(),
            )
        })
    }

    /// The first value of a header; the name is in lower case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_kept_in_order_and_memory_is_reused() {
        let mut headers = HeaderValues::new();
        headers.push("referer", b"");
        headers.push("user-agent", b"curl");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("referer", &b""[..]), ("user-agent", b"curl")]);
        assert_eq!((headers.get("user-agent"), headers.get("host")), (Some(&b"curl"[..]), None));
        headers.clear();
        assert!(headers.is_empty() && headers.iter().next().is_none());
    }
}
