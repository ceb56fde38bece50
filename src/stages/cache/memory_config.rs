//! The memory for stored responses, shared by all routes.

/// The memory for stored responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Total bytes.
    pub size: u64,
    /// Bytes of the largest body that is stored.
    pub max_object_size: u64,
    /// Regions with their own bytes, which are part of `size`.
    pub regions: Vec<(String, u64)>,
    /// Whether several gateways share the stored responses.
    pub is_shared: bool,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        MemoryConfig { size: 256 << 20, max_object_size: 16 << 20, regions: Vec::new(), is_shared: false }
    }
}

impl MemoryConfig {
    /// The name and size of the memory of a region; `""` is shared by the regions without their own.
    pub fn region_memory(&self, region: &str) -> (&str, u64) {
        match self.regions.iter().find(|(name, _)| name == region) {
            Some((name, size)) => (name, *size),
            None => ("", self.size.saturating_sub(self.regions.iter().map(|(_, size)| size).sum())),
        }
    }
}
