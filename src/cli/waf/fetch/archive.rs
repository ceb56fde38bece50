//! Archives of rule sets: the files of a `.tar.gz` that a rule set consists of.

use flate2::read::MultiGzDecoder;
use std::io::Read;

/// The bytes of an unpacked archive.
const MAX_UNPACKED_BYTES: u64 = 128 << 20;

/// A block of a tar archive.
pub(super) const BLOCK_BYTES: usize = 512;

/// A file of a rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFile {
    /// Its path in the rule set, `rules/REQUEST-901-INITIALIZATION.conf`.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The files of the rule set in an archive: rules with their data, plugins, license and example of the settings. Everything
/// else is left out, links too.
///
/// # Errors
/// The archive is damaged, too large, or contains no rules.
pub fn read(archive: &[u8]) -> Result<Vec<ArchiveFile>, String> {
    let mut tar = Vec::new();
    MultiGzDecoder::new(archive)
        .take(MAX_UNPACKED_BYTES + 1)
        .read_to_end(&mut tar)
        .map_err(|error| format!("the archive cannot be unpacked: {error}: expected a .tar.gz"))?;
    if tar.len() as u64 > MAX_UNPACKED_BYTES {
        return Err(format!("the archive is larger than {} MiB", MAX_UNPACKED_BYTES >> 20));
    }
    let files = TarEntries { rest: &tar, long_name: None }.read()?;
    if !files.iter().any(|file| file.name.starts_with("rules/") && file.name.ends_with(".conf")) {
        return Err("the archive contains no rules: expected files NAME/rules/*.conf".to_owned());
    }
    Ok(files)
}

/// The entries of a tar archive (POSIX 1003.1, pax interchange format), and the long names of GNU tar.
struct TarEntries<'a> {
    rest: &'a [u8],
    long_name: Option<Vec<u8>>,
}

impl<'a> TarEntries<'a> {
    fn read(mut self) -> Result<Vec<ArchiveFile>, String> {
        let mut files = Vec::new();
        while let Some(header) =
            self.rest.get(..BLOCK_BYTES).filter(|header| header.iter().any(|byte| *byte != 0))
        {
            let content = self.content(header)?;
            match header[156] {
                b'x' => self.long_name = pax_path(content).or(self.long_name.take()),
                b'L' => self.long_name = Some(until_nul(content).to_vec()),
                b'g' => {}
                kind => {
                    let name = self.long_name.take().unwrap_or_else(|| header_name(header));
                    if matches!(kind, b'0' | 0)
                        && let Some(name) = rule_set_name(&name)
                    {
                        files.push(ArchiveFile { name, content: content.to_vec() });
                    }
                }
            }
        }
        Ok(files)
    }

    /// The content of an entry; the next header follows it.
    fn content(&mut self, header: &[u8]) -> Result<&'a [u8], String> {
        let is_valid = checksum(header) == octal(&header[148..156]);
        let size = octal(&header[124..136]).filter(|_| is_valid).and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or("the archive is damaged: expected the header of a file")?;
        let end = size.checked_next_multiple_of(BLOCK_BYTES).and_then(|size| size.checked_add(BLOCK_BYTES));
        let content = self.rest.get(BLOCK_BYTES..).and_then(|rest| rest.get(..size));
        match (content, end.and_then(|end| self.rest.get(end..))) {
            (Some(content), Some(rest)) => {
                self.rest = rest;
                Ok(content)
            }
            _ => Err("the archive is incomplete".to_owned()),
        }
    }
}

/// The sum of the bytes of a header, those of the checksum counted as spaces.
pub(super) fn checksum(header: &[u8]) -> Option<u64> {
    let bytes = header.iter().enumerate();
    Some(bytes.map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum())
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim();
    u64::from_str_radix(text, 8).ok()
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn header_name(header: &[u8]) -> Vec<u8> {
    let (name, prefix) = (until_nul(&header[..100]), until_nul(&header[345..500]));
    match header[257..].starts_with(b"ustar") && !prefix.is_empty() {
        true => [prefix, b"/", name].concat(),
        false => name.to_vec(),
    }
}

/// The path in the records `LENGTH KEY=VALUE` of an extended header.
fn pax_path(mut records: &[u8]) -> Option<Vec<u8>> {
    loop {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..length)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(path.strip_suffix(b"\n").unwrap_or(path).to_vec());
        }
        records = &records[length..];
    }
}

/// The name of a file within the rule set, below the one folder of the archive; none for files that are not needed.
fn rule_set_name(path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let (_, name) = path.split_once('/')?;
    let is_plain = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let parts: Vec<&str> = name.split('/').collect();
    let is_needed = match parts[..] {
        ["rules" | "plugins", file] => is_plain(file),
        [file] => matches!(file, "LICENSE" | "crs-setup.conf.example"),
        _ => false,
    };
    is_needed.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{archive, compress, entry};
    use super::*;

    fn names(archive: &[u8]) -> Vec<String> {
        read(archive).unwrap().into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn only_files_of_the_rule_set_are_read() {
        let files = [
            ("crs-4/rules/a.conf", "1"),
            ("crs-4/LICENSE", "2"),
            ("crs-4/tests/b.yaml", "3"),
            ("crs-4/rules/../../etc/passwd", "4"),
            ("/rules/c.conf", "5"),
            ("crs-4/rules/.hidden.conf", "6"),
        ];
        assert_eq!(names(&archive(&files)), ["rules/a.conf", "LICENSE", "rules/c.conf"]);
    }

    #[test]
    fn long_names_and_links_are_understood() {
        let long = format!("{}/rules/b.conf", "x".repeat(200));
        let record = format!("path={long}\n");
        let record = format!("{} {record}", record.len() + 4);
        let tar = [
            entry(b'g', "pax_global_header", b"19 comment=0123456\n"),
            entry(b'x', "PaxHeader", record.as_bytes()),
            entry(b'0', "short", b"1"),
            entry(b'L', "././@LongLink", format!("{}\0", long.replace("/b.", "/c.")).as_bytes()),
            entry(b'0', "short", b"2"),
            entry(b'2', "crs/rules/link.conf", b""),
        ];
        assert_eq!(names(&compress(&tar.concat())), ["rules/b.conf", "rules/c.conf"]);
    }

    #[test]
    fn damaged_archives_are_refused() {
        assert!(read(b"no archive").unwrap_err().contains("expected a .tar.gz"));
        assert!(read(&compress(&[7; 1024])).unwrap_err().contains("damaged"));
        let cut = &entry(b'0', "crs/rules/a.conf", &[b'x'; 600])[..900];
        assert!(read(&compress(cut)).unwrap_err().contains("incomplete"));
        assert!(read(&archive(&[("crs/README.md", "1")])).unwrap_err().contains("contains no rules"));
    }
}
