//! Sets of status codes as written in settings: `200`, `200-299`, `5xx`.

/// A set of HTTP status codes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// All status codes from `first` to `last`.
    pub fn from_range(first: u16, last: u16) -> StatusSet {
        StatusSet(vec![(first, last)])
    }

    /// Adds the status codes of an entry; returns false if the entry is invalid.
    pub fn insert(&mut self, text: &str) -> bool {
        let number = |text: &str| text.trim().parse::<u16>().ok().filter(|n| (100..=599).contains(n));
        let text = text.trim();
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        let read = match (class, text.split_once('-')) {
            (Some(class), _) => {
                class.parse::<u16>().ok().filter(|n| (1..=5).contains(n)).map(|n| (n * 100, n * 100 + 99))
            }
            (None, Some((first, last))) => {
                number(first).zip(number(last)).filter(|(first, last)| first <= last)
            }
            (None, None) => number(text).map(|n| (n, n)),
        };
        self.0.extend(read);
        read.is_some()
    }

    /// Whether it contains no status.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set contains the status code.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_are_accepted_and_nothing_else() {
        let mut set = StatusSet::default();
        assert!(["404", "200-204", " 5xx "].iter().all(|text| set.insert(text)));
        let has: Vec<u16> =
            [199, 200, 204, 205, 404, 499, 500, 599].into_iter().filter(|n| set.contains(*n)).collect();
        assert_eq!(has, [200, 204, 404, 500, 599]);
        assert!(!["", "x", "99", "600", "204-200", "0xx", "6xx", "200-"].iter().any(|text| set.insert(text)));
    }
}
