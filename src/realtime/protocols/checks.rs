//! Names and ids in messages of clients.

use crate::realtime::names::is_group_name;

/// Maximum size of event names, stream ids and invocation ids in bytes.
pub const MAX_NAME_BYTES: usize = 1024;

/// The group, if its name is valid.
pub fn checked_group(group: String) -> Result<Box<str>, String> {
    match is_group_name(&group) {
        true => Ok(group.into()),
        false => Err("invalid `group`: must have 1 to 1024 characters and not only white space".to_owned()),
    }
}

/// A name or id of `member`, if it is neither empty nor too long.
pub fn checked_name(member: &str, name: String) -> Result<Box<str>, String> {
    match name.len() {
        1..=MAX_NAME_BYTES => Ok(name.into()),
        _ => Err(format!("invalid `{member}`: must have 1 to {MAX_NAME_BYTES} bytes")),
    }
}
