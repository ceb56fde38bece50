//! The signature field of a request: its signatures and its timestamp.

use super::settings::{SignatureEncoding, SignatureFormat, SignatureLayout, TimestampSource};
use crate::pipeline::head::Head;
use base64::{Engine, engine::general_purpose::STANDARD};

/// Signatures of one request that are compared.
const MAX_SIGNATURES: usize = 10;

/// What a request has, not verified.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedFields<'r> {
    pub signatures: Vec<Vec<u8>>,
    pub timestamp: Option<&'r str>,
    pub id: Option<&'r str>,
}

impl<'r> SignedFields<'r> {
    /// Reads the fields of a request; `None` without a signature field.
    ///
    /// # Errors
    ///
    /// What is malformed.
    pub fn read(format: &SignatureFormat, head: &'r Head) -> Option<Result<SignedFields<'r>, &'static str>> {
        head.get(format.header.as_bytes()).is_some().then(|| read(format, head))
    }
}

fn read<'r>(format: &SignatureFormat, head: &'r Head) -> Result<SignedFields<'r>, &'static str> {
    let field = single(head, &format.header)?.ok_or("the signature is empty")?;
    let encoded = signatures(&format.layout, field);
    if encoded.is_empty() {
        return Err("the signature field has no signature of the expected version");
    }
    if encoded.len() > MAX_SIGNATURES {
        return Err("the signature field has too many signatures");
    }
    let decode = |text: &&str| decode(format.encoding, text).ok_or("a signature is not encoded correctly");
    let timestamp = match &format.timestamp {
        TimestampSource::None => None,
        TimestampSource::Header(name) => single(head, name)?,
        TimestampSource::Parameter(name) => {
            let separator = if let SignatureLayout::Parameters { separator, .. } = format.layout {
                separator
            } else {
                ','
            };
            parameters(field, separator, name).next()
        }
    };
    if timestamp.is_none() && format.timestamp != TimestampSource::None {
        return Err("the request has no timestamp");
    }
    let id = format.id_header.as_ref().map(|name| single(head, name)?.ok_or("the request has no message ID"));
    Ok(SignedFields {
        signatures: encoded.iter().map(decode).collect::<Result<_, _>>()?,
        timestamp,
        id: id.transpose()?,
    })
}

/// The value of a field that must not occur twice.
fn single<'r>(head: &'r Head, name: &str) -> Result<Option<&'r str>, &'static str> {
    let mut lines = head.fields().filter(|(_, known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
    let Some((_, _, value)) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err("a field of the signature occurs twice");
    }
    let value = std::str::from_utf8(value).map_err(|_| "a field of the signature is not text")?;
    Ok(Some(value.trim()).filter(|value| !value.is_empty()))
}

fn signatures<'f>(layout: &SignatureLayout, field: &'f str) -> Vec<&'f str> {
    match layout {
        SignatureLayout::Single { prefix } => field.strip_prefix(prefix.as_str()).into_iter().collect(),
        SignatureLayout::List { prefix, separator } => {
            field.split(*separator).filter_map(|item| item.trim().strip_prefix(prefix)).collect()
        }
        SignatureLayout::Parameters { name, separator } => parameters(field, *separator, name).collect(),
    }
}

fn parameters<'f>(field: &'f str, separator: char, name: &str) -> impl Iterator<Item = &'f str> {
    field.split(separator).filter_map(move |item| item.trim().strip_prefix(name)?.strip_prefix('='))
}

fn decode(encoding: SignatureEncoding, text: &str) -> Option<Vec<u8>> {
    let bytes = match encoding {
        SignatureEncoding::Base64 => STANDARD.decode(text).ok()?,
        SignatureEncoding::Hex => crate::base::hex::decode(text)?,
    };
    (!bytes.is_empty()).then_some(bytes)
}
