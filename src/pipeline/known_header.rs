//! The header fields that the gateway evaluates, writes or removes, by name.

macro_rules! known_headers {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// The fields that the gateway itself evaluates, writes or removes; every other one is `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum KnownHeader {
            Other,
            /// A field by which a proxy describes or overrides the request of its client; see `PROXY_PROVIDED`.
            ProxyProvided,
            $($name),*
        }

        const NAMES: &[(&[u8], KnownHeader)] = &[$(($text, KnownHeader::$name)),*];
    };
}

known_headers! {
    Host = b"host", Connection = b"connection", ContentLength = b"content-length",
    TransferEncoding = b"transfer-encoding", Te = b"te", Trailer = b"trailer", Upgrade = b"upgrade",
    Expect = b"expect", KeepAlive = b"keep-alive", ProxyConnection = b"proxy-connection",
    ProxyAuthenticate = b"proxy-authenticate", Http2Settings = b"http2-settings",
    Via = b"via", MaxForwards = b"max-forwards", XForwardedFor = b"x-forwarded-for",
    XForwardedHost = b"x-forwarded-host", XForwardedProto = b"x-forwarded-proto", Forwarded = b"forwarded",
    ClientCert = b"client-cert", ClientCertChain = b"client-cert-chain",
    XClientCertificate = b"x-client-certificate",
}

/// Fields in which proxies describe the client of a request, or from which backends take its address, host, scheme, URL
/// or method. Every name that begins with `X-Forwarded-` is one of them.
const PROXY_PROVIDED: &[&[u8]] = &[
    b"x-forwarded",
    b"forwarded-for",
    b"x-real-ip",
    b"x-client-ip",
    b"client-ip",
    b"true-client-ip",
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"fastly-client-ip",
    b"x-cluster-client-ip",
    b"x-azure-clientip",
    b"x-azure-socketip",
    b"x-envoy-external-address",
    b"x-original-forwarded-for",
    b"x-original-for",
    b"x-original-proto",
    b"x-original-host",
    b"x-original-method",
    b"x-original-uri",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-host",
    b"x-http-host-override",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-scheme",
    b"x-url-scheme",
    b"front-end-https",
    b"proxy",
];

const FORWARDED_PREFIX: &[u8] = b"x-forwarded-";
/// The longest name of the tables is shorter.
const MAX_NAME_LEN: usize = 32;
const NAME_COUNT: usize = NAMES.len() + PROXY_PROVIDED.len();
const SLOT_BITS: u32 = 9;

/// A perfect hash of the names: each has its own slot, so that a lookup compares at most one name.
struct NameTable {
    multiplier: u32,
    /// One more than the position of a name; 0 where there is none.
    slots: [u8; 1 << SLOT_BITS],
}

static NAME_TABLE: NameTable = name_table();

/// Tries multipliers until no two names have the same slot.
const fn name_table() -> NameTable {
    let mut multiplier = 0x9e37_79b1_u32;
    loop {
        let mut table = NameTable { multiplier, slots: [0; 1 << SLOT_BITS] };
        let mut at = 0;
        while at < NAME_COUNT {
            let slot = slot(hash_key(name_at(at).0), multiplier);
            if table.slots[slot] != 0 {
                break;
            }
            table.slots[slot] = at as u8 + 1;
            at += 1;
        }
        if at == NAME_COUNT {
            return table;
        }
        multiplier = multiplier.wrapping_add(2);
    }
}

const fn name_at(position: usize) -> (&'static [u8], KnownHeader) {
    match position < NAMES.len() {
        true => NAMES[position],
        false => (PROXY_PROVIDED[position - NAMES.len()], KnownHeader::ProxyProvided),
    }
}

/// The length and three bytes of a name, regardless of case. The name must not be empty.
const fn hash_key(name: &[u8]) -> u32 {
    let (first, middle, last) = (name[0], name[name.len() / 2], name[name.len() - 1]);
    u32::from_le_bytes([first | 0x20, middle | 0x20, last | 0x20, name.len() as u8])
}

const fn slot(hash_key: u32, multiplier: u32) -> usize {
    (hash_key.wrapping_mul(multiplier) >> (u32::BITS - SLOT_BITS)) as usize
}

/// Whether a name is this one of the tables, regardless of case. No character of a token but a letter's other case
/// differs from a character of the tables in this bit only.
fn is_same_name(name: &[u8], lower_case: &[u8]) -> bool {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let (words, rest) = name.as_chunks::<8>();
    let (lower_words, lower_rest) = lower_case.as_chunks::<8>();
    let is_same = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) | FOLD == u64::from_ne_bytes(*b);
    name.len() == lower_case.len()
        && words.iter().zip(lower_words).all(is_same)
        && rest.iter().zip(lower_rest).all(|(a, b)| a | 0x20 == *b)
}

impl KnownHeader {
    /// The field of this name; case-insensitive.
    pub fn of(name: &[u8]) -> KnownHeader {
        if name.is_empty() || name.len() >= MAX_NAME_LEN {
            return KnownHeader::of_prefix(name);
        }
        let found = NAME_TABLE.slots[slot(hash_key(name), NAME_TABLE.multiplier)];
        if found > 0 {
            let (text, known) = name_at(usize::from(found) - 1);
            if is_same_name(name, text) {
                return known;
            }
        }
        KnownHeader::of_prefix(name)
    }

    fn of_prefix(name: &[u8]) -> KnownHeader {
        match name.get(..FORWARDED_PREFIX.len()) {
            Some(start) if start[2] | 0x20 == b'f' && start.eq_ignore_ascii_case(FORWARDED_PREFIX) => {
                KnownHeader::ProxyProvided
            }
            _ => KnownHeader::Other,
        }
    }

    /// Whether only a trusted proxy may send the field.
    pub fn is_proxy_provided(self) -> bool {
        matches!(
            self,
            KnownHeader::ProxyProvided
                | KnownHeader::XForwardedFor
                | KnownHeader::XForwardedHost
                | KnownHeader::XForwardedProto
                | KnownHeader::Forwarded
        )
    }

    /// Whether only the gateway may send the field to a backend (RFC 9440 4).
    pub fn is_reserved(self) -> bool {
        matches!(
            self,
            KnownHeader::ClientCert | KnownHeader::ClientCertChain | KnownHeader::XClientCertificate
        )
    }
}

/// A set of known headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownHeaders(u32);

impl KnownHeaders {
    /// The set of these headers.
    pub const fn of(headers: &[KnownHeader]) -> KnownHeaders {
        let (mut bits, mut at) = (0, 0);
        while at < headers.len() {
            bits |= 1 << headers[at] as u32;
            at += 1;
        }
        KnownHeaders(bits)
    }

    /// Adds a header.
    pub fn insert(&mut self, header: KnownHeader) {
        self.0 |= 1 << header as u32;
    }

    /// Whether the sets have a header in common.
    pub fn intersects(self, other: KnownHeaders) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(KnownHeader::of(b"tRANSFER-encoding"), KnownHeader::TransferEncoding);
        assert_eq!(KnownHeader::of(b"x-unknown"), KnownHeader::Other);
        assert_eq!(KnownHeader::of(b""), KnownHeader::Other);
        assert_eq!(KnownHeader::of(&[b'a'; 300]), KnownHeader::Other);
    }

    #[test]
    fn every_name_of_the_tables_is_found() {
        for (name, known) in NAMES {
            assert_eq!(KnownHeader::of(name), *known);
        }
        for name in PROXY_PROVIDED.iter().copied().chain([&b"X-Forwarded-Port"[..], b"x-forwarded-"]) {
            assert_eq!(
                KnownHeader::of(name),
                KnownHeader::ProxyProvided,
                "{}",
                String::from_utf8_lossy(name)
            );
        }
    }
}
