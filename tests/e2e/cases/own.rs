//! What the cases of margay's own features have in addition: files next to the configuration, starts that must fail with
//! diagnostics at given places, registrations of replicas.

use super::case::Case;
use super::environment::{Environment, pretty};
use super::run::Outcome;
use crate::support::client::{Body, Request};
use crate::support::gateway::{Gateway, binary};
use crate::support::stub_backend::text_of;
use serde_json::Value;
use std::process::Command;

/// Writes files next to the configuration, each beside the old one and then renamed.
pub fn write_files(environment: &Environment, gateway: &Gateway, files: &Value) {
    for (name, content) in files.as_object().into_iter().flatten() {
        gateway.write_file(name, &environment.file_text(content));
    }
}

/// Resolves a partition, and sends a request about it.
pub fn put_partition(gateway: &Gateway, action: &Value) -> Vec<String> {
    let resolved = gateway.get(&text_of(&action["resolve"]));
    let answer: Value = serde_json::from_str(&resolved.text()).unwrap_or_default();
    let Some(partition) = answer["PartitionInformation"]["Id"].as_str() else {
        return vec![format!("no partition in {} {:?}", resolved.status, resolved.text())];
    };
    let target = text_of(&action["path"]).replace("{partition}", partition);
    let mut request = Request::new(action["method"].as_str().unwrap_or("PUT"), &target);
    request.headers.push(("Content-Type".into(), "application/json".into()));
    request.body = Body::CompleteResponse(action["body"].to_string().into_bytes());
    let response = gateway.ask(&request);
    let expected = action["status"].as_u64().unwrap_or(200);
    match u64::from(response.status) == expected {
        true => Vec::new(),
        false => {
            vec![format!("{target}: expected {expected}, got {} {:?}", response.status, response.text())]
        }
    }
}

/// A start that must fail: `check` exits with 2 and reports an error at each pointer, below it or at one of its parents;
/// none of them is an unknown setting.
pub fn refused(case: &Case, environment: &Environment) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).expect("write");
    write("gateway.json", pretty(&environment.ports.fill(&case.all["config"])));
    for (name, content) in case.all["files"].as_object().into_iter().flatten() {
        write(name, environment.file_text(content));
    }
    let file = directory.path().join("gateway.json");
    let checked = Command::new(binary()).args(["check", "--json"]).arg(&file).output().expect("check runs");
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    let report: Value = serde_json::from_str(&text).unwrap_or_default();
    let diagnostics = report["diagnostics"].as_array().or(report.as_array()).cloned().unwrap_or_default();
    let errors: Vec<&Value> = diagnostics.iter().filter(|one| one["severity"] == "error").collect();
    let reports = |pointer: &str| {
        errors.iter().filter_map(|error| error["pointer"].as_str()).any(|at| {
            at == pointer
                || at.starts_with(&format!("{pointer}/"))
                || !at.is_empty() && pointer.starts_with(&format!("{at}/"))
        })
    };
    let missing: Vec<String> = case.all["start"]["pointers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text_of)
        .filter(|pointer| !reports(pointer))
        .collect();
    let has_unknown = diagnostics.iter().any(|one| one["code"] == "MG0102");
    if checked.status.code() == Some(2) && missing.is_empty() && !has_unknown {
        return Outcome::Passed;
    }
    Outcome::Failed(format!("check exits with {:?}, no error at {missing:?}:\n{text}", checked.status.code()))
}

/// The configuration with the naming interface of its registry, and the one of a gateway that asks it.
fn with_naming(config: &Value) -> (Value, impl Fn(u16) -> Value) {
    let mut naming = config.clone();
    let route = serde_json::json!({ "UpstreamPathTemplate": "/_naming/{everything}", "DownstreamPathTemplate": "/{everything}",
        "DownstreamService": "ServiceFabricNaming" });
    naming["Routes"].as_array_mut().expect("routes").insert(0, route);
    let asking = config.clone();
    (naming, move |port| {
        let mut asking = asking.clone();
        let endpoint = format!("http://127.0.0.1:{port}/_naming");
        asking["ServiceFabric"]["Resolvers"]["r"] =
            serde_json::json!({ "Type": "Cluster", "Endpoints": [endpoint] });
        asking
    })
}

/// The cases by address without a fault.
fn is_by_address(case: &Case) -> bool {
    const FEATURES: [&str; 5] =
        ["fabric-url", "fabric-query", "fabric-partition", "fabric-endpoint", "fabric-replica"];
    FEATURES.contains(&&*case.feature)
        && !case.must_fail()
        && case.all["config"]["ServiceFabric"]["Resolvers"]["r"]["Type"] == "Registry"
        && case.list("steps").iter().all(|step| step["write_files"].is_null())
}

#[test]
fn a_gateway_that_asks_another_one_answers_the_same_to_every_case_by_address() {
    let path = super::data("cases/service_fabric.jsonl");
    let text = std::fs::read_to_string(path).expect("the cases");
    let cases: Vec<Case> = text.lines().map(|line| Case::read(line, false)).filter(is_by_address).collect();
    assert!(cases.len() >= 20, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let environment = Environment::new(case);
        let config = environment.ports.fill(&case.all["config"]);
        let (naming, asking) = with_naming(&config);
        let files = case.all["files"].as_object().into_iter().flatten();
        let setup = files.fold(crate::support::gateway::Setup::json(&naming), |setup, (name, content)| {
            setup.file(name, &environment.file_text(content))
        });
        let registry = Gateway::start(&setup);
        let gateway = Gateway::with(&asking(registry.address.port()));
        if let Outcome::Failed(why) = super::run::steps(case, &environment, gateway) {
            wrong.push(format!("{}: {why}", case.id));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), cases.len(), wrong.join("\n\n"));
}
