//! The body of a rejection.

/// .NET's composite format with two values: `{0}` and `{1}`; doubled braces are literal braces.
pub(super) fn format_message(message: &str, limit: &str, period: &str) -> String {
    let mut out = String::with_capacity(message.len() + 16);
    let mut rest = message;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (found, put) = [("{0}", limit), ("{1}", period), ("{{", "{"), ("}}", "}")]
            .into_iter()
            .find(|(found, _)| rest[at..].starts_with(found))
            .unwrap_or((&rest[at..at + 1], &rest[at..at + 1]));
        out.push_str(put);
        rest = &rest[at + found.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::format_message;

    #[test]
    fn messages_are_formatted_as_in_dot_net() {
        for (message, text) in [
            (
                "API calls quota exceeded! Maximum admitted {0} per {1}.",
                "API calls quota exceeded! Maximum admitted 3 per 1s.",
            ),
            ("{0}{0}", "33"),
            ("{1}!", "1s!"),
            ("{{0}} {{{0}}}", "{0} {3}"),
            ("no", "no"),
            ("{2} {", "{2} {"),
        ] {
            assert_eq!(format_message(message, "3", "1s"), text);
        }
    }
}
