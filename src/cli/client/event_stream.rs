//! Server-sent events (WHATWG HTML, 9.2).

/// Longest event that is kept.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Splits a stream into the data of its events.
#[derive(Debug, Default)]
pub struct EventStream {
    line: Vec<u8>,
    data: String,
}

impl EventStream {
    /// The data of the events that end within these bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(&mut events),
                b'\r' => {}
                _ if self.line.len() < MAX_EVENT_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
        events
    }

    fn end_line(&mut self, events: &mut Vec<String>) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            if !self.data.is_empty() {
                events.push(std::mem::take(&mut self.data));
            }
        } else if let Some(data) = line.strip_prefix("data:")
            && self.data.len() < MAX_EVENT_BYTES
        {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_end_with_an_empty_line_and_comments_are_ignored() {
        let mut stream = EventStream::default();
        assert!(stream.push(b": keep-alive\n\ndata: {\"a\":").is_empty());
        assert_eq!(stream.push(b"1}\r\n\r\nevent: x\ndata:b\ndata: c\n\n"), ["{\"a\":1}", "b\nc"]);
    }
}
