//! Which certificates a name asks for: the very name, else `*.` and all but its first label, else the first certificate.

use std::collections::HashMap;

/// Names and the certificates they ask for. Certificates that serve the same names are of one group.
#[derive(Debug, Default)]
pub struct Names {
    exact: HashMap<Box<str>, usize>,
    /// Without the `*.`.
    wildcard: HashMap<Box<str>, usize>,
    groups: Vec<Vec<usize>>,
}

impl Names {
    /// The names of each certificate, in small letters, in the order of the certificates.
    pub fn new<'n>(certificates: impl IntoIterator<Item = &'n [String]>) -> Names {
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
        let mut names = Names { groups: vec![vec![0]], ..Names::default() };
        if let Some(first) = order.first().and_then(|name| asked.get(name)).filter(|group| group[0] == 0) {
            names.groups[0].clone_from(first);
        }
        for name in order {
            let group = names.group_of(asked.remove(&name).unwrap_or_default());
            match name.strip_prefix("*.") {
                Some(below) => names.wildcard.insert(below.into(), group),
                None => names.exact.insert(name.into(), group),
            };
        }
        names
    }

    fn group_of(&mut self, certificates: Vec<usize>) -> usize {
        self.groups.iter().position(|group| *group == certificates).unwrap_or_else(|| {
            self.groups.push(certificates);
            self.groups.len() - 1
        })
    }

    /// The group of certificates that a name asks for; the first one serves those that ask for nothing known.
    pub fn group(&self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        let small = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let below = || small.split_once('.').and_then(|(_, below)| self.wildcard.get(below));
        self.exact.get(small.as_str()).or_else(below).copied().unwrap_or(0)
    }

    /// The certificates of a group, by their places.
    pub fn certificates(&self, group: usize) -> &[usize] {
        self.groups.get(group).map_or(&[], Vec::as_slice)
    }
}

/// A name that a certificate can be shown for: a host name, perhaps with `*` as its whole first label.
pub fn is_pattern(name: &str) -> bool {
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

    fn names(all: &[&[&str]]) -> Names {
        let owned: Vec<Vec<String>> =
            all.iter().map(|names| names.iter().map(|n| (*n).to_owned()).collect()).collect();
        Names::new(owned.iter().map(Vec::as_slice))
    }

    fn serving<'n>(names: &'n Names, name: Option<&str>) -> &'n [usize] {
        names.certificates(names.group(name))
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
        assert_eq!(names.group(Some("a.example")), names.group(Some("b.example")));
        assert_ne!(names.group(Some("a.example")), names.group(Some("c.example")));
    }

    #[test]
    fn patterns_are_host_names_with_at_most_one_star_in_front() {
        for good in ["localhost", "a.example", "*.a.example", "x_y.example"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "*", "*.", "*.com", "a.*.b", "a..b", "a b", "https://a", "a.", "*a.example"] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }
}
