//! Which names are valid.

/// Longest name of a group, in characters.
const MAX_GROUP_CHARS: usize = 1024;
/// Longest user id.
const MAX_USER_BYTES: usize = 1024;
/// Longest name of a hub.
const MAX_HUB_BYTES: usize = 128;

/// Whether this is the name of a hub: a letter, then letters, digits and ``_ ` , . [ ]``.
pub fn is_hub_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_`,.[]".contains(&byte);
    name.len() <= MAX_HUB_BYTES
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.bytes().all(is_part)
}

/// Whether this is the name of a group: 1 to 1024 characters, not only white space.
pub fn is_group_name(name: &str) -> bool {
    !name.trim().is_empty() && (name.len() <= MAX_GROUP_CHARS || name.chars().count() <= MAX_GROUP_CHARS)
}

/// Whether this is a user id: 1 to 1024 bytes.
pub fn is_user_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_USER_BYTES
}
