//! The releases of the OWASP Core Rule Set whose rules are known by checksum.
//!
//! The checksum is that of the rules, not of an archive: archives of the same release differ between servers and over time.

use super::archive::ArchiveFile;
use crate::base::hex;
use sha2::{Digest, Sha256};

/// Releases, oldest first: SHA-256 over the files `rules/*.conf` and `rules/*.data` in the order of their names, each as
/// name, NUL, length in decimal digits, NUL, content.
const RELEASES: [(&str, &str); 11] = [
    ("4.20.0", "89d54956c8013ebaadbb0464bb65e999c1cec7a8c32b6c2fdcdc6b47745a3d12"),
    ("4.21.0", "4ddb2183703008a469653f289c249e347772e8fd7829415bf8b74d863a2f43ca"),
    ("4.22.0", "e305e30e9a9457efb60e7681596cf0687257e1d4c226f84bd44ae67fac8b8e0c"),
    ("4.23.0", "7c3f4450cc9ef83fcfef6369c1b693ee9343256399f4b4d98b317621d7a436ac"),
    ("4.24.0", "864bec65847915910316f346cee5da9037c530d20a5de047281ad1fbb3bdf687"),
    ("4.24.1", "8cbdea18ac4d0df7e778fa206212f8e41cc0ad179de37f7c783cc928552eadde"),
    ("4.25.0", "efc7b62f65f1cefec50689286fa6ba37a27dcee32511cb2e69106f198c384d8f"),
    ("4.25.1", "21895c1625dca115641b62202f243430b04597e6265fc7849e24b8af96ab0224"),
    ("4.26.0", "eacfc09f6e46ce68a7e7d4e8f45c64c1cbf3864d2ad2c85b10f5bb376307aa63"),
    ("4.27.0", "0afe66092b9d040679bb897b01cbc54901de346bd140de16fb5bccc91242bee0"),
    ("4.28.0", "e18065a012f0fb89029eaa31bfa3759a2823db7f4afdaab0d4d0a082b71597b8"),
];

/// The latest release that is known.
pub fn latest() -> &'static str {
    RELEASES[RELEASES.len() - 1].0
}

/// Whether the rules of a release are known.
pub fn is_known(release: &str) -> bool {
    RELEASES.iter().any(|(known, _)| *known == release)
}

/// Where the project publishes a release.
pub fn url(release: &str) -> String {
    format!("https://github.com/coreruleset/coreruleset/archive/refs/tags/v{release}.tar.gz")
}

/// The release that these files are; with `expected`, none other.
///
/// # Errors
/// The rules are those of no known release, or of another one.
pub fn verify(files: &[ArchiveFile], expected: Option<&str>) -> Result<&'static str, String> {
    let sum = checksum(files);
    let found = RELEASES.iter().find(|(_, known)| *known == sum).map(|(release, _)| *release);
    match (found, expected) {
        (Some(release), None) => Ok(release),
        (Some(release), Some(expected)) if release == expected => Ok(release),
        (Some(release), Some(expected)) => {
            Err(format!("the archive contains release {release}, expected {expected}"))
        }
        (None, _) => Err(format!(
            "the rules of the archive are those of no known release ({} to {}): if you trust it, pass --sha256 with the \
             checksum of the archive",
            RELEASES[0].0,
            latest()
        )),
    }
}

fn checksum(files: &[ArchiveFile]) -> String {
    let rules = files.iter().filter_map(|file| Some((file.name.strip_prefix("rules/")?, &file.content)));
    let mut rules: Vec<_> =
        rules.filter(|(name, _)| name.ends_with(".conf") || name.ends_with(".data")).collect();
    rules.sort();
    let mut hash = Sha256::new();
    for (name, content) in rules {
        hash.update(name.as_bytes());
        hash.update(format!("\0{}\0", content.len()));
        hash.update(content);
    }
    hex::encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> ArchiveFile {
        ArchiveFile { name: name.to_owned(), content: content.as_bytes().to_vec() }
    }

    #[test]
    fn the_checksum_covers_names_and_contents_of_rules_in_any_order() {
        let (a, b) = (file("rules/a.conf", "1"), file("rules/b.data", "2"));
        let sum = checksum(&[a.clone(), b.clone()]);
        assert_eq!(sum, checksum(&[b.clone(), file("LICENSE", "3"), a.clone()]));
        assert_ne!(sum, checksum(std::slice::from_ref(&a)));
        assert_ne!(sum, checksum(&[file("rules/a.conf", "12"), b]));
        assert!(verify(&[a], None).unwrap_err().contains("no known release"));
    }

    #[test]
    fn releases_are_known_in_order() {
        assert!(is_known(latest()) && is_known("4.28.0") && !is_known("4.28"));
        let number =
            |release: &str| -> Vec<u32> { release.split('.').map(|part| part.parse().unwrap()).collect() };
        assert!(RELEASES.is_sorted_by_key(|(release, _)| number(release)));
    }
}
