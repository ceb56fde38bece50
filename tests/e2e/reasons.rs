//! Ocelot's reasons for not starting, and the equivalent diagnostics.

/// Part of Ocelot's reason → the accepted codes. The longest matching part counts.
pub const REASONS: &[(&str, &[&str])] = &[
    ("cannot be empty", &["MG0301"]),
    ("doesnt start with forward slash", &["MG0302"]),
    ("contains double forward slash", &["MG0303"]),
    ("contains scheme", &["MG0304"]),
    ("duplicated placeholder", &["MG0305"]),
    ("has duplicate", &["MG0308"]),
    ("has duplicate aggregate", &["MG0501", "MG0502"]),
    ("DownstreamHostAndPorts must be set and not empty", &["MG0320"]),
    ("Host must be set on DownstreamHostAndPorts", &["MG0321"]),
    ("'Downstream Http Version' is not in the correct format", &["MG0325"]),
    ("'Downstream Http Version Policy' is not in the correct format", &["MG0326"]),
    ("is unsupported authentication provider", &["MG0401"]),
    ("Limit", &["MG0402"]),
    ("RateLimitOptions.Limit is negative or zero", &["MG0402"]),
    ("RateLimitOptions.Period is empty", &["MG0403"]),
    // Ocelot reports an absent period in the same way.
    ("Period", &["MG0404", "MG0403"]),
    ("RateLimitOptions.Period does not contain integer", &["MG0404", "MG0403"]),
    ("either do not exist or do not have correct ServiceName property", &["MG0503"]),
    ("contains Route with specific RequestIdKey", &["MG0504"]),
];

/// A "not supported yet" code → the capability that adds it.
pub const CAPABILITIES: &[(&str, &str)] = &[
    ("MG0914", "rate-limiting"),
    ("MG0915", "security"),
    ("MG0916", "caching"),
    ("MG0919", "service-discovery"),
    ("MG0921", "protocols"),
    ("MG0922", "consul-kv"),
];

/// The accepted codes for a reason of Ocelot.
pub fn codes_for(reason: &str) -> &'static [&'static str] {
    let fitting = REASONS.iter().filter(|(part, _)| reason.contains(part));
    fitting.max_by_key(|(part, _)| part.len()).map_or(&[], |(_, codes)| codes)
}
