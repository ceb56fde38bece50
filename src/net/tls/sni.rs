//! Certificate selection by SNI: the exact name, else a wildcard for its parent domain, else the first certificate.

use std::collections::HashMap;

/// Maps host names to certificates. Certificates that serve the same names are one set.
#[derive(Debug, Default)]
pub struct SniTable {
    exact: HashMap<Box<str>, usize>,
    /// Parent domains, without the `*.`.
    wildcard: HashMap<Box<str>, usize>,
    certificate_sets: Vec<Vec<usize>>,
}

impl SniTable {
    /// Builds the table from the names of each certificate, in lower case and in the order of the certificates.
    pub fn new<'n>(certificates: impl IntoIterator<Item = &'n [String]>) -> SniTable {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut order = Vec::new();
        for (at, names) in certificates.into_iter().enumerate() {
            for name in names {
                let serving = by_name.entry(name.clone()).or_insert_with(|| {
                    order.push(name.clone());
                    Vec::new()
                });
                if !serving.contains(&at) {
                    serving.push(at);
                }
            }
        }
        // Without SNI: the first certificate, and the others that serve one of its names.
        let mut names = SniTable { certificate_sets: vec![vec![0]], ..SniTable::default() };
        if let Some(first) = order.first().and_then(|name| by_name.get(name)).filter(|set| set[0] == 0) {
            names.certificate_sets[0].clone_from(first);
        }
        for name in order {
            let set = names.index_of(by_name.remove(&name).unwrap_or_default());
            match name.strip_prefix("*.") {
                Some(parent) => names.wildcard.insert(parent.into(), set),
                None => names.exact.insert(name.into(), set),
            };
        }
        names
    }

    fn index_of(&mut self, certificates: Vec<usize>) -> usize {
        self.certificate_sets.iter().position(|set| *set == certificates).unwrap_or_else(|| {
            self.certificate_sets.push(certificates);
            self.certificate_sets.len() - 1
        })
    }

    /// The index of the certificate set of a name; set 0 serves unknown names.
    pub fn resolve(&self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let parent = || lower.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(lower.as_str()).or_else(parent).copied().unwrap_or(0)
    }

    /// The indexes of the certificates in a set.
    pub fn certificates(&self, set: usize) -> &[usize] {
        self.certificate_sets.get(set).map_or(&[], Vec::as_slice)
    }
}

/// Whether a host name, or a pattern for all names one level below, in lower case, covers a host.
pub fn matches_host(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// Whether a name is a host name, optionally with `*` as its first label.
pub fn is_host_pattern(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    host.len() <= 253 && host.split('.').all(label) && (host.len() == name.len() || host.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&[&str]]) -> SniTable {
        let owned: Vec<Vec<String>> =
            all.iter().map(|names| names.iter().map(|n| (*n).to_owned()).collect()).collect();
        SniTable::new(owned.iter().map(Vec::as_slice))
    }

    fn serving<'n>(names: &'n SniTable, name: Option<&str>) -> &'n [usize] {
        names.certificates(names.resolve(name))
    }

    #[test]
    fn an_exact_name_precedes_a_wildcard_and_both_precede_the_first_certificate() {
        let names = names(&[&["first.example"], &["*.example.com"], &["api.example.com"]]);
        assert_eq!(serving(&names, Some("API.example.com")), [2]);
        assert_eq!(serving(&names, Some("www.example.com.")), [1]);
        for unknown in [None, Some("example.com"), Some("a.b.example.com"), Some("elsewhere")] {
            assert_eq!(serving(&names, unknown), [0], "{unknown:?}");
        }
    }

    #[test]
    fn certificates_of_the_same_names_are_one_set() {
        let names = names(&[&["a.example", "b.example"], &["a.example", "b.example"], &["c.example"]]);
        assert_eq!(serving(&names, Some("a.example")), [0, 1]);
        assert_eq!(serving(&names, None), [0, 1]);
        assert_eq!(names.resolve(Some("a.example")), names.resolve(Some("b.example")));
        assert_ne!(names.resolve(Some("a.example")), names.resolve(Some("c.example")));
    }

    #[test]
    fn patterns_are_host_names_with_at_most_one_leading_wildcard() {
        for good in ["localhost", "a.example", "*.a.example", "x_y.example"] {
            assert!(is_host_pattern(good), "{good}");
        }
        for bad in ["", "*", "*.", "*.com", "a.*.b", "a..b", "a b", "https://a", "a.", "*a.example"] {
            assert!(!is_host_pattern(bad), "{bad}");
        }
    }
}
