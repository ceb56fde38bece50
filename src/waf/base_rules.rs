//! Our own rules, part of the binary: what protects a gateway without a rule set.

use super::language::parser::{RuleError, RuleText};

macro_rules! files {
    ($($name:literal)*) => {
        /// The files, in order.
        pub const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("base_rules/", $name)))),*];
    };
}

files! {
    "100-initialization.conf"
    "110-protocol.conf"
    "120-scanners.conf"
    "130-files.conf"
    "131-requests.conf"
    "132-commands.conf"
    "133-php.conf"
    "134-expressions.conf"
    "141-scripts.conf"
    "142-sql.conf"
    "143-uploads.conf"
    "144-java.conf"
    "149-evaluation.conf"
    "150-responses.conf"
}

/// Adds the rules to a text.
pub fn add_to(text: &mut RuleText) -> Result<(), RuleError> {
    let no_data = |name: &str| Err(format!("no file `{name}`"));
    FILES.iter().try_for_each(|(name, file)| text.add(name, file, &no_data))
}
