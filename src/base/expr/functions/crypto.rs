//! Hashes, message authentication codes and AES.

use super::{
    super::{error::EvalError, value::Value},
    function::{Function, bytes_of, free},
};
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::Pkcs7};
use md5::{Digest, Md5};
use ring::{digest, hmac};

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    free("hash.md5", 1, 1, |_, a| {
        Ok(Value::Bytes(Md5::digest(bytes_of("hash.md5", &a[0])?).to_vec().into()))
    }),
    free("hash.sha1", 1, 1, |_, a| hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, a)),
    free("hash.sha256", 1, 1, |_, a| hash(&digest::SHA256, a)),
    free("hash.sha384", 1, 1, |_, a| hash(&digest::SHA384, a)),
    free("hash.sha512", 1, 1, |_, a| hash(&digest::SHA512, a)),
    free("hmac.sha1", 2, 2, |_, a| sign(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, a)),
    free("hmac.sha256", 2, 2, |_, a| sign(hmac::HMAC_SHA256, a)),
    free("hmac.sha384", 2, 2, |_, a| sign(hmac::HMAC_SHA384, a)),
    free("hmac.sha512", 2, 2, |_, a| sign(hmac::HMAC_SHA512, a)),
    free("aes.encrypt", 3, 3, |_, a| aes_cbc(a, true)),
    free("aes.decrypt", 3, 3, |_, a| aes_cbc(a, false)),
];

fn hash(algorithm: &'static digest::Algorithm, a: &[Value]) -> Result<Value, EvalError> {
    let hashed = digest::digest(algorithm, bytes_of("a hash", &a[0])?);
    Ok(Value::Bytes(hashed.as_ref().to_vec().into()))
}

fn sign(algorithm: hmac::Algorithm, a: &[Value]) -> Result<Value, EvalError> {
    let key = hmac::Key::new(algorithm, bytes_of("hmac", &a[0])?);
    Ok(Value::Bytes(hmac::sign(&key, bytes_of("hmac", &a[1])?).as_ref().to_vec().into()))
}

/// AES in CBC mode with the padding of PKCS#7.
fn aes_cbc(a: &[Value], encrypts: bool) -> Result<Value, EvalError> {
    let (data, key, iv) = (bytes_of("aes", &a[0])?, bytes_of("aes", &a[1])?, bytes_of("aes", &a[2])?);
    let length =
        || EvalError::new("aes needs a key of 16, 24 or 32 bytes and an initialization vector of 16");
    let padding = |_| EvalError::new("aes.decrypt: the data is not encrypted with this key");
    macro_rules! run {
        ($cipher:ty) => {
            match encrypts {
                true => Ok(cbc::Encryptor::<$cipher>::new_from_slices(key, iv)
                    .map_err(|_| length())?
                    .encrypt_padded_vec_mut::<Pkcs7>(data)),
                false => cbc::Decryptor::<$cipher>::new_from_slices(key, iv)
                    .map_err(|_| length())?
                    .decrypt_padded_vec_mut::<Pkcs7>(data)
                    .map_err(padding),
            }
        };
    }
    let result = match key.len() {
        16 => run!(aes::Aes128),
        24 => run!(aes::Aes192),
        32 => run!(aes::Aes256),
        _ => return Err(length()),
    };
    result.map(|bytes| Value::Bytes(bytes.into()))
}
