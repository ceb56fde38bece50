//! Keys for the verification of signatures. The type of a key decides which algorithms are allowed with it; a token only
//! selects one of them.

use super::verifier::Verifier;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, crypto};
use serde_json::Value;
use smallvec::SmallVec;
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

/// Most keys of one set.
pub const MAX_KEYS: usize = 64;

/// One key as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyData {
    /// Its ID in a key set.
    pub kid: Option<String>,
    pub material: Material,
    /// The only algorithm of the key, if restricted.
    pub algorithm: Option<Algorithm>,
}

/// The type and the bytes of a key.
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
    /// The name of the key type, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Material::Secret(_) => "a secret",
            Material::Rsa { .. } => "an RSA key",
            Material::P256(_) => "an EC key on P-256",
            Material::P384(_) => "an EC key on P-384",
            Material::Ed25519(_) => "an Ed25519 key",
        }
    }

    /// The algorithms that are safe with this key: for a secret, those with a hash of at most its length (RFC 7518 3.2).
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

    fn verifier(&self) -> Verifier {
        match self {
            Material::Secret(secret) => Verifier::hmac(secret),
            Material::Rsa { n, e } => Verifier::rsa(n, e),
            Material::P256(point) => Verifier::p256(point),
            Material::P384(point) => Verifier::p384(point),
            Material::Ed25519(point) => Verifier::ed25519(point),
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

    /// Rejects weak and invalid keys.
    fn check(self) -> Result<Material, &'static str> {
        match &self {
            Material::Secret(secret) if secret.len() < 32 => return Err("a secret shorter than 32 bytes"),
            Material::Rsa { n, .. } => {
                let bits = n
                    .iter()
                    .position(|&b| b != 0)
                    .map_or(0, |index| (n.len() - index) * 8 - n[index].leading_zeros() as usize);
                match bits {
                    ..2048 => return Err("an RSA key of less than 2048 bits"),
                    2048..=4096 => {}
                    _ => return Err("an RSA key of more than 4096 bits"),
                }
            }
            Material::Ed25519(point) if point.len() != 32 => return Err("an invalid point of its curve"),
            // Verification fails for a point that is not on the curve.
            Material::P256(_) | Material::P384(_) | Material::Ed25519(_)
                if crypto::verify("", b"", &self.decoding(), self.algorithms()[0]).is_err() =>
            {
                return Err("an invalid point of its curve");
            }
            _ => {}
        }
        Ok(self)
    }
}

impl KeyData {
    /// The secret of HS256, HS384 and HS512.
    pub fn secret(secret: &[u8]) -> Result<KeyData, &'static str> {
        Ok(KeyData { kid: None, material: Material::Secret(secret.to_vec()).check()?, algorithm: None })
    }

    /// All public keys of a PEM text.
    pub fn pem(text: &[u8]) -> Result<Vec<KeyData>, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not PEM".to_owned())?;
        let blocks = text.match_indices("-----BEGIN ").map(|(index, _)| &text[index..]);
        let all: Vec<_> = blocks.take(MAX_KEYS).map(parse_pem_block).collect::<Result<_, _>>()?;
        if all.is_empty() {
            Err("it is not PEM: expected -----BEGIN PUBLIC KEY-----".to_owned())
        } else {
            Ok(all)
        }
    }

    /// A public JSON Web Key.
    ///
    /// # Errors
    ///
    /// Why it is not usable.
    pub fn public_jwk(key: &Value) -> Result<KeyData, &'static str> {
        parse_jwk(key, false)
    }

    /// The usable keys of a key set (RFC 7517), and what is wrong with each of the others. `secrets`: whether symmetric
    /// keys are allowed; a published set must not contain any.
    pub fn set(text: &[u8], secrets: bool) -> Result<(Vec<KeyData>, Vec<String>), String> {
        let set: Value = serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let keys = set["keys"].as_array().ok_or("it is not a key set: expected a list \"keys\"")?;
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (index, key) in keys.iter().take(MAX_KEYS).enumerate() {
            match parse_jwk(key, secrets) {
                Ok(key) => good.push(key),
                Err(why) => bad.push(format!("key {} of the set: {why}", index + 1)),
            }
        }
        Ok((good, bad))
    }
}

fn parse_pem_block(block: &str) -> Result<KeyData, String> {
    let end = block.find("-----END ").ok_or("it is not PEM: a block has no -----END-----")?;
    let end = block[end + 9..].find("-----").map_or(block.len(), |more| end + 9 + more + 5);
    let block = &block.as_bytes()[..end];
    let label = block[11..].split(|&b| b == b'-').next().unwrap_or_default();
    match label {
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => {}
        b"CERTIFICATE" => {
            return Err(
                "it is a certificate; expected its public key (openssl x509 -pubkey -noout prints it)"
                    .to_owned(),
            );
        }
        _ if label.ends_with(b"PRIVATE KEY") => {
            return Err(
                "it is a private key; expected the public key (openssl pkey -pubout prints it)".to_owned()
            );
        }
        _ => return Err(format!("expected a PUBLIC KEY, found {}", String::from_utf8_lossy(label))),
    }
    let unknown = || "unsupported key: expected RSA, EC on P-256 or P-384, or Ed25519".to_owned();
    let material = pem_material(block).ok_or_else(unknown)?;
    let material = material.check().map_err(|why| format!("it contains {why}"))?;
    Ok(KeyData { kid: None, material, algorithm: None })
}

fn pem_material(block: &[u8]) -> Option<Material> {
    let bytes = |key: DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec).ok();
    if let Ok(key) = DecodingKey::from_ec_pem(block) {
        return ec_point(bytes(key)?);
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

fn ec_point(bytes: Vec<u8>) -> Option<Material> {
    match (bytes.first(), bytes.len()) {
        (Some(4), 65) => Some(Material::P256(bytes)),
        (Some(4), 97) => Some(Material::P384(bytes)),
        _ => None,
    }
}

fn parse_jwk(key: &Value, secrets: bool) -> Result<KeyData, &'static str> {
    let text = |name: &str| key[name].as_str();
    if text("use").is_some_and(|key_use| key_use != "sig") {
        return Err("its `use` is not `sig`");
    }
    if key["key_ops"].as_array().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err("its `key_ops` do not contain `verify`");
    }
    let material = jwk_material(key, secrets)?.check()?;
    let algorithm = match text("alg") {
        None => None,
        Some(name) => Some(name.parse::<Algorithm>().map_err(|_| "its `alg` is unknown")?),
    };
    if algorithm.is_some_and(|algorithm| !material.algorithms().contains(&algorithm)) {
        return Err("its `alg` does not match its type");
    }
    Ok(KeyData { kid: text("kid").map(str::to_owned), material, algorithm })
}

fn jwk_material(key: &Value, secrets: bool) -> Result<Material, &'static str> {
    let bytes = |name: &str| {
        let decoded = key[name].as_str().map(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
        decoded.and_then(Result::ok).ok_or("a member is missing or not base64url")
    };
    match (key["kty"].as_str().unwrap_or_default(), key["crv"].as_str().unwrap_or_default()) {
        ("RSA", _) => Ok(Material::Rsa { n: bytes("n")?, e: bytes("e")? }),
        ("EC", "P-256" | "P-384") => {
            let material = ec_point([&[4], &bytes("x")?[..], &bytes("y")?[..]].concat());
            material
                .filter(|m| matches!(m, Material::P256(_)) == (key["crv"] == "P-256"))
                .ok_or("it is not a point of its curve")
        }
        ("OKP", "Ed25519") => Ok(Material::Ed25519(bytes("x")?)),
        ("oct", _) if secrets => Ok(Material::Secret(bytes("k")?)),
        ("oct", _) => Err("it is a symmetric key in a public key set"),
        _ => Err("its `kty` is unknown"),
    }
}

/// Keys that a token without `kid` is tried with.
pub const DEFAULT_MAX_KEYS_TRIED: usize = 3;

/// A key of a set.
#[derive(Debug)]
pub struct Key {
    kid: Option<Box<str>>,
    algorithms: Box<[Algorithm]>,
    verifier: Verifier,
}

impl Key {
    fn new(data: &KeyData) -> Key {
        let algorithms = data.material.algorithms().iter().copied();
        Key {
            kid: data.kid.as_deref().map(Into::into),
            algorithms: algorithms
                .filter(|one| data.algorithm.is_none_or(|algorithm| algorithm == *one))
                .collect(),
            verifier: data.material.verifier(),
        }
    }
}

/// The keys of a scheme.
#[derive(Debug)]
pub struct KeySet {
    keys: Box<[Key]>,
    /// The issuer from discovery.
    pub issuer: Option<String>,
    /// Differs between sets: tokens verified with another set are verified again.
    pub generation: u64,
}

/// The reason why no key of a set is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// No key has that `kid`.
    Unknown,
    /// The matching keys do not allow the algorithm.
    Algorithm,
}

/// The keys that a token is tried with.
#[derive(Debug)]
pub struct Candidates<'s> {
    keys: SmallVec<[&'s Key; 4]>,
    algorithm: Algorithm,
    /// Matching keys beyond the limit.
    pub untried: usize,
}

impl Candidates<'_> {
    /// Cost of trying all of them, in microseconds.
    pub fn cost(&self) -> u32 {
        self.keys.iter().fold(0, |sum, key| sum.saturating_add(key.verifier.cost()))
    }

    /// Whether one of the keys verifies the signature.
    pub fn verify(&self, message: &[u8], signature: &str) -> bool {
        self.keys.iter().any(|key| key.verifier.verifies(self.algorithm, message, signature))
    }
}

impl KeySet {
    /// `generation` must differ from that of every earlier set of the same provider.
    pub fn new(data: &[KeyData], issuer: Option<String>, generation: u64) -> KeySet {
        KeySet { keys: data.iter().map(Key::new).collect(), issuer, generation }
    }

    /// The keys for this `kid`: those that have it, then those without `kid`; without one in the token, all of them. At
    /// most `max_tried`.
    pub fn select(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        max_tried: usize,
    ) -> Result<Candidates<'_>, NoKey> {
        let has_kid = |key: &&Key| kid.is_some() && key.kid.as_deref() == kid;
        let may_match = |key: &&Key| kid.is_none() || key.kid.is_none();
        let exact = self.keys.iter().filter(has_kid);
        let mut matching = exact.chain(self.keys.iter().filter(may_match)).peekable();
        if matching.peek().is_none() {
            return Err(NoKey::Unknown);
        }
        let mut allowed = matching.filter(|key| key.algorithms.contains(&algorithm));
        let keys: SmallVec<[&Key; 4]> = allowed.by_ref().take(max_tried).collect();
        match keys.is_empty() {
            true => Err(NoKey::Algorithm),
            false => Ok(Candidates { keys, algorithm, untried: allowed.count() }),
        }
    }
}
