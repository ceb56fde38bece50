//! Which endpoint a request must reach, because it belongs to a connection that one endpoint owns.

/// Identifies an endpoint: a keyed hash of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointTag(pub [u8; EndpointTag::BYTES]);

impl EndpointTag {
    /// The length of the hash.
    pub const BYTES: usize = 9;
}

/// What a request requires of its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Any endpoint.
    #[default]
    Unbound,
    /// The request negotiates a connection; with the endpoint of an earlier one of this client.
    Negotiation(Option<EndpointTag>),
    /// The request belongs to a connection of this endpoint.
    Endpoint(EndpointTag),
    /// The request names a connection, and does not have the tag of its endpoint.
    MissingTag,
    /// The tag was not issued with the key of the route.
    InvalidTag,
}

impl Affinity {
    /// Whether the request belongs to a connection that was negotiated here.
    pub fn is_bound(self) -> bool {
        matches!(self, Affinity::Endpoint(_))
    }
}
