//! The service configuration: counts of instances, and access lists.

use super::{
    definition::{Definition, check_namespace},
    findings::{Fate, Findings},
    xml::Element,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const NAMESPACE: &str = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration";

/// Reads a configuration: the counts of instances by role. Access lists are added to the endpoints.
pub fn read(root: &Element, definition: &mut Definition, findings: &mut Findings) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    if root.name != "ServiceConfiguration" {
        findings.error(root, format!("expected ServiceConfiguration, found {}", root.name));
        return counts;
    }
    check_namespace(root, NAMESPACE, findings);
    if let Some(name) = root.attribute("serviceName").filter(|name| *name != definition.name) {
        let what = format!(
            "warning: serviceName \"{name}\" is not \"{}\", the name of the definition",
            definition.name
        );
        findings.add(Fate::Changed, root, what);
    }
    let ignored = ["serviceName", "osFamily", "osVersion", "schemaVersion"];
    findings.ignore_others(root, &ignored, &["Role", "NetworkConfiguration"]);
    for role in root.all("Role") {
        let name = role.attribute("name").unwrap_or_default();
        findings.ignore_others(role, &["name"], &["Instances"]);
        if !definition.roles.iter().any(|known| known.name == name) {
            findings.error(role, format!("the definition has no role \"{name}\""));
            continue;
        }
        let Some(instances) = role.first("Instances") else { continue };
        let text = instances.attribute("count").unwrap_or_default();
        match text.trim().parse::<usize>().ok().filter(|count| *count <= 10_000) {
            Some(count) => {
                findings.add(Fate::Mapped, instances, format!("Instances of {name}"));
                counts.insert(name.to_owned(), count);
            }
            None => findings.error(instances, format!("invalid count \"{text}\" of instances")),
        }
    }
    for network in root.all("NetworkConfiguration") {
        findings.ignore_others(network, &[], &["AccessControls", "EndpointAcls"]);
        access_lists(network, definition, findings);
    }
    counts
}

fn access_lists(network: &Element, definition: &mut Definition, findings: &mut Findings) {
    let lists: BTreeMap<&str, &Element> = network
        .all("AccessControls")
        .flat_map(|controls| controls.all("AccessControl"))
        .filter_map(|control| Some((control.attribute("name")?, control)))
        .collect();
    for acl in network.all("EndpointAcls").flat_map(|acls| acls.all("EndpointAcl")) {
        let text = |name: &str| acl.attribute(name).unwrap_or_default();
        let Some(list) = lists.get(text("accessControl")) else {
            findings.error(acl, format!("there is no AccessControl \"{}\"", text("accessControl")));
            continue;
        };
        let rules: Vec<Value> = list.all("Rule").map(|rule| access_rule(rule, findings)).collect();
        let role = definition.roles.iter_mut().find(|role| role.name == text("role"));
        let mut endpoints = role.into_iter().flat_map(|role| role.endpoints.iter_mut());
        match endpoints.find(|(name, _)| name == text("endPoint") || name == text("endpoint")) {
            Some((name, endpoint)) => {
                findings.add(Fate::Mapped, acl, format!("EndpointAcl of {name}"));
                endpoint["AccessRules"] = json!(rules);
            }
            None => findings
                .error(acl, format!("the definition has no endpoint {}.{}", text("role"), text("endPoint"))),
        }
    }
}

fn access_rule(rule: &Element, findings: &mut Findings) -> Value {
    let text = |name: &str| rule.attribute(name).unwrap_or_default();
    let action = match text("action").to_ascii_lowercase().as_str() {
        "permit" => "Permit",
        "deny" => "Deny",
        _ => {
            findings.error(rule, format!("invalid action \"{}\": expected permit or deny", text("action")));
            "Deny"
        }
    };
    let order = text("order").trim().parse::<u32>().ok();
    if order.is_none() {
        findings.error(rule, format!("invalid order \"{}\"", text("order")));
    }
    json!({ "Order": order, "Action": action, "Remote": text("remoteSubnet") })
}
