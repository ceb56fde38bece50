//! Cookies of sessions: read from one or several pieces, written, cleared, and removed from requests to backends.
//!
//! The first piece begins with the number of pieces: `2.AAAA`. Further ones have the name with a number: `session-2`. The
//! cookies of sign-ins in progress are named `session-login-STATE`.

use super::settings::SessionSettings;
use crate::pipeline::head::Head;
use std::fmt::Write;

/// Bytes of one cookie value; browsers accept 4,096 with name and attributes.
const PIECE_BYTES: usize = 3600;
/// Pieces of one session.
pub const MAX_PIECES: usize = 6;

/// A session cookie of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum CookieText {
    Absent,
    /// Something is missing or occurs twice.
    Malformed,
    Complete(Vec<u8>),
}

/// All cookies of a request, in order.
pub fn all(head: &Head) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = head.get_all(b"cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = memchr::memchr(b'=', pair)?;
        Some((&pair[..at], &pair[at + 1..]))
    })
}

/// The value of a cookie.
///
/// # Errors
///
/// It occurs twice.
fn single<'h>(head: &'h Head, name: &[u8]) -> Result<Option<&'h [u8]>, ()> {
    let mut values = all(head).filter(|(known, _)| *known == name).map(|(_, value)| value);
    let value = values.next();
    if values.next().is_some() { Err(()) } else { Ok(value) }
}

/// Joins the pieces of a session cookie.
pub fn read(head: &Head, name: &str) -> CookieText {
    match pieces(head, name) {
        Ok(Some(text)) => CookieText::Complete(text),
        Ok(None) => CookieText::Absent,
        Err(()) => CookieText::Malformed,
    }
}

fn pieces(head: &Head, name: &str) -> Result<Option<Vec<u8>>, ()> {
    let Some(first) = single(head, name.as_bytes())? else { return Ok(None) };
    let [digit @ b'1'..=b'9', b'.', rest @ ..] = first else { return Err(()) };
    let count = usize::from(digit - b'0');
    if count > MAX_PIECES {
        return Err(());
    }
    let mut text = rest.to_vec();
    for number in 2..=count {
        let piece = single(head, format!("{name}-{number}").as_bytes())?;
        text.extend_from_slice(piece.ok_or(())?);
    }
    Ok(Some(text))
}

/// `Set-Cookie` values for a sealed session; `None` if it is too large. Pieces of a longer one before it are cleared.
pub fn write(settings: &SessionSettings, text: &str, pieces_before: usize) -> Option<Vec<String>> {
    let count = text.len().div_ceil(PIECE_BYTES).max(1);
    if count > MAX_PIECES {
        return None;
    }
    let name = &settings.cookie;
    let chunks =
        (0..count).map(|index| &text[index * PIECE_BYTES..text.len().min((index + 1) * PIECE_BYTES)]);
    let mut fields: Vec<String> = chunks
        .enumerate()
        .map(|(index, chunk)| match index {
            0 => set(settings, name, &format!("{count}.{chunk}"), None),
            _ => set(settings, &format!("{name}-{}", index + 1), chunk, None),
        })
        .collect();
    fields.extend((count + 1..=pieces_before).map(|number| clear(settings, &format!("{name}-{number}"))));
    Some(fields)
}

/// The number of pieces of the session cookie of a request.
pub fn piece_count(head: &Head, name: &str) -> usize {
    let is_piece = |known: &[u8]| is_own(known, name) && !known.windows(6).any(|part| part == b"-login");
    all(head).filter(|(known, _)| is_piece(known)).count().min(MAX_PIECES)
}

/// `Set-Cookie` values that remove the session.
pub fn clear_session(settings: &SessionSettings, pieces: usize) -> Vec<String> {
    let name = &settings.cookie;
    let further = (2..=pieces).map(|number| clear(settings, &format!("{name}-{number}")));
    std::iter::once(clear(settings, name)).chain(further).collect()
}

/// A `Set-Cookie` value; without an age the cookie ends with the browser.
pub fn set(settings: &SessionSettings, name: &str, value: &str, max_age: Option<u64>) -> String {
    let mut field =
        format!("{name}={value}; Path=/; HttpOnly; Secure; SameSite={}", settings.same_site.name());
    if let Some(seconds) = max_age {
        let _ = write!(field, "; Max-Age={seconds}");
    }
    field
}

/// A `Set-Cookie` value that removes a cookie.
pub fn clear(settings: &SessionSettings, name: &str) -> String {
    set(settings, name, "", Some(0))
}

/// Whether a cookie belongs to the sessions of this name.
fn is_own(known: &[u8], name: &str) -> bool {
    known.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'-')
}

/// Removes the cookies of sessions from a request, so that backends do not get them.
pub fn strip(head: &mut Head, name: &str) {
    if !all(head).any(|(known, _)| is_own(known, name)) {
        return;
    }
    let rest: Vec<Vec<u8>> = all(head)
        .filter(|(known, _)| !is_own(known, name))
        .map(|(known, value)| [known, b"=", value].concat())
        .collect();
    head.remove(b"cookie");
    if !rest.is_empty() {
        head.append(b"Cookie", &rest.join(&b"; "[..]));
    }
}
