//! Sockets of this machine that have a name instead of an address: in the file system, or in the kernel's own list.

use std::{
    borrow::Cow,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// What the kernel keeps of a name.
const MAX_SUN_PATH: usize = 107;
/// What the name of a socket begins with wherever an address could stand.
const SCHEME: &str = "unix:";

/// Where a socket of this machine is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnixAddress {
    Path(PathBuf),
    /// A name that no file stands for (unix(7), abstract).
    Abstract(String),
}

impl UnixAddress {
    /// Reads `unix:/run/a.sock`, `unix:a.sock` (below that folder) or `unix:@name`. None where it does not begin with
    /// `unix:`; an error says in a few words what is wrong with it.
    pub fn parse(text: &str, folder: Option<&Path>) -> Option<Result<UnixAddress, &'static str>> {
        Some(from_socket_addr(text.trim().strip_prefix(SCHEME)?, folder))
    }

    /// Whether a text is the name of a socket, good or not.
    pub fn has_unix_scheme(text: &str) -> bool {
        text.trim().starts_with(SCHEME)
    }

    /// As libraries want it: a name without a file begins with a zero byte.
    pub(in crate::net) fn path(&self) -> Cow<'_, Path> {
        match self {
            UnixAddress::Path(path) => Cow::Borrowed(path),
            UnixAddress::Abstract(name) => Cow::Owned(PathBuf::from(format!("\0{name}"))),
        }
    }
}

fn from_socket_addr(name: &str, folder: Option<&Path>) -> Result<UnixAddress, &'static str> {
    if name.contains('\0') {
        return Err("it holds a byte that no name can hold");
    }
    let place = match name.strip_prefix('@') {
        Some(name) => UnixAddress::Abstract(name.to_owned()),
        None if name.is_empty() || name.ends_with('/') => return Err("it names no socket"),
        None => UnixAddress::Path(folder.map_or_else(|| PathBuf::from(name), |folder| folder.join(name))),
    };
    let length = match &place {
        UnixAddress::Path(path) => path.as_os_str().as_bytes().len(),
        UnixAddress::Abstract(name) => name.len(),
    };
    match length {
        0 => Err("it names no socket"),
        1..=MAX_SUN_PATH => Ok(place),
        _ => Err("it is longer than the 107 bytes that the kernel takes"),
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            UnixAddress::Path(path) => write!(f, "{SCHEME}{}", path.display()),
            UnixAddress::Abstract(name) => write!(f, "{SCHEME}@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_socket_addr(text: &str) -> Option<Result<String, &'static str>> {
        Some(UnixAddress::parse(text, Some(Path::new("/etc/margay")))?.map(|place| place.to_string()))
    }

    #[test]
    fn sockets_are_files_below_the_configuration_or_names() {
        for (text, meant) in [
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            (" unix:a/b.sock ", "unix:/etc/margay/a/b.sock"),
            ("unix:@a b", "unix:@a b"),
        ] {
            assert_eq!(from_socket_addr(text), Some(Ok(meant.to_owned())), "{text}");
        }
        assert_eq!(from_socket_addr("127.0.0.1:80"), None);
    }

    #[test]
    fn names_that_the_kernel_would_refuse_are_refused() {
        let long = format!("unix:/{}", "x".repeat(MAX_SUN_PATH));
        for text in ["unix:", "unix:@", "unix:/run/", "unix:a\0b", &long] {
            assert!(matches!(from_socket_addr(text), Some(Err(_))), "{text:?}");
        }
        let longest = format!("unix:/{}", "x".repeat(MAX_SUN_PATH - 1));
        assert!(socket2::SockAddr::unix(UnixAddress::parse(&longest, None).unwrap().unwrap().path()).is_ok());
    }
}
