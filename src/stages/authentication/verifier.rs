//! Signatures of tokens, verified with ring: a compiled key and the cost of one verification.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use ring::{hmac, signature};

/// Cost of one verification in microseconds, measured by the test `costs_of_invalid_signatures` and
/// rounded up.
mod cost {
    /// HS256, HS384 and HS512.
    pub const HMAC: u32 = 3;
    /// It grows with the square of the size of the key.
    pub const RSA_2048: u32 = 35;
    /// ES256.
    pub const P256: u32 = 90;
    /// ES384.
    pub const P384: u32 = 2000;
    /// EdDSA.
    pub const ED25519: u32 = 85;
}

/// A compiled key.
#[derive(Debug)]
pub enum Verifier {
    /// For HS256, HS384 and HS512.
    Hmac(Box<[hmac::Key; 3]>),
    /// Big-endian, without leading zeros.
    Rsa(signature::RsaPublicKeyComponents<Vec<u8>>),
    /// On an elliptic curve, with the cost of one verification.
    Point(signature::UnparsedPublicKey<Vec<u8>>, u32),
}

impl Verifier {
    /// The secret of HS256, HS384 and HS512.
    pub fn hmac(secret: &[u8]) -> Verifier {
        let algorithms = [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512];
        Verifier::Hmac(Box::new(algorithms.map(|algorithm| hmac::Key::new(algorithm, secret))))
    }

    /// An RSA key of modulus and exponent, big-endian.
    pub fn rsa(n: &[u8], e: &[u8]) -> Verifier {
        let [n, e] = [n, e].map(|number| without_leading_zeros(number).to_vec());
        Verifier::Rsa(signature::RsaPublicKeyComponents { n, e })
    }

    /// A point of P-256, uncompressed.
    pub fn p256(point: &[u8]) -> Verifier {
        Verifier::point(&signature::ECDSA_P256_SHA256_FIXED, point, cost::P256)
    }

    /// A point of P-384, uncompressed.
    pub fn p384(point: &[u8]) -> Verifier {
        Verifier::point(&signature::ECDSA_P384_SHA384_FIXED, point, cost::P384)
    }

    /// An Ed25519 key.
    pub fn ed25519(point: &[u8]) -> Verifier {
        Verifier::point(&signature::ED25519, point, cost::ED25519)
    }

    fn point(algorithm: &'static dyn signature::VerificationAlgorithm, bytes: &[u8], cost: u32) -> Verifier {
        Verifier::Point(signature::UnparsedPublicKey::new(algorithm, bytes.to_vec()), cost)
    }

    /// Cost of one verification, in microseconds.
    pub fn cost(&self) -> u32 {
        match self {
            Verifier::Hmac(_) => cost::HMAC,
            Verifier::Rsa(key) => {
                let kibibits = u32::try_from(key.n.len() / 128).unwrap_or(u32::MAX);
                cost::RSA_2048.saturating_mul(kibibits.saturating_mul(kibibits)) / 4
            }
            Verifier::Point(_, cost) => *cost,
        }
    }

    /// Whether the signature, in base64url, is one of the message. The caller has checked that the key allows the
    /// algorithm.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        match self {
            Verifier::Hmac(keys) => {
                let key = match algorithm {
                    Algorithm::HS256 => &keys[0],
                    Algorithm::HS384 => &keys[1],
                    Algorithm::HS512 => &keys[2],
                    _ => return false,
                };
                hmac::verify(key, message, &signature).is_ok()
            }
            Verifier::Rsa(key) => rsa_parameters(algorithm)
                .is_some_and(|parameters| key.verify(parameters, message, &signature).is_ok()),
            Verifier::Point(key, _) => key.verify(message, &signature).is_ok(),
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::{
        rand::SystemRandom,
        signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair},
    };
    use std::time::Instant;

    fn ec_point(algorithm: &'static EcdsaSigningAlgorithm) -> Vec<u8> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        pair.public_key().as_ref().to_vec()
    }

    fn rsa(bits: usize) -> Verifier {
        Verifier::rsa(&vec![0xff; bits / 8], &[1, 0, 1])
    }

    fn ed25519() -> Verifier {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        Verifier::ed25519(pair.public_key().as_ref())
    }

    #[test]
    fn only_cheap_signatures_fit_the_budget_of_a_worker() {
        let cost = |verifier: Verifier| verifier.cost();
        assert!(cost(rsa(2048)) <= 60 && cost(Verifier::hmac(&[1; 32])) <= 60);
        assert!(cost(rsa(3072)) > 60 && cost(rsa(4096)) > 60);
        let point = ec_point(&signature::ECDSA_P384_SHA384_FIXED_SIGNING);
        assert!(cost(Verifier::p384(&point)) > 60);
    }

    /// `cargo test --release --lib costs_of_invalid_signatures -- --ignored --nocapture`
    #[test]
    #[ignore = "prints figures"]
    fn costs_of_invalid_signatures() {
        let p256 = Verifier::p256(&ec_point(&signature::ECDSA_P256_SHA256_FIXED_SIGNING));
        let p384 = Verifier::p384(&ec_point(&signature::ECDSA_P384_SHA384_FIXED_SIGNING));
        for (name, verifier, algorithm, length) in [
            ("HMAC", Verifier::hmac(&[1; 32]), Algorithm::HS256, 32),
            ("RSA 2048", rsa(2048), Algorithm::RS256, 256),
            ("RSA 3072", rsa(3072), Algorithm::RS256, 384),
            ("RSA 4096", rsa(4096), Algorithm::RS256, 512),
            ("P-256", p256, Algorithm::ES256, 64),
            ("P-384", p384, Algorithm::ES384, 96),
            ("Ed25519", ed25519(), Algorithm::EdDSA, 64),
        ] {
            let signature = URL_SAFE_NO_PAD.encode(vec![1; length]);
            let best = (0..20).map(|_| {
                let started = Instant::now();
                for _ in 0..20 {
                    assert!(!verifier.verifies(algorithm, &[b'x'; 400], &signature));
                }
                started.elapsed().as_micros() / 20
            });
            let best = best.min().unwrap();
            #[expect(clippy::print_stdout, reason = "the figures are what this test is for")]
            {
                println!("{algorithm:?} with {name}: {best} us, budgeted as {}", verifier.cost());
            }
        }
    }
}
