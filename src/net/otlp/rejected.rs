//! The number of rejected items in a response.

/// How many items a collector rejected.
pub(super) fn rejected(count: Option<i64>) -> u64 {
    count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}
