//! The path as the client spelled it: what is forwarded, while the normal form is what is matched.
//!
//! Both have the same dot segments removed, and each unit (a byte or `%XX`) of the one is a unit of the other, so a place in
//! the normal form is found in the spelled one by walking along both.

use super::escape::{PATH, contains, decoded};

/// The widths of the first unit of a spelled path, and of its normal form.
fn unit(spelled: &[u8]) -> (usize, usize) {
    let (byte, width) = match decoded(spelled) {
        Some(byte) => (byte, 3),
        None => (spelled[0], 1),
    };
    let is_plain = contains(byte, PATH) && !(width == 3 && byte == b'/');
    (width, if is_plain { 1 } else { 3 })
}

/// The spelling of `from..to` of the normal form; `None` if a unit begins or ends within it.
pub(super) fn spelled_range(spelled: &[u8], from: usize, to: usize) -> Option<&[u8]> {
    let (mut at, mut normal) = (0, 0);
    let mut place = |wanted: usize| {
        while normal < wanted && at < spelled.len() {
            let (width, normal_width) = unit(&spelled[at..]);
            at += width;
            normal += normal_width;
        }
        (normal == wanted).then_some(at)
    };
    let (start, end) = (place(from)?, place(to)?);
    Some(&spelled[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::routing::Target;
    use proptest::prelude::*;

    #[test]
    fn a_range_of_the_normal_form_is_found_in_the_spelling() {
        let raw = b"/a/%7Eb%2fc|%c3%BC/%/d";
        let target = Target::normalize(raw, false).unwrap();
        assert_eq!(target.path(), b"/a/~b%2fc%7C%C3%BC/%25/d");
        assert_eq!(spelled_range(raw, 3, 18), Some(&b"%7Eb%2fc|%c3%BC"[..]));
        assert_eq!(spelled_range(raw, 19, 22), Some(&b"%"[..]));
        assert_eq!(spelled_range(raw, 6, 8), None, "within %2f");
        assert_eq!(spelled_range(raw, 3, 100), None);
    }

    proptest! {
        #[test]
        fn the_spelling_of_the_whole_path_is_the_path(path in "[/a-c.%0-9A-F|~\\\\;]{0,20}") {
            let raw = format!("/{path}");
            let Ok(target) = Target::normalize(raw.as_bytes(), false) else { return Ok(()) };
            let spelled = target.spelled().unwrap_or(target.path());
            prop_assert_eq!(spelled_range(spelled, 0, target.path_len()), Some(spelled));
        }
    }
}
