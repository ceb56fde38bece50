//! Keys that signatures are checked with. The kind of a key decides which algorithms it may be used with; a token can
//! only name one of them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, crypto};
use serde_json::Value;
use std::fmt;

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The most keys of one set: a token without a key id is tried with each.
pub const MAX_KEYS: usize = 64;

/// One key as data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyData {
    /// Its name in a key set.
    pub kid: Option<String>,
    pub material: Material,
    /// The key is for this algorithm only.
    pub key_use: Option<Algorithm>,
}

/// What a key is made of.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Material {
    Secret(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Material {
    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Material::Secret(_) => "a secret",
            Material::Rsa { .. } => "an RSA key",
            Material::P256(_) => "an EC key on P-256",
            Material::P384(_) => "an EC key on P-384",
            Material::Ed25519(_) => "an Ed25519 key",
        }
    }

    /// The algorithms that are safe with this key: of a secret those whose hash is not longer than it (RFC 7518 3.2).
    pub fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Material::Secret(secret) => match secret.len() {
                ..32 => &[],
                32..48 => &HMAC[..1],
                48..64 => &HMAC[..2],
                _ => &HMAC,
            },
            Material::Rsa { .. } => &RSA,
            Material::P256(_) => &[Algorithm::ES256],
            Material::P384(_) => &[Algorithm::ES384],
            Material::Ed25519(_) => &[Algorithm::EdDSA],
        }
    }

    fn decoding(&self) -> DecodingKey {
        match self {
            Material::Secret(secret) => DecodingKey::from_secret(secret),
            Material::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Material::P256(point) | Material::P384(point) => DecodingKey::from_ec_der(point),
            Material::Ed25519(point) => DecodingKey::from_ed_der(point),
        }
    }

    /// Says what is wrong with the key, if something is.
    fn check(self) -> Result<Material, &'static str> {
        match &self {
            Material::Secret(secret) if secret.len() < 32 => return Err("a secret of less than 32 bytes"),
            Material::Rsa { n, .. } => {
                let bits = n
                    .iter()
                    .position(|&b| b != 0)
                    .map_or(0, |at| (n.len() - at) * 8 - n[at].leading_zeros() as usize);
                match bits {
                    ..2048 => return Err("an RSA key of less than 2048 bits"),
                    2048..=4096 => {}
                    _ => return Err("an RSA key of more than 4096 bits"),
                }
            }
            Material::Ed25519(point) if point.len() != 32 => return Err("no point of its curve"),
            // Whether a point lies on the curve shows when it is used.
            Material::P256(_) | Material::P384(_) | Material::Ed25519(_)
                if crypto::verify("", b"", &self.decoding(), self.algorithms()[0]).is_err() =>
            {
                return Err("no point of its curve");
            }
            _ => {}
        }
        Ok(self)
    }
}

impl KeyData {
    /// The secret of HS256, HS384 and HS512.
    pub fn secret(secret: &[u8]) -> Result<KeyData, &'static str> {
        Ok(KeyData { kid: None, material: Material::Secret(secret.to_vec()).check()?, key_use: None })
    }

    /// All public keys of a PEM text.
    pub fn pem(text: &[u8]) -> Result<Vec<KeyData>, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not PEM".to_owned())?;
        let blocks = text.match_indices("-----BEGIN ").map(|(at, _)| &text[at..]);
        let all: Vec<_> = blocks.take(MAX_KEYS).map(pem_block).collect::<Result<_, _>>()?;
        if all.is_empty() {
            Err("it is not PEM: nothing begins with -----BEGIN PUBLIC KEY-----".to_owned())
        } else {
            Ok(all)
        }
    }

    /// The usable keys of a key set (RFC 7517), and what is wrong with each of the others. `secrets` says whether
    /// secrets are expected in it: what anybody can fetch holds none.
    pub fn set(text: &[u8], secrets: bool) -> Result<(Vec<KeyData>, Vec<String>), String> {
        let set: Value = serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let keys = set["keys"].as_array().ok_or("it is no key set: there is no list \"keys\"")?;
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (at, key) in keys.iter().take(MAX_KEYS).enumerate() {
            match jwk(key, secrets) {
                Ok(key) => good.push(key),
                Err(why) => bad.push(format!("key {} of the set: {why}", at + 1)),
            }
        }
        Ok((good, bad))
    }
}

fn pem_block(block: &str) -> Result<KeyData, String> {
    let end = block.find("-----END ").ok_or("it is not PEM: a block is never closed")?;
    let end = block[end + 9..].find("-----").map_or(block.len(), |more| end + 9 + more + 5);
    let block = &block.as_bytes()[..end];
    let label = block[11..].split(|&b| b == b'-').next().unwrap_or_default();
    match label {
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => {}
        b"CERTIFICATE" => {
            return Err("it is a certificate: openssl x509 -pubkey -noout gives its key".to_owned());
        }
        _ if label.ends_with(b"PRIVATE KEY") => {
            return Err(
                "it is a private key, which belongs to who signs: openssl pkey -pubout gives the public one"
                    .to_owned(),
            );
        }
        _ => return Err(format!("it holds {}, not a PUBLIC KEY", String::from_utf8_lossy(label))),
    }
    let unknown = || "its key is neither RSA, EC on P-256 or P-384, nor Ed25519".to_owned();
    let material = pem_material(block).ok_or_else(unknown)?;
    let material = material.check().map_err(|why| format!("it holds {why}"))?;
    Ok(KeyData { kid: None, material, key_use: None })
}

fn pem_material(block: &[u8]) -> Option<Material> {
    let bytes = |key: DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec).ok();
    if let Ok(key) = DecodingKey::from_ec_pem(block) {
        return point(bytes(key)?);
    }
    if let Ok(key) = DecodingKey::from_ed_pem(block) {
        return bytes(key).filter(|key| key.len() == 32).map(Material::Ed25519);
    }
    let key = DecodingKey::from_rsa_pem(block).ok()?;
    let DecodingKeyKind::SecretOrDer(der) = key.kind() else { return None };
    let parts = crypto::rust_crypto::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
    let (n, e) = parts(der).ok()?;
    Some(Material::Rsa { n, e })
}

fn point(bytes: Vec<u8>) -> Option<Material> {
    match (bytes.first(), bytes.len()) {
        (Some(4), 65) => Some(Material::P256(bytes)),
        (Some(4), 97) => Some(Material::P384(bytes)),
        _ => None,
    }
}

fn jwk(key: &Value, secrets: bool) -> Result<KeyData, &'static str> {
    let text = |name: &str| key[name].as_str();
    if text("use").is_some_and(|what| what != "sig") {
        return Err("it is not for signatures");
    }
    if key["key_ops"].as_array().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err("it is not for checking signatures");
    }
    let material = jwk_material(key, secrets)?.check()?;
    let only = match text("alg") {
        None => None,
        Some(name) => Some(name.parse::<Algorithm>().map_err(|_| "its algorithm is unknown")?),
    };
    if only.is_some_and(|only| !material.algorithms().contains(&only)) {
        return Err("its algorithm is not one of its kind");
    }
    Ok(KeyData { kid: text("kid").map(str::to_owned), material, key_use: only })
}

fn jwk_material(key: &Value, secrets: bool) -> Result<Material, &'static str> {
    let bytes = |name: &str| {
        let decoded = key[name].as_str().map(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
        decoded.and_then(Result::ok).ok_or("a part of it is missing or not base64url")
    };
    match (key["kty"].as_str().unwrap_or_default(), key["crv"].as_str().unwrap_or_default()) {
        ("RSA", _) => Ok(Material::Rsa { n: bytes("n")?, e: bytes("e")? }),
        ("EC", "P-256" | "P-384") => {
            let material = point([&[4], &bytes("x")?[..], &bytes("y")?[..]].concat());
            material
                .filter(|m| matches!(m, Material::P256(_)) == (key["crv"] == "P-256"))
                .ok_or("it is no point")
        }
        ("OKP", "Ed25519") => Ok(Material::Ed25519(bytes("x")?)),
        ("oct", _) if secrets => Ok(Material::Secret(bytes("k")?)),
        ("oct", _) => Err("it is a secret, and everybody can read it"),
        _ => Err("its kind is unknown"),
    }
}

/// A key, ready for use.
#[derive(Debug)]
pub struct Key {
    kid: Option<Box<str>>,
    algorithms: Box<[Algorithm]>,
    decoding: DecodingKey,
}

impl Key {
    fn new(data: &KeyData) -> Key {
        let algorithms = data.material.algorithms().iter().copied();
        Key {
            kid: data.kid.as_deref().map(Into::into),
            algorithms: algorithms.filter(|one| data.key_use.is_none_or(|only| only == *one)).collect(),
            decoding: data.material.decoding(),
        }
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        crypto::verify(signature, message, &self.decoding, algorithm).unwrap_or(false)
    }
}

/// The keys of one scheme at one time.
#[derive(Debug)]
pub struct KeySet {
    keys: Box<[Key]>,
    /// Who signs with them, where discovery says so.
    pub issuer: Option<String>,
    /// Differs from set to set: what was checked with another set is checked again.
    pub generation: u64,
}

/// What came of checking a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    Valid,
    /// A key is there, but did not make this.
    Invalid,
    /// No key has that name.
    Unknown,
    /// The keys that come into question are not for this algorithm.
    Algorithm,
}

impl KeySet {
    pub fn new(data: &[KeyData], issuer: Option<String>, generation: u64) -> KeySet {
        KeySet { keys: data.iter().map(Key::new).collect(), issuer, generation }
    }

    /// Checks the signature with the key of that name; without a name, or where keys have none, with all of them.
    pub fn check(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &str,
    ) -> SignatureCheck {
        let meant = |key: &&Key| id.is_none() || key.kid.is_none() || key.kid.as_deref() == id;
        let mut meant = self.keys.iter().filter(meant).peekable();
        if meant.peek().is_none() {
            return SignatureCheck::Unknown;
        }
        let mut able = meant.filter(|key| key.algorithms.contains(&algorithm)).peekable();
        if able.peek().is_none() {
            return SignatureCheck::Algorithm;
        }
        if able.any(|key| key.verifies(algorithm, message, signature)) {
            SignatureCheck::Valid
        } else {
            SignatureCheck::Invalid
        }
    }
}
