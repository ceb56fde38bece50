//! The service definition: roles, sites and traffic rules.

use super::{
    endpoints::EndpointImport,
    findings::{Fate, Findings},
    xml::Element,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NAMESPACE: &str = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition";

/// A role that was read.
#[derive(Clone, Debug, Default)]
pub struct ImportedRole {
    pub name: String,
    /// In the order of the definition.
    pub endpoints: Vec<(String, Value)>,
}

impl ImportedRole {
    /// The endpoint with this name.
    pub fn endpoint(&self, name: &str) -> Option<&Value> {
        self.endpoints.iter().find(|(known, _)| known == name).map(|(_, endpoint)| endpoint)
    }
}

/// Everything of a definition.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    pub name: String,
    pub roles: Vec<ImportedRole>,
    pub routes: Vec<Value>,
    pub traffic_rules: Option<Value>,
}

/// Reads a definition.
pub fn read(
    root: &Element,
    is_strict: bool,
    gateway_port: Option<u16>,
    findings: &mut Findings,
) -> Definition {
    if root.name != "ServiceDefinition" {
        findings.error(root, format!("expected ServiceDefinition, found {}", root.name));
        return Definition::default();
    }
    check_namespace(root, NAMESPACE, findings);
    let known = ["WebRole", "WorkerRole", "LoadBalancerProbes", "NetworkTrafficRules"];
    findings.ignore_others(root, &["name", "schemaVersion"], &known);
    let probes = root.all("LoadBalancerProbes").flat_map(|probes| probes.all("LoadBalancerProbe"));
    let named = |probe: &Element| {
        let name = probe.attribute("name").unwrap_or_default().to_owned();
        findings.add(Fate::Mapped, probe, format!("LoadBalancerProbe {name}"));
        (name, probe.clone())
    };
    let probes: BTreeMap<String, Element> = probes.map(named).collect();
    let mut definition =
        Definition { name: root.attribute("name").unwrap_or_default().to_owned(), ..Definition::default() };
    let mut gateway_port = gateway_port.map(u32::from);
    for element in root.children.iter().filter(|child| matches!(&*child.name, "WebRole" | "WorkerRole")) {
        let mut import = EndpointImport { probes: &probes, is_strict, gateway_port, findings };
        let role = role(element, &mut import);
        gateway_port = import.gateway_port;
        if definition.roles.iter().any(|known| known.name == role.name) {
            findings.error(element, format!("there are two roles \"{}\"", role.name));
        }
        sites(element, &role, &mut definition.routes, findings);
        definition.roles.push(role);
    }
    definition.traffic_rules = traffic_rules(root, &definition.roles, findings);
    definition
}

/// Another namespace is reported, and read all the same.
pub fn check_namespace(root: &Element, namespace: &str, findings: &mut Findings) {
    if let Some(found) = root.attribute("xmlns").filter(|found| *found != namespace) {
        findings.add(
            Fate::Changed,
            root,
            format!("warning: unknown namespace \"{found}\", read as {namespace}"),
        );
    }
}

fn role(element: &Element, import: &mut EndpointImport) -> ImportedRole {
    let name = element.attribute("name").unwrap_or_default().to_owned();
    if name.is_empty() {
        import.findings.error(element, format!("{} has no name", element.name));
    }
    import.findings.add(Fate::Mapped, element, format!("{} {name}", element.name));
    import.findings.ignore_others(element, &["name"], &["Endpoints", "Sites"]);
    let mut role = ImportedRole { name, ..ImportedRole::default() };
    for child in element.all("Endpoints").flat_map(|endpoints| &endpoints.children) {
        let Some((name, endpoint)) = import.endpoint(child) else { continue };
        if role.endpoint(&name).is_some() {
            import.findings.error(child, format!("there are two endpoints \"{name}\" of {}", role.name));
        }
        role.endpoints.push((name, endpoint));
    }
    role
}

/// Sites with host names or applications become routes; others need none.
fn sites(element: &Element, role: &ImportedRole, routes: &mut Vec<Value>, findings: &mut Findings) {
    for site in element.all("Sites").flat_map(|sites| sites.all("Site")) {
        let applications: Vec<&Element> = site.all("VirtualApplication").collect();
        for binding in site.all("Bindings").flat_map(|bindings| bindings.all("Binding")) {
            let endpoint = binding.attribute("endpointName").unwrap_or_default();
            if role.endpoint(endpoint).is_none() {
                findings.error(
                    binding,
                    format!("the binding names no endpoint of {}: \"{endpoint}\"", role.name),
                );
                continue;
            }
            let host = binding.attribute("hostHeader").filter(|host| !host.is_empty());
            findings.add(Fate::Mapped, binding, format!("Binding of {endpoint}"));
            if host.is_none() && applications.is_empty() {
                continue;
            }
            let cluster = format!("{}.{endpoint}", role.name);
            for application in &applications {
                let name = application.attribute("name").unwrap_or_default().trim_matches('/');
                routes.push(route(&format!("/{name}/{{everything}}"), host, &cluster));
            }
            routes.push(route("/{everything}", host, &cluster));
        }
    }
}

fn route(path: &str, host: Option<&str>, cluster: &str) -> Value {
    let mut route = Map::new();
    route.insert("UpstreamPathTemplate".into(), json!(path));
    if let Some(host) = host {
        route.insert("UpstreamHost".into(), json!(host));
    }
    route.insert("DownstreamPathTemplate".into(), json!(path));
    route.insert("DownstreamCluster".into(), json!(cluster));
    route.insert("Listeners".into(), json!([cluster]));
    Value::Object(route)
}

fn traffic_rules(root: &Element, roles: &[ImportedRole], findings: &mut Findings) -> Option<Value> {
    let sections: Vec<&Element> = root.all("NetworkTrafficRules").collect();
    let first = *sections.first()?;
    let mut named = BTreeSet::new();
    let mut rules = Vec::new();
    for element in sections.iter().flat_map(|section| section.all("OnlyAllowTrafficTo")) {
        findings.add(Fate::Mapped, element, "OnlyAllowTrafficTo");
        let to = destinations(element, roles, findings);
        named.extend(to.iter().cloned());
        let from = sources(element, roles, findings);
        rules.push(json!({ "From": from, "To": to }));
    }
    let is_internal = |endpoint: &Value| endpoint["Kind"] == "Internal";
    let all = roles.iter().flat_map(|role| role.endpoints.iter().map(move |(name, of)| (role, name, of)));
    let internal =
        all.filter(|(.., of)| is_internal(of)).map(|(role, name, _)| format!("{}.{name}", role.name));
    let closed: Vec<String> = internal.filter(|name| !named.contains(name)).collect();
    if !closed.is_empty() {
        let what = format!("DefaultAction Deny closes {}, which no rule names", closed.join(", "));
        findings.add(Fate::Changed, first, what);
    }
    Some(json!({ "DefaultAction": "Deny", "Rules": rules }))
}

fn destinations(element: &Element, roles: &[ImportedRole], findings: &mut Findings) -> Vec<String> {
    let mut to = Vec::new();
    for endpoint in element.all("Destinations").flat_map(|destinations| destinations.all("RoleEndpoint")) {
        let role = endpoint.attribute("roleName").unwrap_or_default();
        let name = endpoint.attribute("endpointName").unwrap_or_default();
        let found = roles.iter().find(|known| known.name == role).and_then(|role| role.endpoint(name));
        match found {
            Some(found) if found["Kind"] == "Internal" => to.push(format!("{role}.{name}")),
            Some(_) => findings.error(endpoint, format!("{role}.{name} is no internal endpoint")),
            None => findings.error(endpoint, format!("there is no endpoint {role}.{name}")),
        }
    }
    to
}

fn sources(element: &Element, roles: &[ImportedRole], findings: &mut Findings) -> Vec<String> {
    let sources: Vec<&Element> = element.all("WhenSource").collect();
    let all = element.first("AllowAllTraffic");
    let mut from = Vec::new();
    for source in &sources {
        if source.attribute("matches").is_some_and(|matches| matches != "AnyRule") {
            findings.error(source, "WhenSource matches: expected AnyRule");
        }
        for role in source.all("FromRole") {
            let name = role.attribute("roleName").unwrap_or_default();
            match roles.iter().any(|known| known.name == name) {
                true => from.push(name.to_owned()),
                false => findings.error(role, format!("there is no role \"{name}\"")),
            }
        }
    }
    match (all, sources.is_empty()) {
        (Some(_), true) => return vec!["*".to_owned()],
        (Some(all), false) => {
            findings.add(Fate::Changed, all, "AllowAllTraffic has no effect next to WhenSource");
        }
        (None, _) if from.is_empty() => {
            findings.add(Fate::Changed, element, "warning: the rule has no source, so it admits no role");
        }
        (None, _) => {}
    }
    from
}
