//! Archives for tests.

use super::archive::{BLOCK_BYTES, checksum};
use std::io::Write;

/// An entry of a tar archive: its header and its content.
pub fn entry(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; BLOCK_BYTES];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[156] = kind;
    header[257..262].copy_from_slice(b"ustar");
    let sum = checksum(&header).unwrap();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(BLOCK_BYTES), 0);
    header
}

/// A `.tar.gz` with these files.
pub fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let entries: Vec<u8> =
        files.iter().flat_map(|(name, content)| entry(b'0', name, content.as_bytes())).collect();
    compress(&[entries, vec![0; 2 * BLOCK_BYTES]].concat())
}

/// The bytes as gzip compresses them.
pub fn compress(tar: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(tar).unwrap();
    gzip.finish().unwrap()
}
