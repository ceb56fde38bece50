//! Keys of partitions: integers, names, ranges, and the even division of a range.

/// The key of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PartitionKey {
    /// No key: the partition of a service that is not divided.
    None,
    Int64(i64),
    Named(Box<str>),
}

impl PartitionKey {
    /// The name of the kind, as in the naming interface.
    pub fn kind(&self) -> PartitionKind {
        match self {
            PartitionKey::None => PartitionKind::Singleton,
            PartitionKey::Int64(_) => PartitionKind::Int64Range,
            PartitionKey::Named(_) => PartitionKind::Named,
        }
    }
}

impl std::fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            PartitionKey::None => f.write_str("no key"),
            PartitionKey::Int64(key) => key.fmt(f),
            PartitionKey::Named(key) => write!(f, "\"{key}\""),
        }
    }
}

/// How a service is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[schemars(inline)]
pub enum PartitionKind {
    Singleton,
    Int64Range,
    Named,
}

impl PartitionKind {
    /// The name in configurations and in the naming interface.
    pub fn name(self) -> &'static str {
        match self {
            PartitionKind::Singleton => "Singleton",
            PartitionKind::Int64Range => "Int64Range",
            PartitionKind::Named => "Named",
        }
    }

    /// The kind of exactly this name.
    pub fn by_name(name: &str) -> Option<PartitionKind> {
        let all = [PartitionKind::Singleton, PartitionKind::Int64Range, PartitionKind::Named];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// A range of keys; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    pub low: i64,
    pub high: i64,
}

impl KeyRange {
    /// Whether the key is in the range.
    pub fn contains(self, key: i64) -> bool {
        (self.low..=self.high).contains(&key)
    }

    /// The number of keys.
    pub fn width(self) -> i128 {
        i128::from(self.high) - i128::from(self.low) + 1
    }

    /// Divides the range evenly: the first ranges have one key more. `None` if there are more ranges than keys, or none.
    pub fn divide(self, count: u32) -> Option<impl Iterator<Item = KeyRange>> {
        let (width, count) = (self.width(), i128::from(count));
        if count < 1 || count > width {
            return None;
        }
        let (each, larger) = (width / count, width % count);
        let start = move |at: i128| i128::from(self.low) + at * each + at.min(larger);
        let range = move |at: i128| {
            let (low, high) = (start(at), start(at + 1) - 1);
            Some(KeyRange { low: i64::try_from(low).ok()?, high: i64::try_from(high).ok()? })
        };
        Some((0..count).filter_map(range))
    }
}

/// An integer: an optional minus and digits, zeros in front allowed, within 64 bits.
pub fn parse_int64(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The FNV-1a hash of a text as an int64.
pub fn fnv1a64(text: &[u8]) -> i64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = text.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    hash.cast_signed()
}

/// What distinguishes a partition within its service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PartitionInfo {
    Singleton,
    Int64Range(KeyRange),
    Named(Box<str>),
}

impl PartitionInfo {
    /// How its service is divided.
    pub fn kind(&self) -> PartitionKind {
        match self {
            PartitionInfo::Singleton => PartitionKind::Singleton,
            PartitionInfo::Int64Range(_) => PartitionKind::Int64Range,
            PartitionInfo::Named(_) => PartitionKind::Named,
        }
    }

    /// Whether the key is one of the partition.
    pub fn contains(&self, key: &PartitionKey) -> bool {
        match (self, key) {
            (PartitionInfo::Singleton, PartitionKey::None) => true,
            (PartitionInfo::Int64Range(range), PartitionKey::Int64(key)) => range.contains(*key),
            (PartitionInfo::Named(name), PartitionKey::Named(key)) => name == key,
            _ => false,
        }
    }

    /// The low key or the name; empty for a service that is not divided.
    pub fn label(&self) -> String {
        match self {
            PartitionInfo::Singleton => String::new(),
            PartitionInfo::Int64Range(range) => range.low.to_string(),
            PartitionInfo::Named(name) => name.to_string(),
        }
    }

    /// The order of the partitions of one service: by low key, or by the bytes of the names.
    pub fn order(&self, other: &PartitionInfo) -> std::cmp::Ordering {
        match (self, other) {
            (PartitionInfo::Int64Range(one), PartitionInfo::Int64Range(other)) => one.low.cmp(&other.low),
            (PartitionInfo::Named(one), PartitionInfo::Named(other)) => one.cmp(other),
            _ => std::cmp::Ordering::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn divided(low: i64, high: i64, count: u32) -> Option<Vec<(i64, i64)>> {
        Some(KeyRange { low, high }.divide(count)?.map(|range| (range.low, range.high)).collect())
    }

    #[test]
    fn the_first_ranges_of_an_even_division_have_one_key_more() {
        assert_eq!(divided(0, 33, 4), Some(vec![(0, 8), (9, 17), (18, 25), (26, 33)]));
        assert_eq!(divided(-10, -3, 3), Some(vec![(-10, -8), (-7, -5), (-4, -3)]));
        assert_eq!(divided(5, 5, 1), Some(vec![(5, 5)]));
        assert_eq!((divided(0, 2, 4), divided(0, 2, 0), divided(2, 0, 1)), (None, None, None));
        let lows = divided(i64::MIN, i64::MAX, 5).unwrap();
        let expected = [
            -9_223_372_036_854_775_808,
            -5_534_023_222_112_865_484,
            -1_844_674_407_370_955_161,
            1_844_674_407_370_955_162,
            5_534_023_222_112_865_485,
        ];
        assert_eq!(lows.iter().map(|range| range.0).collect::<Vec<_>>(), expected);
        assert_eq!(lows.last().map(|range| range.1), Some(i64::MAX));
    }

    #[test]
    fn an_integer_is_an_optional_minus_and_digits() {
        for (text, value) in [
            ("0", Some(0)),
            ("08", Some(8)),
            ("-1", Some(-1)),
            ("-0", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("+8", None),
            (" 8", None),
            ("", None),
            ("-", None),
            ("--1", None),
            ("1.0", None),
            ("0x1", None),
        ] {
            assert_eq!(parse_int64(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn texts_hash_to_int64() {
        for (text, hash) in [
            ("", -3_750_763_034_362_895_579),
            ("a", -5_808_556_873_153_909_620),
            ("ann", -1_803_800_394_952_868_680),
            ("user-42", 3_658_848_852_250_057_419),
        ] {
            assert_eq!(fnv1a64(text.as_bytes()), hash, "{text}");
        }
    }

    fn check_division(low: i64, high: i64, count: u32) -> Result<(), TestCaseError> {
        let range = KeyRange { low: low.min(high), high: low.max(high) };
        let Some(parts) = range.divide(count) else {
            prop_assert!(i128::from(count) > range.width());
            return Ok(());
        };
        let (each, larger) = (range.width() / i128::from(count), range.width() % i128::from(count));
        let (mut next, mut seen) = (i128::from(range.low), 0_i128);
        for part in parts {
            prop_assert_eq!(i128::from(part.low), next, "no gap and no overlap");
            prop_assert_eq!(part.width(), each + i128::from(seen < larger));
            (next, seen) = (i128::from(part.high) + 1, seen + 1);
        }
        prop_assert_eq!((next - 1, seen), (i128::from(range.high), i128::from(count)));
        Ok(())
    }

    proptest! {
        #[test]
        fn any_division_is_the_one_of_the_definition(low: i64, high: i64, count in 1_u32..2000) {
            check_division(low, high, count)?;
        }

        #[test]
        fn any_division_of_a_narrow_range_too(low in -50_i64..50, width in 0_i64..60, count in 1_u32..70) {
            check_division(low, low + width, count)?;
        }

        #[test]
        fn a_division_of_all_integers_too(count in 1_u32..5000) {
            check_division(i64::MIN, i64::MAX, count)?;
        }
    }
}
