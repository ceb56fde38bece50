//! Sets of bytes and the digits of escapes.

/// A set of the 256 byte values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ByteSet([u64; 4]);

/// The bits of `A` to `Z` in the second word; those of `a` to `z` are 32 further.
const UPPERCASE: u64 = 0x07ff_fffe;

impl ByteSet {
    /// The set without a byte.
    pub const fn empty() -> Self {
        Self([0; 4])
    }

    /// The bytes of a text.
    pub const fn of(bytes: &[u8]) -> Self {
        let mut set = Self::empty();
        let mut at = 0;
        while at < bytes.len() {
            set = set.with(bytes[at]);
            at += 1;
        }
        set
    }

    /// Every byte from `first` to `last`, inclusive.
    pub const fn range(first: u8, last: u8) -> Self {
        let mut set = Self::empty();
        let mut byte = first;
        loop {
            set = set.with(byte);
            if byte >= last {
                return set;
            }
            byte += 1;
        }
    }

    /// This set with one more byte.
    pub const fn with(mut self, byte: u8) -> Self {
        self.0[(byte >> 6) as usize] |= 1 << (byte & 63);
        self
    }

    /// The bytes of either set.
    pub const fn union(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self([a[0] | b[0], a[1] | b[1], a[2] | b[2], a[3] | b[3]])
    }

    /// The bytes that are not in this set.
    pub const fn inverse(self) -> Self {
        Self([!self.0[0], !self.0[1], !self.0[2], !self.0[3]])
    }

    /// The bytes of a buffer, found in one pass.
    pub fn scan(bytes: &[u8]) -> Self {
        let mut set = [0_u64; 4];
        for &byte in bytes {
            set[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        Self(set)
    }

    /// Adds a byte.
    pub fn insert(&mut self, byte: u8) {
        *self = self.with(byte);
    }

    /// Whether a byte is in the set.
    pub fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    /// Whether the sets have a byte in common.
    pub fn is_meeting(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        (a[0] & b[0]) | (a[1] & b[1]) | (a[2] & b[2]) | (a[3] & b[3]) != 0
    }

    /// The set with every uppercase letter replaced by its lowercase one.
    pub fn to_lowercase(self) -> Self {
        let word = self.0[1];
        Self([self.0[0], (word & !UPPERCASE) | ((word & UPPERCASE) << 32), self.0[2], self.0[3]])
    }

    /// The bytes that are in both sets.
    pub fn intersection(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self([a[0] & b[0], a[1] & b[1], a[2] & b[2], a[3] & b[3]])
    }

    /// The bytes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        self.0
            .into_iter()
            .enumerate()
            .flat_map(|(word, bits)| BitIterator(bits).map(move |bit| (word * 64 + bit) as u8))
    }
}

/// The positions of the set bits of a word.
pub struct BitIterator(pub u64);

impl Iterator for BitIterator {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

/// The value of a hexadecimal digit.
pub fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte of two hexadecimal digits at the beginning of a text.
pub fn hex_byte(digits: &[u8]) -> Option<u8> {
    match digits {
        [high, low, ..] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    }
}

/// White space as C's `isspace` defines it.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The integer at the beginning of a text, as C's `atoi` reads it; 0 without digits.
pub fn leading_integer(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    let value = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    sign * value
}

/// Whether a text contains another one.
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}
