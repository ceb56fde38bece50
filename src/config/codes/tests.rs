use super::TABLE;
use std::fmt::Write;
use std::path::Path;

const FAMILIES: [(&str, &str); 18] = [
    ("MG00", "Reading files, syntax"),
    ("MG01", "Keys and types"),
    ("MG02", "Placeholders, merge, policies"),
    ("MG03", "Routes and templates"),
    ("MG04", "Options"),
    ("MG05", "Aggregates"),
    ("MG06", "Listeners and limits"),
    ("MG07", "Service discovery"),
    ("MG08", "Realtime hubs"),
    ("MG09", "Not supported yet"),
    ("MG10", "API management"),
    ("MG11", "Shared state"),
    ("MG12", "Administration and telemetry"),
    ("MG13", "Web application firewall"),
    ("MG14", "Transport routes and roles"),
    ("MG15", "Services with partitions"),
    ("MG16", "Tunnels"),
    ("MG17", "Sessions and authorization from outside"),
];

const HEAD: &str = "# Diagnostics\n\nErrors and warnings of the configuration, reported by `margay check`, at startup and on reload, by code. \
    A code never changes its meaning.\nEvery diagnostic has its location and, if possible, a suggested fix; \
    `margay check --json` prints them as JSON.\nThis page is generated from `src/config/codes.rs`.\n";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (family, title) in FAMILIES {
        let _ = write!(page, "\n## {title}\n\n| code | | |\n|---|---|---|\n");
        for (code, title, text) in TABLE.iter().filter(|(code, ..)| code.0.starts_with(family)) {
            let _ = writeln!(
                page,
                "| {} | {title} | {} |",
                code.0,
                text.replace('|', "\\|").replace('<', "&lt;")
            );
        }
    }
    page
}

#[test]
fn the_page_of_diagnostics_matches_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/diagnostics.md is out of date: run UPDATE=1 cargo test --lib codes");
}

#[test]
fn every_code_belongs_to_a_family() {
    for (code, ..) in TABLE {
        assert!(FAMILIES.iter().any(|(family, _)| code.0.starts_with(family)), "{}", code.0);
    }
}

#[test]
fn the_table_is_sorted_without_duplicates() {
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
