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

    /// The paths that backends may find in this one: with unescaped separators, without the parameters of segments, and both.
    /// Most paths have none.
    pub fn other_readings(&self) -> impl Iterator<Item = Target<'static>> + '_ {
        let path = self.path();
        let unescapes = memchr::memchr_iter(b'%', path).any(|at| separator_len(&path[at..]).is_some());
        let cuts = memchr::memchr(b';', path).is_some();
        let readings = [(unescapes, false), (false, cuts), (unescapes && cuts, unescapes && cuts)];
        let is_other = |(unescaped, cut): &(bool, bool)| *unescaped || *cut;
        readings.into_iter().filter(is_other).map(|(unescaped, cut)| self.read_as(unescaped, cut))
    }

    fn read_as(&self, unescaped: bool, cut: bool) -> Target<'static> {
        let mut text = Vec::with_capacity(self.text().len());
        let mut rest = self.path();
        let separator = |text: &[u8]| separator_len(text).filter(|len| *len == 1 || unescaped);
        while let Some(&first) = rest.first() {
            let len = match separator(rest) {
                Some(len) => {
                    text.push(b'/');
                    len
                }
                None if cut && first == b';' => {
                    (0..rest.len()).find(|at| separator(&rest[*at..]).is_some()).unwrap_or(rest.len())
                }
                None => {
                    text.push(first);
                    1
                }
            };
            rest = &rest[len..];
        }
        let path_len = text.len();
        text.extend_from_slice(self.query());
        Target::from_normalized(&text, path_len).into_owned()
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
    fn a_path_has_the_readings_of_backends_that_unescape_or_cut_off_parameters() {
        let readings = |raw: &str| -> Vec<String> {
            let target = target(raw);
            target.other_readings().map(|t| String::from_utf8(t.text().to_vec()).unwrap()).collect()
        };
        assert_eq!(readings("/admin%2Fx?a=%2f;"), ["/admin/x?a=%2f;"]);
        assert_eq!(readings("/admin;a=b/x;c"), ["/admin/x"]);
        assert_eq!(readings("/admin\\x"), ["/admin/x"]);
        assert_eq!(readings("/a%5cb;v/c"), ["/a/b;v/c", "/a%5Cb/c", "/a/b/c"]);
        assert_eq!(readings("/a;v%2fb/c"), ["/a;v/b/c", "/a/c", "/a/b/c"]);
        assert!(readings("/a%20b/c.d?x=;").is_empty());
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
