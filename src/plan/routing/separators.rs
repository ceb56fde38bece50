//! Escaped separators next to dot segments: `/public/..%2fadmin`, `..%5c`, `..;`. They are no dot segments to the gateway, and
//! many backends read them as such, behind the check of the route that they were sent through.

use super::path::{Target, remove_dot_segments};

/// Splits a path at `/`, `%2f` and `%5c`. In normal form `\` is `%5C`.
fn pieces(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let text = rest?;
        let found = (0..text.len()).find_map(|at| separator_len(&text[at..]).map(|len| (at, len)));
        let Some((at, len)) = found else { return rest.take() };
        rest = Some(&text[at + len..]);
        Some(&text[..at])
    })
}

fn separator_len(text: &[u8]) -> Option<usize> {
    match text {
        [b'/', ..] => Some(1),
        [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] => Some(3),
        _ => None,
    }
}

/// A segment without its parameters (RFC 3986 3.3).
fn without_parameters(piece: &[u8]) -> &[u8] {
    piece.split(|b| *b == b';').next().unwrap_or_default()
}

impl Target<'_> {
    /// Whether a backend that unescapes separators, or cuts off parameters, would find a dot segment in the path.
    pub fn has_hidden_dot_segment(&self) -> bool {
        let path = self.path();
        // Most paths return here.
        memchr::memchr(b'.', path).is_some()
            && memchr::memchr2(b'%', b';', path).is_some()
            && pieces(path).any(|piece| matches!(without_parameters(piece), b"." | b".."))
    }

    /// The target with unescaped separators and without dot segments; `None`: it has no escaped separators.
    pub fn unescaped(&self) -> Option<Target<'static>> {
        let path = self.path();
        let is_escaped = |at| separator_len(&path[at..]) == Some(3);
        if !memchr::memchr_iter(b'%', path).any(is_escaped) && !self.has_hidden_dot_segment() {
            return None;
        }
        let mut text = Vec::with_capacity(self.text().len());
        for (at, piece) in pieces(path).enumerate() {
            if at > 0 {
                text.push(b'/');
            }
            let bare = without_parameters(piece);
            text.extend_from_slice(if matches!(bare, b"." | b"..") { bare } else { piece });
        }
        remove_dot_segments(&mut text, 0);
        let path_len = text.len();
        text.extend_from_slice(self.query());
        Some(Target::from_normalized(&text, path_len).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(raw: &str) -> Target<'_> {
        Target::normalize(raw.as_bytes(), false).unwrap()
    }

    #[test]
    fn a_dot_segment_next_to_an_escaped_separator_is_found_in_every_spelling() {
        for raw in [
            "/public/..%2fadmin/x",
            "/public/%2e%2e%2Fadmin/x",
            "/public/..;/admin/x",
            "/public/..;a=b/admin",
            "/public/..%3b/admin",
            "/public/..%5cadmin/x",
            "/public/..\\admin",
            "/public/x%2f..%2f..",
            "/public/x\\..",
            "/a/.;/b",
            "/%2f../x",
        ] {
            assert!(target(raw).has_hidden_dot_segment(), "{raw}");
        }
        for raw in
            ["/@types%2fcors", "/a;v=1/b.c", "/a%2f..b", "/..a;x", "/a.b%20c", "/v1.0/a%5cb", "/a/../b"]
        {
            assert!(!target(raw).has_hidden_dot_segment(), "{raw}");
        }
    }

    #[test]
    fn unescaped_separators_cannot_leave_the_root() {
        let text = |raw| target(raw).unescaped().map(|t| String::from_utf8(t.text().to_vec()).unwrap());
        assert_eq!(text("/public/..%2fadmin/x?a=%2f").as_deref(), Some("/admin/x?a=%2f"));
        assert_eq!(text("/public/..;x=1/admin").as_deref(), Some("/admin"));
        assert_eq!(text("/a\\..%5C..\\..\\b").as_deref(), Some("/b"));
        assert_eq!(text("/a%2Fb;v=1").as_deref(), Some("/a/b;v=1"));
        assert_eq!(text("/a/b;v=1/c.d"), None);
    }
}
