//! Which certificates a name asks for: the very name, else `*.` and all but its first label, else the first certificate.

use std::collections::HashMap;

/// Names and the certificates they ask for. Certificates that serve the same names are of one group.
#[derive(Debug, Default)]
pub struct SniTable {
    exact: HashMap<Box<str>, usize>,
    /// Without the `*.`.
    wildcard: HashMap<Box<str>, usize>,
    certificate_sets: Vec<Vec<usize>>,
}

impl SniTable {
    /// The names of each certificate, in small letters, in the order of the certificates.
    pub fn new<'n>(certificates: impl IntoIterator<Item = &'n [String]>) -> SniTable {
        let mut asked: HashMap<String, Vec<usize>> = HashMap::new();
        let mut order = Vec::new();
        for (at, names) in certificates.into_iter().enumerate() {
            for name in names {
                let serving = asked.entry(name.clone()).or_insert_with(|| {
                    order.push(name.clone());
                    Vec::new()
                });
                if !serving.contains(&at) {
                    serving.push(at);
                }
            }
        }
        // Who asks for nothing gets the first certificate, and those beside it that serve a name of it.
        let mut names = SniTable { certificate_sets: vec![vec![0]], ..SniTable::default() };
        if let Some(first) = order.first().and_then(|name| asked.get(name)).filter(|group| group[0] == 0) {
            names.certificate_sets[0].clone_from(first);
        }
        for name in order {
            let group = names.index_of(asked.remove(&name).unwrap_or_default());
            match name.strip_prefix("*.") {
                Some(below) => names.wildcard.insert(below.into(), group),
                None => names.exact.insert(name.into(), group),
            };
        }
        names
    }

    fn index_of(&mut self, certificates: Vec<usize>) -> usize {
        self.certificate_sets.iter().position(|group| *group == certificates).unwrap_or_else(|| {
            self.certificate_sets.push(certificates);
            self.certificate_sets.len() - 1
        })
    }

    /// The group of certificates that a name asks for; the first one serves those that ask for nothing known.
    pub fn resolve(&self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        let small = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let below = || small.split_once('.').and_then(|(_, below)| self.wildcard.get(below));
        self.exact.get(small.as_str()).or_else(below).copied().unwrap_or(0)
    }

    /// The certificates of a group, by their places.
    pub fn certificates(&self, group: usize) -> &[usize] {
        self.certificate_sets.get(group).map_or(&[], Vec::as_slice)
    }
}

/// A name that a certificate can be shown for: a host name, perhaps with `*` as its whole first label.
pub fn is_wildcard(name: &str) -> bool {
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
    fn the_very_name_comes_before_a_wildcard_and_both_before_the_first() {
        let names = names(&[&["first.example"], &["*.example.com"], &["api.example.com"]]);
        assert_eq!(serving(&names, Some("API.example.com")), [2]);
        assert_eq!(serving(&names, Some("www.example.com.")), [1]);
        for unknown in [None, Some("example.com"), Some("a.b.example.com"), Some("elsewhere")] {
            assert_eq!(serving(&names, unknown), [0], "{unknown:?}");
        }
    }

    #[test]
    fn certificates_of_one_name_stand_beside_each_other_and_names_of_one_certificate_are_one_group() {
        let names = names(&[&["a.example", "b.example"], &["a.example", "b.example"], &["c.example"]]);
        assert_eq!(serving(&names, Some("a.example")), [0, 1]);
        assert_eq!(serving(&names, None), [0, 1]);
        assert_eq!(names.resolve(Some("a.example")), names.resolve(Some("b.example")));
        assert_ne!(names.resolve(Some("a.example")), names.resolve(Some("c.example")));
    }

    #[test]
    fn patterns_are_host_names_with_at_most_one_star_in_front() {
        for good in ["localhost", "a.example", "*.a.example", "x_y.example"] {
            assert!(is_wildcard(good), "{good}");
        }
        for bad in ["", "*", "*.", "*.com", "a.*.b", "a..b", "a b", "https://a", "a.", "*a.example"] {
            assert!(!is_wildcard(bad), "{bad}");
        }
    }
}
