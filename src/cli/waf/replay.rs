//! `margay waf replay`: reads lines that the firewall logged in Detection and proposes exclusions, the narrowest ones.

use super::args::WafReplay;
use crate::cli::{Exit, output};
use crate::stages::waf::proposal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Groups whose matches are rarely false: known files, scanners, libinjection.
const CONFIDENT_RULES: [u64; 9] =
    [913_100, 930_120, 930_130, 941_100, 942_100, 120_100, 130_120, 130_130, 144_100];

/// What a part of requests has in common: the rule, the part, the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    rule: u64,
    part: String,
    is_name: bool,
    path: String,
}

/// The matches of a group.
#[derive(Debug, Default)]
struct Group {
    requests: usize,
    clients: BTreeSet<String>,
    days: BTreeSet<String>,
    message: String,
    example: String,
    confident: usize,
}

/// Reads the logs and prints the proposals.
pub(super) fn run(arguments: &WafReplay) -> Exit {
    let mut groups = BTreeMap::new();
    let mut requests = 0;
    for file in &arguments.logs {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return Exit::failed(&format!("{}: {error}", file.display())),
        };
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            requests += usize::from(add_line(&line, &mut groups));
        }
    }
    groups.retain(|_, group: &mut Group| {
        group.requests >= arguments.min_requests && group.clients.len() >= arguments.min_clients
    });
    if arguments.json {
        let exclusions: Vec<Value> = groups.keys().filter_map(exclusion).collect();
        output::write_stdout(&format!("{:#}\n", Value::from(exclusions)));
    } else {
        output::write_stdout(&report(&groups, requests));
    }
    Exit::Done
}

/// Adds the matches of one request; returns whether the line is one of the firewall.
fn add_line(line: &Value, groups: &mut BTreeMap<GroupKey, Group>) -> bool {
    let (Some(matches), Some(path)) = (line["matches"].as_array(), line["path"].as_str()) else {
        return false;
    };
    let is_confident =
        matches.iter().any(|found| found["rule"].as_u64().is_some_and(|id| CONFIDENT_RULES.contains(&id)));
    let mut seen = BTreeSet::new();
    for found in matches {
        let (Some(rule), Some(part)) = (found["rule"].as_u64(), found["part"].as_str()) else { continue };
        if !found["counted"].as_bool().unwrap_or(true) {
            continue;
        }
        let part = part.to_owned();
        let is_name = found["is_name"].as_bool().unwrap_or(false);
        let key = GroupKey { rule, part: general_part(&part), is_name, path: general_path(path) };
        if exclusion(&key).is_none() || !seen.insert(key.clone()) {
            continue;
        }
        let group = groups.entry(key).or_default();
        group.requests += 1;
        group.clients.insert(line["client_ip"].as_str().unwrap_or_default().to_owned());
        group.days.insert(line["time"].as_str().unwrap_or_default().chars().take(10).collect());
        group.confident += usize::from(is_confident);
        if group.example.is_empty() {
            group.message = found["message"].as_str().unwrap_or_default().to_owned();
            group.example = found["value"].as_str().unwrap_or_default().to_owned();
        }
    }
    true
}

/// The path with `*` for numbers, UUIDs and long hexadecimal numbers.
fn general_path(path: &str) -> String {
    let is_general = |segment: &str| {
        let is_hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        let is_number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        is_number || (segment.len() >= 16 && segment.bytes().all(is_hex))
    };
    let segments = path.split('/').map(|segment| if is_general(segment) { "*" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// `json $.items[3].text` as `json $.items[*].text`.
fn general_part(part: &str) -> String {
    let mut general = String::new();
    let mut rest = part;
    while let Some(start) = rest.find('[') {
        let digits = rest[start + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let is_index = digits > 0 && rest[start + 1 + digits..].starts_with(']');
        general.push_str(&rest[..=start]);
        if is_index && part.starts_with("json ") {
            general.push('*');
            rest = &rest[start + 1 + digits..];
        } else {
            rest = &rest[start + 1..];
        }
    }
    general.push_str(rest);
    general
}

/// The exclusion of a group; none for a part that no exclusion names.
fn exclusion(key: &GroupKey) -> Option<Value> {
    proposal::exclusion(&key.path, &key.part, key.is_name, key.rule)
}

fn report(groups: &BTreeMap<GroupKey, Group>, requests: usize) -> String {
    let mut text = String::new();
    let mut sorted: Vec<_> = groups.iter().collect();
    sorted.sort_by_key(|(_, group)| std::cmp::Reverse(group.requests));
    for (key, group) in sorted {
        let share = group.requests as f64 * 100.0 / requests.max(1) as f64;
        let _ = writeln!(
            text,
            "{} {}: {} on {}\n  {} requests ({share:.1} %), {} clients, {} days; {} also match a rule of high confidence",
            key.rule,
            group.message,
            key.part,
            key.path,
            group.requests,
            group.clients.len(),
            group.days.len(),
            group.confident
        );
        let _ = writeln!(text, "  example: {}", group.example.escape_debug());
        if let Some(exclusion) = exclusion(key) {
            let _ = writeln!(text, "  {exclusion}\n");
        }
    }
    if text.is_empty() {
        let _ =
            writeln!(text, "no proposal: no rule matched the same part of enough requests of enough clients");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(client: usize, path: &str, part: &str, rule: u64) -> Value {
        json!({ "time": "2026-01-02T00:00:00Z", "client_ip": format!("10.0.0.{client}"), "path": path,
            "matches": [{ "rule": rule, "part": part, "counted": true, "message": "m", "value": "v" }] })
    }

    #[test]
    fn equal_parts_of_similar_paths_are_one_group() {
        let mut groups = BTreeMap::new();
        for client in 0..3 {
            add_line(
                &line(client, &format!("/items/{client}7"), &format!("json $.a[{client}].b"), 942_290),
                &mut groups,
            );
        }
        let (key, group) = groups.iter().next().unwrap();
        assert_eq!((groups.len(), group.requests, group.clients.len()), (1, 3, 3));
        let expected = json!({ "Path": "/items/*", "Variable": "RequestArgValues", "Selector": "$.a[*].b", "Rules": [942_290] });
        assert_eq!(exclusion(key), Some(expected));
    }

    #[test]
    fn internal_variables_have_no_exclusion() {
        let mut groups = BTreeMap::new();
        add_line(&line(1, "/", "tx:blocking_inbound_anomaly_score", 949_110), &mut groups);
        assert!(groups.is_empty());
    }

    #[test]
    fn a_path_is_generalized_by_segment() {
        assert_eq!(general_path("/a/17/0123456789abcdef0123/b1"), "/a/*/*/b1");
    }
}
