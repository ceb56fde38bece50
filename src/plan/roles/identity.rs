//! Who the source of a connection is: by its certificate, by the authenticated caller, or by its address.

use super::blueprint::InstanceIdentity;
use crate::pipeline::client_certificate::ClientCertificate;
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// An instance of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRef {
    /// The index of the role.
    pub role: usize,
    pub id: Arc<str>,
}

/// What is known of the source of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Source<'s> {
    /// The verified client certificate.
    pub certificate: Option<&'s ClientCertificate>,
    /// The claim `sub` of the authenticated caller.
    pub subject: Option<&'s str>,
    pub address: IpAddr,
}

impl Source<'_> {
    /// A source of which only the address is known.
    pub fn of_address(address: IpAddr) -> Source<'static> {
        Source { certificate: None, subject: None, address }
    }
}

/// The identities of all instances.
#[derive(Clone, Debug, Default)]
pub struct IdentityTable {
    /// DNS names in lower case, and common names.
    names: HashMap<String, InstanceRef>,
    uris: HashMap<String, InstanceRef>,
    subjects: HashMap<String, InstanceRef>,
    /// By prefix length, the longest first; the bits of addresses within IPv6.
    networks: Vec<(u8, HashMap<u128, InstanceRef>)>,
}

/// Two instances of different roles that cannot be distinguished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedIdentity {
    /// The name, subject or network.
    pub text: String,
    pub other: InstanceRef,
}

impl IdentityTable {
    /// Adds an instance.
    ///
    /// # Errors
    ///
    /// The first identity that an instance of another role has already.
    pub fn add(&mut self, instance: &InstanceRef, identity: &InstanceIdentity) -> Result<(), SharedIdentity> {
        let mut shared = None;
        for name in &identity.certificate_names {
            let (table, key) = match name.contains("://") {
                true => (&mut self.uris, name.clone()),
                false => (&mut self.names, name.to_ascii_lowercase()),
            };
            insert(table, key, name, instance, &mut shared);
        }
        for subject in &identity.subjects {
            insert(&mut self.subjects, subject.clone(), subject, instance, &mut shared);
        }
        for (address, length) in &identity.networks {
            let (bits, prefix) = masked(*address, *length);
            let at = match self.networks.iter().position(|(known, _)| *known <= prefix) {
                Some(at) if self.networks[at].0 == prefix => at,
                at => {
                    let at = at.unwrap_or(self.networks.len());
                    self.networks.insert(at, (prefix, HashMap::new()));
                    at
                }
            };
            insert(&mut self.networks[at].1, bits, &format!("{address}/{length}"), instance, &mut shared);
        }
        shared.map_or(Ok(()), Err)
    }

    /// The instance of a source. A certificate that names no instance is an unknown source, whatever its address.
    pub fn find(&self, source: &Source) -> Option<&InstanceRef> {
        if let Some(certificate) = source.certificate {
            return self.by_certificate(certificate);
        }
        let by_subject = source.subject.and_then(|subject| self.subjects.get(subject));
        by_subject.or_else(|| self.by_address(source.address))
    }

    fn by_certificate(&self, certificate: &ClientCertificate) -> Option<&InstanceRef> {
        let info = certificate.info();
        let by_uri = info.uris.iter().find_map(|uri| self.uris.get(uri));
        let by_dns = || info.dns.iter().find_map(|name| self.names.get(name));
        let has_names = !info.uris.is_empty() || !info.dns.is_empty();
        let common_name = info.common_name.as_ref().filter(|_| !has_names);
        by_uri.or_else(by_dns).or_else(|| self.names.get(&common_name?.to_ascii_lowercase()))
    }

    /// The instance with the longest prefix.
    pub fn by_address(&self, address: IpAddr) -> Option<&InstanceRef> {
        let bits = to_bits(address);
        self.networks.iter().find_map(|(prefix, networks)| networks.get(&(bits & mask(*prefix))))
    }
}

fn insert<K: std::hash::Hash + Eq>(
    table: &mut HashMap<K, InstanceRef>,
    key: K,
    text: &str,
    instance: &InstanceRef,
    shared: &mut Option<SharedIdentity>,
) {
    match table.get(&key) {
        Some(other) if other.role != instance.role => {
            shared.get_or_insert_with(|| SharedIdentity { text: text.to_owned(), other: other.clone() });
        }
        Some(_) => {}
        None => drop(table.insert(key, instance.clone())),
    }
}

/// IPv4 addresses are the last 32 bits (RFC 4291 2.5.5.2).
fn to_bits(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(prefix: u8) -> u128 {
    !u128::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

/// The bits of a network, and the length of its prefix within IPv6.
fn masked(address: IpAddr, length: u8) -> (u128, u8) {
    let prefix = if address.is_ipv4() { length.saturating_add(96).min(128) } else { length.min(128) };
    (to_bits(address) & mask(prefix), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::client_certificate::CertificateInfo;

    fn instance(role: usize, id: &str) -> InstanceRef {
        InstanceRef { role, id: id.into() }
    }

    fn networks(all: &[(&str, u8)]) -> InstanceIdentity {
        let networks = all.iter().map(|(address, length)| (address.parse().unwrap(), *length)).collect();
        InstanceIdentity { networks, ..InstanceIdentity::default() }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let mut table = IdentityTable::default();
        table.add(&instance(0, "a"), &networks(&[("127.2.0.0", 16), ("fd00::", 8)])).unwrap();
        table.add(&instance(1, "b"), &networks(&[("127.2.5.0", 24), ("127.3.0.7", 32)])).unwrap();
        let role = |address: &str| table.by_address(address.parse().unwrap()).map(|found| found.role);
        for (address, expected) in [
            ("127.2.5.9", Some(1)),
            ("127.2.6.9", Some(0)),
            ("127.3.0.7", Some(1)),
            ("127.3.0.8", None),
            ("::ffff:127.2.5.1", Some(1)),
            ("fd12::1", Some(0)),
            ("::1", None),
        ] {
            assert_eq!(role(address), expected, "{address}");
        }
    }

    #[test]
    fn an_identity_of_two_roles_is_reported() {
        let mut table = IdentityTable::default();
        table.add(&instance(0, "a"), &InstanceIdentity::of_host("10.0.0.1")).unwrap();
        assert!(table.add(&instance(0, "b"), &InstanceIdentity::of_host("10.0.0.1")).is_ok(), "one role");
        let shared = table.add(&instance(1, "c"), &InstanceIdentity::of_host("10.0.0.1")).unwrap_err();
        assert_eq!((shared.text.as_str(), shared.other), ("10.0.0.1/32", instance(0, "a")));
        assert!(InstanceIdentity::of_host("db.internal").is_empty());
    }

    #[test]
    fn a_certificate_that_names_no_instance_is_an_unknown_source() {
        let mut table = IdentityTable::default();
        let names = vec!["spiffe://corp/Web/0".to_owned(), "Web1.corp".to_owned(), "robot".to_owned()];
        let identity = InstanceIdentity { certificate_names: names, ..networks(&[("10.0.0.1", 32)]) };
        table.add(&instance(0, "a"), &identity).unwrap();
        let role = |info: CertificateInfo| {
            let certificate = ClientCertificate::new(info, String::new(), String::new());
            let source = Source {
                certificate: Some(&certificate),
                subject: None,
                address: "10.0.0.1".parse().unwrap(),
            };
            table.find(&source).map(|found| found.role)
        };
        let info = CertificateInfo::default;
        assert_eq!(role(CertificateInfo { uris: vec!["spiffe://corp/Web/0".into()], ..info() }), Some(0));
        assert_eq!(role(CertificateInfo { uris: vec!["spiffe://CORP/Web/0".into()], ..info() }), None);
        assert_eq!(role(CertificateInfo { dns: vec!["web1.corp".into()], ..info() }), Some(0));
        assert_eq!(role(CertificateInfo { common_name: Some("Robot".into()), ..info() }), Some(0));
        let named = CertificateInfo { common_name: Some("robot".into()), dns: vec!["x".into()], ..info() };
        assert_eq!(role(named), None, "the common name counts without other names only");
        assert_eq!(role(info()), None, "the address is not considered");
        assert!(table.find(&Source::of_address("10.0.0.1".parse().unwrap())).is_some());
    }
}
