//! The one table of all diagnostic codes. A code never changes its meaning and is never given twice.
//!
//! Families: MG00 reading files and syntax, MG01 keys and types, MG02 placeholders, merge and policies,
//! MG03 routes and templates, MG04 options, MG05 aggregates, MG06 listeners and limits, MG09 not supported yet.
//! Keep the table sorted.

use super::diagnostics::Code;

/// One line of the table: the code, its title, and what it means at length.
pub type Entry = (Code, &'static str, &'static str);

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code($code);)*
        /// Every code, sorted.
        pub static TABLE: &[Entry] = &[$(($name, $title, $text)),*];
    };
}

codes! {
    FILE_UNREADABLE = "MG0001", "A file cannot be read", "The file or directory does not exist, or may not be read.";
    FILE_TOO_LARGE = "MG0002", "A file is too large", "A configuration file may hold 64 MiB, a directory 4096 configuration files.";
    NOT_UTF8 = "MG0003", "A file is not UTF-8", "Configuration files are JSON in UTF-8, with or without a byte order mark.";
    EMPTY_FILE = "MG0004", "A file is empty", "There is no JSON value in the file.";
    NO_CONFIGURATION = "MG0005", "No configuration found", "Neither gateway.json nor ocelot.json, nor files like gateway.NAME.json, were found.";
    SYNTAX = "MG0010", "JSON syntax", "Something stands where JSON wants something else.";
    MISSING_COMMA = "MG0011", "A comma is missing", "Members of an object and items of a list are separated by commas.";
    MISSING_COLON = "MG0012", "A colon is missing", "Between the name and the value of a member stands a colon.";
    UNCLOSED_STRING = "MG0013", "A closing quote is missing", "A string begins and ends with a quote on one line.";
    UNCLOSED_BRACE = "MG0014", "A closing brace is missing", "Every { and [ is closed by its } and ].";
    BAD_ESCAPE = "MG0015", "A bad escape in a string", "Escapes are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX.";
    BAD_NUMBER = "MG0016", "A bad number", "Numbers are written as JSON wants them: no leading zeros, no plus sign, digits on both sides of the point.";
    BAD_WORD = "MG0017", "A word without quotes", "Only true, false and null stand without quotes.";
    TOO_DEEP = "MG0018", "Nested too deep", "Objects and lists may be nested 64 deep.";
    TRAILING_TEXT = "MG0019", "Text after the end", "One file holds one JSON value.";
    SINGLE_QUOTES = "MG0020", "Single quotes", "Strings take double quotes; single quotes are accepted only under Ocelot compatibility.";
    WRONG_TYPE = "MG0101", "A value of the wrong type", "The setting wants another kind of value.";
    UNKNOWN_KEY = "MG0102", "An unknown setting", "The object has no setting of that name. Keys beginning with x-, // and the key $schema are free. A warning under Ocelot compatibility.";
    DUPLICATE_KEY = "MG0103", "A setting given twice", "Names are compared without regard to case, in maps too.";
    UNKNOWN_CHOICE = "MG0104", "Not one of the allowed words", "The setting takes one of a few words.";
    OUT_OF_RANGE = "MG0105", "A number out of range", "The number is too small, too large, or not whole.";
    BAD_TEXT = "MG0106", "A malformed value", "The text does not have the form that the setting wants, for example a duration like \"1s\" or a size like \"4MiB\".";
    UNSET_VARIABLE = "MG0201", "An unset environment variable", "${NAME} names a variable that is not set and has no default; ${NAME:-default} gives one.";
    UNREADABLE_SECRET = "MG0202", "A placeholder's file cannot be read", "${file:/path} names a file that does not exist, may not be read, is larger than 1 MiB or is not UTF-8.";
    BAD_PLACEHOLDER = "MG0203", "A malformed placeholder", "Placeholders are ${NAME}, ${NAME:-default} and ${file:/path}; $${ writes a literal ${.";
    MERGE_CONFLICT = "MG0210", "Two files disagree", "A section that may stand in one file only stands in two.";
    GLOBAL_IGNORED = "MG0211", "A global section that is ignored", "In a directory GlobalConfiguration is read from the global file only (gateway.global.json or ocelot.global.json).";
    FILE_IGNORED = "MG0212", "A configuration file that is ignored", "The file lies beside the configuration and looks like a part of it, but is not read.";
    UNKNOWN_POLICY = "MG0220", "An unknown policy", "No file of that name lies in the policies directory.";
    UNUSED_POLICY = "MG0221", "An unused policy", "Nothing names this policy.";
    FORBIDDEN_IN_POLICY = "MG0222", "Not allowed in a policy", "A policy holds options that routes inherit; what makes a route that route stays in the route.";
    RESERVED_POLICY = "MG0223", "Reserved for later", "The name or the form of the policy is kept for a later version.";
    POLICY_WEAKENS = "MG0224", "A protection is switched off", "A stronger layer switches off what a weaker layer switched on.";
    POLICY_UNSUITABLE = "MG0225", "A policy that does not fit the route", "Dynamic routes have fewer options than routes; the policy sets one they do not have.";
    NOT_SUPPORTED_YET = "MG0901", "Not supported yet", "The setting would switch on something that this version cannot do; it is refused rather than ignored.";
}

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn the_table_is_sorted_and_has_no_doubles() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].0.0 < pair[1].0.0, "{} before {}", pair[0].0.0, pair[1].0.0);
        }
    }

    #[test]
    fn every_code_has_the_form_mg_and_four_digits() {
        for (code, ..) in TABLE {
            let digits = code.0.strip_prefix("MG").unwrap_or_default();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", code.0);
        }
    }
}
