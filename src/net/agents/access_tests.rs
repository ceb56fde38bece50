//! Tests of the proofs of agents and connectors.

use super::*;
use crate::{net::agents::config::TunnelLimits, pipeline::sas};
use base64::engine::general_purpose::STANDARD;

const NOW: u64 = 1_800_000_000;

fn key(byte: u8) -> SasKey {
    SasKey::parse(&STANDARD.encode([byte; 32])).unwrap()
}

fn agent(name: &str, keys: Vec<SasKey>) -> AgentConfig {
    AgentConfig {
        name: name.trim_end_matches('*').into(),
        is_pattern: name.ends_with('*'),
        keys,
        certificates: vec![CertificateProof::OwnId],
        subjects: vec!["ann".into()],
        is_enabled: name != "off",
        services: None,
        connect: vec![ConnectRule::Policy(Some("service".into())), ConnectRule::Subject("ann".into())],
        instances: 1,
        limits: TunnelLimits::default(),
    }
}

fn config() -> TunnelsConfig {
    let policy = |name: &str, rights, byte| PolicyConfig { name: name.into(), rights, keys: vec![key(byte)] };
    let policies = vec![
        policy("service", Rights { service_connect: true, ..Rights::default() }, 10),
        policy("devices", Rights { device_connect: true, ..Rights::default() }, 11),
    ];
    let agents =
        vec![agent("dev1", vec![key(1), key(2)]), agent("cam*", vec![key(3)]), agent("off", vec![key(4)])];
    TunnelsConfig::new(policies, agents, TunnelLimits::default(), None)
}

fn sas(key: &SasKey, resource: &str, policy: Option<&str>) -> Proof {
    let token = sas::sign(key, resource, NOW + 60, policy);
    Proof::Sas(SasToken::parse(&token, NOW).unwrap())
}

fn admitted(id: &str, proof: Proof) -> Result<String, AccessError> {
    let config = config();
    let admitted = admit_agent(&config, (id, None), &[proof], &["gw.example"]);
    admitted.map(|entry| entry.label())
}

#[test]
fn each_key_of_an_agent_admits_it_for_the_hosts_of_the_gateway() {
    for byte in [1, 2] {
        assert_eq!(admitted("dev1", sas(&key(byte), "margay/devices/dev1", None)).as_deref(), Ok("dev1"));
    }
    assert_eq!(admitted("dev1", sas(&key(1), "GW.example/devices/dev1", None)).as_deref(), Ok("dev1"));
    for (key_byte, resource) in
        [(9, "margay/devices/dev1"), (1, "other/devices/dev1"), (1, "margay/devices/dev2")]
    {
        assert_eq!(admitted("dev1", sas(&key(key_byte), resource, None)), Err(AccessError::Signature));
    }
}

#[test]
fn the_key_of_a_pattern_is_derived_and_the_key_itself_admits_no_agent() {
    let derived = sas(&key(3).derive("cam7"), "margay/devices/cam7", None);
    assert_eq!(admitted("cam7", derived.clone()).as_deref(), Ok("cam*"));
    assert_eq!(admitted("cam8", derived), Err(AccessError::Signature));
    assert_eq!(admitted("cam7", sas(&key(3), "margay/devices/cam7", None)), Err(AccessError::Signature));
}

#[test]
fn a_policy_admits_agents_with_its_right_only_and_unknown_ids_are_reported_after_the_proof() {
    assert!(admitted("dev1", sas(&key(11), "margay", Some("devices"))).is_ok());
    assert_eq!(admitted("who", sas(&key(11), "margay", Some("devices"))), Err(AccessError::Unknown));
    assert_eq!(admitted("who", sas(&key(1), "margay", None)), Err(AccessError::Signature));
    assert_eq!(admitted("dev1", sas(&key(10), "margay", Some("service"))), Err(AccessError::Signature));
    assert_eq!(admitted("off", sas(&key(4), "margay/devices/off", None)), Err(AccessError::Disabled));
}

#[test]
fn certificates_and_subjects_are_proofs_too() {
    let certificate = |name: &str| Proof::Certificate { sha256: Box::default(), names: vec![name.into()] };
    assert!(admitted("dev1", certificate("dev1")).is_ok());
    assert_eq!(admitted("dev1", certificate("dev2")), Err(AccessError::Invalid));
    assert!(admitted("dev1", Proof::Subject("ann".into())).is_ok());
    assert_eq!(admitted("dev1", Proof::Subject("bob".into())), Err(AccessError::Invalid));
}

#[test]
fn connect_rules_name_policies_subjects_and_routes() {
    let config = config();
    let dev1 = config.agent("dev1").unwrap();
    assert!(Requester::Policy("service".into()).is_allowed(dev1));
    assert!(!Requester::Policy("devices".into()).is_allowed(dev1));
    assert!(Requester::Subject("ann".into()).is_allowed(dev1));
    assert!(!Requester::Route.is_allowed(dev1) && !Requester::Anonymous.is_allowed(dev1));
}

#[test]
fn a_connector_needs_the_right_and_a_token_for_the_agent() {
    let config = config();
    let check = |proof: &Proof, path: &str| {
        let Proof::Sas(token) = proof else { panic!("a token") };
        check_policy(&config, token, |rights| rights.service_connect, path, &[])
    };
    assert_eq!(check(&sas(&key(10), "margay", Some("service")), "/devices/dev1").as_deref(), Ok("service"));
    let for_one = sas(&key(10), "margay/devices/dev1", Some("service"));
    assert!(check(&for_one, "/devices/dev1").is_ok());
    assert_eq!(check(&for_one, "/devices/dev2"), Err(AccessError::Signature));
    assert_eq!(
        check(&sas(&key(11), "margay", Some("devices")), "/devices/dev1"),
        Err(AccessError::Signature)
    );
    assert_eq!(check(&sas(&key(1), "margay", None), "/devices/dev1"), Err(AccessError::Signature));
}
