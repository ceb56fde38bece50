//! The head of a message: one buffer, and where in it things stand.
//!
//! Edits append to the buffer and flip `live`, so a head is never shuffled about and never needs a map.

use crate::base::bytes::put_decimal;

/// A piece of the head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteRange {
    start: u32,
    end: u32,
}

impl ByteRange {
    fn slice(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }
}

/// What the sender says it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    /// As it stands on a message and in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
    }
}

macro_rules! get_known {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// The fields that the gateway itself has to do with; every other one is `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum KnownHeader { Other, $($name),* }

        impl KnownHeader {
            /// Which field a name is; `Other` for all that need no care of ours.
            pub fn of(name: &[u8]) -> KnownHeader {
                $(if name.len() == $text.len() && name.eq_ignore_ascii_case($text) { return KnownHeader::$name; })*
                KnownHeader::Other
            }
        }
    };
}

get_known! {
    Host = b"host", Connection = b"connection", ContentLength = b"content-length",
    TransferEncoding = b"transfer-encoding", Te = b"te", Trailer = b"trailer", Upgrade = b"upgrade",
    Expect = b"expect", KeepAlive = b"keep-alive", ProxyConnection = b"proxy-connection",
    ProxyAuthenticate = b"proxy-authenticate", Http2Settings = b"http2-settings",
    Via = b"via", MaxForwards = b"max-forwards", XForwardedFor = b"x-forwarded-for",
    XForwardedHost = b"x-forwarded-host", XForwardedProto = b"x-forwarded-proto", Forwarded = b"forwarded",
    ClientCert = b"client-cert", ClientCertChain = b"client-cert-chain",
    XClientCertificate = b"x-client-certificate",
}

/// One field line; a dead one was removed or replaced.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub get_known: KnownHeader,
    is_active: bool,
    name: ByteRange,
    value: ByteRange,
}

/// The head of a request or of a response.
///
/// ```
/// let mut head = margay::pipeline::head::Head::request(b"GET", b"/orders");
/// head.append(b"Accept", b"text/html");
/// head.set(b"accept", b"application/json");
/// assert_eq!(head.get(b"ACCEPT"), Some(&b"application/json"[..]));
/// assert_eq!(head.fields().count(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Head {
    buf: Vec<u8>,
    fields: Vec<Field>,
    /// Method of a request, reason phrase of a response.
    first: ByteRange,
    /// Target of a request.
    target_range: ByteRange,
    /// Target as it was received.
    original_target: ByteRange,
    /// Bytes of the buffer that were received; what stands behind them is ours.
    received_len: u32,
    /// Target as it was matched, once another one is sent.
    routed_target: Option<ByteRange>,
    pub version: Version,
    /// Status of a response; 0 on a request.
    pub status: u16,
}

impl Head {
    /// Forgets the message and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.fields.clear();
        (self.first, self.target_range, self.original_target, self.routed_target) = Default::default();
        (self.version, self.status, self.received_len) = (Version::default(), 0, 0);
    }

    /// Bytes of memory this head holds on to.
    pub fn capacity(&self) -> usize {
        self.buf.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// The same with room for so many bytes more.
    pub fn copy(&self, more: usize) -> Head {
        let mut head = Head {
            buf: Vec::with_capacity(self.buf.len() + more),
            fields: Vec::with_capacity(self.fields.len() + 4),
            ..Head::default()
        };
        head.buf.extend_from_slice(&self.buf);
        head.fields.extend_from_slice(&self.fields);
        (head.first, head.target_range, head.original_target, head.routed_target) =
            (self.first, self.target_range, self.original_target, self.routed_target);
        (head.version, head.status, head.received_len) = (self.version, self.status, self.received_len);
        head
    }

    /// A response head with the same status and live fields, and nothing else; for keeping.
    pub fn to_stored(&self) -> Head {
        let bytes: usize = self.fields().map(|(_, name, value)| name.len() + value.len()).sum();
        let mut head = Head {
            buf: Vec::with_capacity(bytes + self.reason().len()),
            fields: Vec::with_capacity(self.len()),
            ..Head::default()
        };
        head.set_status(self.status, self.reason());
        self.fields().for_each(|(_, name, value)| head.append(name, value));
        head
    }

    /// A fresh response head.
    pub fn response(status: u16, reason: &[u8]) -> Head {
        let mut head = Head::default();
        head.set_status(status, reason);
        head
    }

    /// A fresh request head.
    pub fn request(method: &[u8], target: &[u8]) -> Head {
        let mut head = Head::default();
        head.set_method(method);
        head.set_target(target);
        head
    }

    /// The method of a request, as received.
    pub fn method(&self) -> &[u8] {
        self.first.slice(&self.buf)
    }

    /// The reason phrase of a response; over HTTP/2 the standard one of the status.
    pub fn reason(&self) -> &[u8] {
        self.first.slice(&self.buf)
    }

    /// The request target; after routing the normalised one, before the target the rewritten one.
    pub fn target(&self) -> &[u8] {
        self.target_range.slice(&self.buf)
    }

    /// The target as the route matched it, whatever is sent to the service: path values point into it.
    pub fn routed_target(&self) -> &[u8] {
        self.routed_target.unwrap_or(self.target_range).slice(&self.buf)
    }

    /// The target as the client asked for it, whatever it became since.
    pub fn original_target(&self) -> &[u8] {
        self.original_target.slice(&self.buf)
    }

    /// The path as the client asked for it, whatever the target became since; without the query.
    pub fn original_path(&self) -> &[u8] {
        self.original_target().split(|&b| b == b'?').next().unwrap_or_default()
    }

    /// Replaces the method of a request.
    pub fn set_method(&mut self, method: &[u8]) {
        self.first = self.push_bytes(method);
    }

    /// Replaces the target of a request: path and query, or the absolute form.
    pub fn set_target(&mut self, target: &[u8]) {
        self.target_range = self.push_bytes(target);
    }

    /// The target that the service gets; the matched one is kept beside it.
    pub fn rewrite_target(&mut self, target: &[u8]) {
        self.routed_target.get_or_insert(self.target_range);
        self.target_range = self.push_bytes(target);
    }

    /// Replaces status and reason phrase of a response.
    pub fn set_status(&mut self, status: u16, reason: &[u8]) {
        self.status = status;
        self.first = self.push_bytes(reason);
    }

    /// How many live fields there are.
    pub fn len(&self) -> usize {
        self.fields.iter().filter(|f| f.is_active).count()
    }

    /// Whether there is no live field.
    pub fn is_empty(&self) -> bool {
        !self.fields.iter().any(|f| f.is_active)
    }

    /// How many fields were received, and their bytes, whatever was done with them since; of a head that was not
    /// received, those that it has.
    pub fn received(&self) -> (usize, usize) {
        if self.received_len == 0 {
            let size: usize = self.fields().map(|(_, name, value)| name.len() + value.len() + 4).sum();
            return (self.len(), size);
        }
        let first =
            self.fields.first().map_or(self.received_len, |field| field.name.start.min(self.received_len));
        let count = self.fields.iter().take_while(|field| field.name.start < self.received_len).count();
        (count, (self.received_len - first) as usize)
    }

    /// The live fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (KnownHeader, &[u8], &[u8])> {
        self.fields
            .iter()
            .filter(|f| f.is_active)
            .map(|f| (f.get_known, f.name.slice(&self.buf), f.value.slice(&self.buf)))
    }

    /// The first live field of that name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields().find(|(_, n, _)| n.eq_ignore_ascii_case(name)).map(|(_, _, v)| v)
    }

    /// All live lines of that name.
    pub fn get_all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(_, n, _)| n.eq_ignore_ascii_case(name)).map(|(_, _, v)| v)
    }

    /// The first live line of a known field.
    pub fn get_known(&self, known: KnownHeader) -> Option<&[u8]> {
        self.get_all_known(known).next()
    }

    /// All live lines of a known field.
    pub fn get_all_known(&self, known: KnownHeader) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |f| f.is_active && f.get_known == known)
            .map(|f| f.value.slice(&self.buf))
    }

    /// Adds a line at the end.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.push_bytes(name), self.push_bytes(value));
        let known = KnownHeader::of(name.slice(&self.buf));
        self.fields.push(Field { get_known: known, is_active: true, name, value });
    }

    /// Adds a line whose value is a number.
    pub fn append_number(&mut self, name: &[u8], n: u64) {
        let name = self.push_bytes(name);
        let start = self.buf.len() as u32;
        put_decimal(&mut self.buf, n);
        let value = ByteRange { start, end: self.buf.len() as u32 };
        let known = KnownHeader::of(name.slice(&self.buf));
        self.fields.push(Field { get_known: known, is_active: true, name, value });
    }

    /// Adds a line with the value of a known field, if there is such a field; the bytes are shared, not copied.
    pub fn append_copy(&mut self, name: &[u8], known: KnownHeader) {
        if let Some(value) = self.fields.iter().find(|f| f.is_active && f.get_known == known).map(|f| f.value)
        {
            let name = self.push_bytes(name);
            let known = KnownHeader::of(name.slice(&self.buf));
            self.fields.push(Field { get_known: known, is_active: true, name, value });
        }
    }

    /// One line of that name with that value, whatever there was.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.append(name, value);
    }

    /// Gives the lines of that name the values that `change` appends to `out`; false leaves a line as it is.
    pub fn edit(
        &mut self,
        name: &[u8],
        buffer: &mut Vec<u8>,
        mut change: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    ) {
        let end = buffer.len();
        for at in 0..self.fields.len() {
            let field = self.fields[at];
            let named = field.is_active && field.name.slice(&self.buf).eq_ignore_ascii_case(name);
            if named && change(field.value.slice(&self.buf), buffer) {
                self.fields[at].value = self.push_bytes(&buffer[end..]);
            }
            buffer.truncate(end);
        }
    }

    /// Takes away every line of that name; says whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let buf = &self.buf;
        Self::deactivate(&mut self.fields, |f| f.name.slice(buf).eq_ignore_ascii_case(name))
    }

    /// Takes away every line of a known field.
    pub fn remove_known(&mut self, known: KnownHeader) -> bool {
        Self::deactivate(&mut self.fields, |f| f.get_known == known)
    }

    /// Takes away every line for which the question is answered yes.
    pub fn remove_if(&mut self, mut question: impl FnMut(KnownHeader, &[u8]) -> bool) {
        let buf = &self.buf;
        Self::deactivate(&mut self.fields, |f| question(f.get_known, f.name.slice(buf)));
    }

    fn deactivate(fields: &mut [Field], mut question: impl FnMut(&Field) -> bool) -> bool {
        let mut any = false;
        for field in fields.iter_mut().filter(|f| f.is_active) {
            if question(field) {
                field.is_active = false;
                any = true;
            }
        }
        any
    }

    /// Takes the bytes of a received head; the parser then says with the functions below where things stand in them.
    pub fn load(&mut self, bytes: &[u8]) {
        self.clear();
        self.buf.extend_from_slice(bytes);
        self.received_len = bytes.len() as u32;
    }

    /// Begins a head that is received in pieces; [`Head::finish`] ends it.
    pub fn begin(&mut self, method: &[u8], target: &[u8]) {
        self.clear();
        self.set_method(method);
        self.set_target(target);
        self.original_target = self.target_range;
    }

    /// What stands in the head now was received; what comes after is ours.
    pub fn finish(&mut self) {
        self.received_len = self.buf.len() as u32;
    }

    /// The bytes taken.
    pub fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// Says where method and target (or reason phrase and nothing) stand.
    pub fn set_start_line(&mut self, first: (usize, usize), second: (usize, usize)) {
        self.first = ByteRange { start: first.0 as u32, end: first.1 as u32 };
        self.target_range = ByteRange { start: second.0 as u32, end: second.1 as u32 };
        self.original_target = self.target_range;
    }

    /// Says where a field stands.
    pub fn push_field(&mut self, name: (usize, usize), value: (usize, usize)) -> KnownHeader {
        let name = ByteRange { start: name.0 as u32, end: name.1 as u32 };
        let value = ByteRange { start: value.0 as u32, end: value.1 as u32 };
        let known = KnownHeader::of(name.slice(&self.buf));
        self.fields.push(Field { get_known: known, is_active: true, name, value });
        known
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> ByteRange {
        let start = self.buf.len() as u32;
        self.buf.extend_from_slice(bytes);
        ByteRange { start, end: self.buf.len() as u32 }
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
