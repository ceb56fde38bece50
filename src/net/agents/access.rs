//! Who an agent or a connector is, and what it may do. Pure: the settings and the time are parameters.

use super::{
    config::{AgentConfig, CertificateProof, ConnectRule, PolicyConfig, Rights, TunnelsConfig},
    names::SAS_HOST,
};
use crate::pipeline::{
    client_certificate::ClientCertificate,
    error::{ErrorCode, GatewayError},
    sas::{SCHEME, SasError, SasKey, SasToken},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::sync::Arc;

/// One proof that a caller presents. It is kept with its connection, and checked again when the settings change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Sas(SasToken),
    Certificate {
        sha256: Box<[u8]>,
        names: Vec<String>,
    },
    /// The claim `sub` of the authenticated caller of the route.
    Subject(Box<str>),
}

/// The reason why a proof does not admit the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessError {
    Missing,
    Invalid,
    Signature,
    Expired,
    /// The proof is good, and no entry fits the id.
    Unknown,
    Disabled,
}

/// A caller that requests streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requester {
    /// A route or a transport route of the configuration.
    Route,
    /// The holder of a key of this policy.
    Policy(Box<str>),
    /// The authenticated caller of the route.
    Subject(Box<str>),
    /// A caller that the route admitted without authentication.
    Anonymous,
}

impl AccessError {
    /// The response, with a challenge for a wrong proof. It does not disclose which part of a token is wrong.
    pub fn into_gateway_error(self) -> GatewayError {
        let (code, detail) = match self {
            AccessError::Missing => (ErrorCode::IdentityMissing, "the request has no proof of identity"),
            AccessError::Invalid => {
                (ErrorCode::IdentityInvalidCredentials, "the credentials are not valid here")
            }
            AccessError::Signature => (ErrorCode::IdentitySignature, "the token is not valid here"),
            AccessError::Expired => {
                (ErrorCode::IdentityExpired, "the token has expired, or expires too far in the future")
            }
            AccessError::Unknown => (ErrorCode::AgentUnknown, "no entry of Tunnels.Agents fits the id"),
            AccessError::Disabled => (ErrorCode::AgentDisabled, "the agent is disabled"),
        };
        let error = GatewayError::new(code, detail);
        if code.status(false) != 401 {
            return error;
        }
        error.with_details(|details| details.headers.push(("WWW-Authenticate".into(), SCHEME.to_owned())))
    }

    /// Whether the caller presented a wrong proof, which is counted against its address.
    pub fn is_failed_proof(self) -> bool {
        matches!(self, AccessError::Invalid | AccessError::Signature | AccessError::Expired)
    }
}

impl Requester {
    /// The name in log lines.
    pub fn label(&self) -> String {
        match self {
            Requester::Route => "routes".to_owned(),
            Requester::Policy(name) => format!("policy:{name}"),
            Requester::Subject(subject) => format!("sub:{subject}"),
            Requester::Anonymous => "*".to_owned(),
        }
    }

    /// Whether `Connect` of the agent allows this caller.
    pub fn is_allowed(&self, agent: &AgentConfig) -> bool {
        agent.connect.iter().any(|rule| match (rule, self) {
            (ConnectRule::Anyone, _) | (ConnectRule::Routes, Requester::Route) => true,
            (ConnectRule::Policy(None), Requester::Policy(_)) => true,
            (ConnectRule::Policy(Some(name)), Requester::Policy(own)) => name == own,
            (ConnectRule::Subject(name), Requester::Subject(own)) => name == own,
            _ => false,
        })
    }
}

impl Proof {
    /// The proof of a client certificate.
    pub fn of_certificate(certificate: &ClientCertificate) -> Proof {
        let info = certificate.info();
        Proof::Certificate {
            names: info.dns.iter().chain(&info.common_name).cloned().collect(),
            sha256: URL_SAFE_NO_PAD.decode(certificate.sha256_thumbprint()).unwrap_or_default().into(),
        }
    }

    /// The proof in `Authorization`, if it is a shared access signature.
    pub fn of_authorization(value: &str, now: u64) -> Result<Option<Proof>, AccessError> {
        let is_sas = value.trim_start().get(..SCHEME.len()).is_some_and(|s| s.eq_ignore_ascii_case(SCHEME));
        if !is_sas {
            return Ok(None);
        }
        match SasToken::parse(value, now) {
            Ok(token) => Ok(Some(Proof::Sas(token))),
            Err(SasError::Expired) => Err(AccessError::Expired),
            Err(SasError::Malformed) => Err(AccessError::Invalid),
        }
    }

    /// When the proof expires, in seconds since 1970.
    pub fn expires_at(&self) -> Option<u64> {
        match self {
            Proof::Sas(token) => Some(token.expires_at),
            Proof::Certificate { .. } | Proof::Subject(_) => None,
        }
    }
}

/// The entry of an agent with this id that presents these proofs. `module` is the module of a device, if any; `hosts` are
/// the names that a token may be signed for.
pub fn admit_agent<'c>(
    config: &'c TunnelsConfig,
    (id, module): (&str, Option<&str>),
    proofs: &[Proof],
    hosts: &[&str],
) -> Result<&'c Arc<AgentConfig>, AccessError> {
    let entry = config.agent(id);
    let path = match module {
        Some(module) => format!("/devices/{id}/modules/{module}"),
        None => format!("/devices/{id}"),
    };
    let mut error = AccessError::Missing;
    for proof in proofs {
        match check_agent_proof(config, entry, (id, &path), proof, hosts) {
            Ok(()) => {
                let entry = entry.ok_or(AccessError::Unknown)?;
                return if entry.is_enabled { Ok(entry) } else { Err(AccessError::Disabled) };
            }
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

fn check_agent_proof(
    config: &TunnelsConfig,
    entry: Option<&Arc<AgentConfig>>,
    (id, path): (&str, &str),
    proof: &Proof,
    hosts: &[&str],
) -> Result<(), AccessError> {
    let is_good = match proof {
        Proof::Sas(token) => {
            return check_signature(token, hosts, path, &agent_keys(config, entry, id, token));
        }
        Proof::Certificate { sha256, names } => entry.is_some_and(|entry| {
            entry.certificates.iter().any(|known| match known {
                CertificateProof::Sha256(hash) => subtle::ConstantTimeEq::ct_eq(&hash[..], sha256).into(),
                CertificateProof::Name(name) => names.iter().any(|own| own.eq_ignore_ascii_case(name)),
                CertificateProof::OwnId => names.iter().any(|own| own.eq_ignore_ascii_case(id)),
            })
        }),
        Proof::Subject(subject) => {
            entry.is_some_and(|entry| entry.subjects.iter().any(|known| known == subject))
        }
    };
    if is_good { Ok(()) } else { Err(AccessError::Invalid) }
}

/// The keys that may have signed the token of an agent: those of its policy, or its own.
fn agent_keys(
    config: &TunnelsConfig,
    entry: Option<&Arc<AgentConfig>>,
    id: &str,
    token: &SasToken,
) -> Vec<SasKey> {
    match &token.policy {
        Some(name) => policy_keys(config, name, |rights| rights.device_connect).to_vec(),
        None => entry.map(|entry| entry.keys_of(id)).unwrap_or_default(),
    }
}

fn policy_keys<'c>(config: &'c TunnelsConfig, name: &str, right: impl Fn(Rights) -> bool) -> &'c [SasKey] {
    let policy = config.policy(name).filter(|policy| right(policy.rights));
    policy.map_or(&[], |policy: &PolicyConfig| &policy.keys)
}

fn check_signature(token: &SasToken, hosts: &[&str], path: &str, keys: &[SasKey]) -> Result<(), AccessError> {
    let hosts = hosts.iter().copied().chain([SAS_HOST]);
    let covers = token.covers(hosts, path);
    let is_signed = token.is_signed_by(keys);
    if covers && is_signed { Ok(()) } else { Err(AccessError::Signature) }
}

/// Checks that the token was signed with the key of a policy that has the right, for this path; returns its name.
pub fn check_policy(
    config: &TunnelsConfig,
    token: &SasToken,
    right: impl Fn(Rights) -> bool,
    path: &str,
    hosts: &[&str],
) -> Result<Box<str>, AccessError> {
    let name = token.policy.as_deref().ok_or(AccessError::Signature)?;
    check_signature(token, hosts, path, policy_keys(config, name, right))?;
    Ok(name.into())
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
