//! `tests/known-failures.toml`: cases that fail on purpose, each with its reason and its place in the specification.

/// One entry and which of its keys are present.
#[derive(Default)]
struct Entry {
    id: String,
    reason: String,
    spec: String,
}

/// The list.
pub struct KnownFailures(Vec<Entry>);

impl KnownFailures {
    pub fn load() -> KnownFailures {
        let path = super::data("known-failures.toml");
        KnownFailures::read(&std::fs::read_to_string(path).expect("tests/known-failures.toml"))
    }

    /// Reads the little TOML the file needs: `[[case]]` tables of `key = "text"`.
    fn read(text: &str) -> KnownFailures {
        let mut list: Vec<Entry> = Vec::new();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if line == "[[case]]" {
                list.push(Entry::default());
                continue;
            }
            let (key, value) =
                line.split_once('=').unwrap_or_else(|| panic!("known-failures.toml: {line:?}"));
            let value = value.trim().trim_matches('"').to_owned();
            let entry = list.last_mut().expect("known-failures.toml begins with [[case]]");
            match key.trim() {
                "id" => entry.id = value,
                "reason" => entry.reason = value,
                "spec" => entry.spec = value,
                other => panic!("known-failures.toml: unknown key {other:?}"),
            }
        }
        for entry in &list {
            let complete = !entry.id.is_empty() && !entry.reason.is_empty() && !entry.spec.is_empty();
            assert!(complete, "known-failures.toml: {:?} needs id, reason and spec", entry.id);
        }
        KnownFailures(list)
    }

    pub fn lists(&self, id: &str) -> bool {
        self.0.iter().any(|e| e.id == id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|e| &e.id)
    }
}
