//! The black-box cases, as far as they can be decided without a running gateway: whether the configuration starts,
//! and if not, whether for Ocelot's reason.

use crate::config::{Environment, InMemoryFiles, Loaded, Severity};
use crate::plan::document::load_texts;
use serde_json::Value;

struct Case {
    id: String,
    feature: String,
    value: Value,
}

fn cases() -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut cases = Vec::new();
    for file in ["ocelot.jsonl", "ocelot_recorded.jsonl"] {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).expect(file);
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).expect("one case a line");
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            cases.push(Case { id: text("id"), feature: text("feature"), value });
        }
    }
    cases
}

/// Replaces port tokens with numbers.
fn ports(text: &str) -> String {
    let mut text = text.to_owned();
    for (token, port) in [("TLSPORT1", 9401), ("CLOSED1", 9402), ("CONSUL1", 9403), ("KUBE1", 9404)] {
        text = text.replace(&format!("\"{token}\""), &port.to_string()).replace(token, &port.to_string());
    }
    for n in 1..=9 {
        let (token, port) = (format!("PORT{n}"), (9100 + n).to_string());
        text = text.replace(&format!("\"{token}\""), &port).replace(&token, &port);
    }
    text
}

impl Case {
    fn loaded(&self) -> Loaded {
        let mut config = self.value["config"].clone();
        let schemes = self.value["requires"]["auth_schemes"].as_object();
        for (name, scheme) in schemes.into_iter().flatten() {
            if scheme["type"] == "AlwaysFail" {
                let secret = "b7c1f0f4a3de4f0f9f3a6f1c25d7c9e0";
                config["AuthenticationSchemes"][name] =
                    serde_json::json!({ "Type": "JwtBearer", "SigningKey": secret });
                continue;
            }
            config["AuthenticationSchemes"][name] = serde_json::json!({
                "Type": scheme["type"], "Issuer": scheme["issuer"],
                "Audience": scheme["audience"], "SigningKey": scheme["key"],
            });
        }
        if let Some(start) = self.value["start"]["config_files"].as_object() {
            for file in start.values() {
                for section in ["Routes", "Aggregates"] {
                    let all = file[section].as_array().cloned().unwrap_or_default();
                    let list = config[section].as_array_mut();
                    match list {
                        Some(list) => list.extend(all),
                        None => config[section] = Value::Array(all),
                    }
                }
            }
        }
        let text = ports(&config.to_string());
        let files = [("gateway.json", text.as_str())];
        load_texts(
            &InMemoryFiles { files: &files, ocelot: true, ..InMemoryFiles::default() },
            Environment::of_process(),
        )
    }

    fn must_fail(&self) -> bool {
        self.value["start"]["must_fail"] == true
    }
}

/// The errors, except those that report unsupported features.
fn errors(case: &Case) -> Vec<&'static str> {
    let mut loaded = case.loaded();
    let blueprint = super::compile(&mut loaded);
    let errors = loaded.diagnostics.list.iter().filter(|d| d.severity == Severity::Error);
    let codes: Vec<_> = errors.map(|d| d.code.0).collect();
    assert_eq!(blueprint.is_none(), !codes.is_empty(), "{}: {codes:?}", case.id);
    codes.into_iter().filter(|code| !code.starts_with("MG09")).collect()
}

#[test]
fn what_ocelot_starts_with_has_no_error_except_unsupported_features() {
    for case in cases().iter().filter(|case| !case.must_fail()) {
        let codes = errors(case);
        assert!(codes.is_empty(), "{} ({}): {codes:?}", case.id, case.feature);
    }
}

#[path = "../../../../tests/e2e/reasons.rs"]
#[allow(dead_code)]
mod reasons;

/// Ocelot's reasons: `message_contains`, otherwise `notes`, which contains one sentence for each.
fn reasons_of(case: &Case) -> Vec<String> {
    let contains = case.value["start"]["message_contains"].as_array();
    let texts: Vec<String> =
        contains.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect();
    let notes = case.value["notes"].as_str().unwrap_or_default();
    if texts.is_empty() { notes.split("; ").map(str::to_owned).collect() } else { texts }
}

#[test]
fn configurations_that_ocelot_rejects_are_rejected_for_the_same_reasons() {
    for case in cases().iter().filter(|case| case.must_fail()) {
        let absent = &case.value["requires"];
        if absent["qos"] == false || absent["consul"] == false {
            continue;
        }
        let codes = errors(case);
        let mut expected = Vec::new();
        for reason in reasons_of(case) {
            let ours = reasons::codes_for(&reason);
            let reported = ours.iter().any(|code| codes.contains(code));
            assert!(reported, "{}: \"{reason}\": expected one of {ours:?}, found {codes:?}", case.id);
            expected.extend(ours);
        }
        let others: Vec<_> = codes.iter().filter(|code| !expected.contains(code)).collect();
        assert!(others.is_empty(), "{}: {others:?} has no counterpart in Ocelot", case.id);
    }
}
