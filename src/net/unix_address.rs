//! Addresses of Unix domain sockets: a path in the file system or a name in the abstract namespace.

use std::{
    borrow::Cow,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Maximum length of `sun_path`, without the terminating zero byte.
const MAX_SUN_PATH: usize = 107;
/// Prefix of a Unix domain socket address in the configuration.
const SCHEME: &str = "unix:";

/// The address of a Unix domain socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnixAddress {
    Path(PathBuf),
    /// A name in the abstract namespace, without a file (unix(7)).
    Abstract(String),
}

impl UnixAddress {
    /// Parses `unix:/run/a.sock`, `unix:a.sock` (relative to `base_dir`) or `unix:@name`. `None` without the prefix `unix:`; an
    /// error contains a short reason.
    pub fn parse(text: &str, base_dir: Option<&Path>) -> Option<Result<UnixAddress, &'static str>> {
        Some(parse_name(text.trim().strip_prefix(SCHEME)?, base_dir))
    }

    /// Whether a text has the prefix `unix:`, valid or not.
    pub fn has_unix_scheme(text: &str) -> bool {
        text.trim().starts_with(SCHEME)
    }

    /// The address as a path: an abstract name begins with a zero byte.
    pub(in crate::net) fn path(&self) -> Cow<'_, Path> {
        match self {
            UnixAddress::Path(path) => Cow::Borrowed(path),
            UnixAddress::Abstract(name) => Cow::Owned(PathBuf::from(format!("\0{name}"))),
        }
    }
}

fn parse_name(name: &str, base_dir: Option<&Path>) -> Result<UnixAddress, &'static str> {
    if name.contains('\0') {
        return Err("it contains a zero byte");
    }
    let address = match name.strip_prefix('@') {
        Some(name) => UnixAddress::Abstract(name.to_owned()),
        None if name.is_empty() || name.ends_with('/') => return Err("it contains no path or name"),
        None => {
            UnixAddress::Path(base_dir.map_or_else(|| PathBuf::from(name), |base_dir| base_dir.join(name)))
        }
    };
    let length = match &address {
        UnixAddress::Path(path) => path.as_os_str().as_bytes().len(),
        UnixAddress::Abstract(name) => name.len(),
    };
    match length {
        0 => Err("it contains no path or name"),
        1..=MAX_SUN_PATH => Ok(address),
        _ => Err("it is longer than the maximum of 107 bytes"),
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

    fn parse(text: &str) -> Option<Result<String, &'static str>> {
        Some(UnixAddress::parse(text, Some(Path::new("/etc/margay")))?.map(|address| address.to_string()))
    }

    #[test]
    fn addresses_are_files_relative_to_the_configuration_or_abstract_names() {
        for (text, expected) in [
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            (" unix:a/b.sock ", "unix:/etc/margay/a/b.sock"),
            ("unix:@a b", "unix:@a b"),
        ] {
            assert_eq!(parse(text), Some(Ok(expected.to_owned())), "{text}");
        }
        assert_eq!(parse("127.0.0.1:80"), None);
    }

    #[test]
    fn addresses_that_the_kernel_rejects_are_invalid() {
        let long = format!("unix:/{}", "x".repeat(MAX_SUN_PATH));
        for text in ["unix:", "unix:@", "unix:/run/", "unix:a\0b", &long] {
            assert!(matches!(parse(text), Some(Err(_))), "{text:?}");
        }
        let longest = format!("unix:/{}", "x".repeat(MAX_SUN_PATH - 1));
        assert!(socket2::SockAddr::unix(UnixAddress::parse(&longest, None).unwrap().unwrap().path()).is_ok());
    }
}
