//! "Did you mean": the closest known name by edit distance.

/// Minimum similarity of two names; "Prioritty" and "Priority" reach it, "Key" and "Host" do not.
const SIMILARITY_THRESHOLD: f64 = 0.6;

/// The known name closest to the written one.
pub fn closest_match<'n>(text: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let text = text.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for name in known {
        let alike = similarity(&text, &name.to_lowercase());
        if alike >= SIMILARITY_THRESHOLD && best.is_none_or(|(before, _)| alike > before) {
            best = Some((alike, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Normalized edit distance; a name that contains the other ("Reroutes") reaches the threshold.
fn similarity(text: &str, known: &str) -> f64 {
    let distance = strsim::normalized_damerau_levenshtein(text, known);
    let contained = known.len() >= 4 && text.len() >= 4 && (text.contains(known) || known.contains(text));
    if contained { distance.max(SIMILARITY_THRESHOLD) } else { distance }
}

/// "A, B and C", each in quotes.
pub fn list(names: &[&str]) -> String {
    join_quoted(names, "and")
}

/// "\"A\", \"B\" or \"C\"".
pub fn one_of(names: &[&str]) -> String {
    join_quoted(names, "or")
}

fn join_quoted(names: &[&str], conjunction: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {conjunction} {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["Priority", "Routes", "UpstreamPathTemplate", "Key"];

    #[test]
    fn a_typo_is_recognized() {
        assert_eq!(closest_match("Prioritty", KNOWN), Some("Priority"));
        assert_eq!(closest_match("upstreamPathTempalte", KNOWN), Some("UpstreamPathTemplate"));
        assert_eq!(closest_match("ReRoutes", KNOWN), Some("Routes"));
        assert_eq!(closest_match("PathTemplate", KNOWN), Some("UpstreamPathTemplate"));
    }

    #[test]
    fn an_unrelated_name_has_no_match() {
        assert_eq!(closest_match("Color", KNOWN), None);
        assert_eq!(closest_match("", KNOWN), None);
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(list(&["A", "B", "C"]), "\"A\", \"B\" and \"C\"");
        assert_eq!(one_of(&["A"]), "\"A\"");
    }
}
