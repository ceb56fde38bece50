use super::*;

const DEFINITION: &str = r#"<?xml version="1.0"?>
<ServiceDefinition name="S" xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition">
  <WebRole name="Web-1" vmsize="Medium"><Endpoints>
    <InputEndpoint name="In" protocol="HTTP" port="80" localPort="80"/>
    <InternalEndpoint name="I" protocol="tcp"/></Endpoints></WebRole>
  <WorkerRole name="W"><Endpoints>
    <InternalEndpoint name="R" protocol="any"><FixedPortRange min="8999" max="8995"/></InternalEndpoint>
    <InternalEndpoint name="P" protocol="tcp" port="7002"/></Endpoints></WorkerRole>
  <NetworkTrafficRules><OnlyAllowTrafficTo>
    <Destinations><RoleEndpoint endpointName="P" roleName="W"/></Destinations>
    <AllowAllTraffic/><WhenSource matches="AnyRule"><FromRole roleName="Web-1"/></WhenSource>
  </OnlyAllowTrafficTo></NetworkTrafficRules>
</ServiceDefinition>"#;

fn import(texts: &[&str], gateway_port: Option<u16>) -> (Value, Findings) {
    let mut findings = Findings::default();
    let roots: Vec<_> = texts.iter().map(|text| ("s".to_owned(), xml::parse(text).unwrap())).collect();
    let document = convert(&roots, &BTreeMap::new(), (false, gateway_port), &mut findings);
    (document, findings)
}

#[test]
fn a_definition_becomes_roles_and_rules() {
    let (document, findings) = import(&[DEFINITION], Some(17_000));
    let expected = json!({
        "RoleOptions": { "BindAddress": "0.0.0.0" },
        "Roles": {
            "Web-1": { "Instances": [{ "Id": "Web-1_IN_0", "Host": "${WEB_1_IN_0}" }], "Endpoints": {
                "In": { "Kind": "Input", "Protocol": "http", "Port": 80, "LoadBalancerOptions": { "Type": "LeastConnection" } },
                "I": { "Kind": "Internal", "Protocol": "tcp" } } },
            "W": { "Instances": [{ "Id": "W_IN_0", "Host": "${W_IN_0}" }], "Endpoints": {
                "R": { "Kind": "Internal", "Protocol": "any", "PortRange": "8995-8999", "GatewayPort": 17000 },
                "P": { "Kind": "Internal", "Protocol": "tcp", "Port": 7002, "GatewayPort": 17005 } } } },
        "TrafficRules": { "DefaultAction": "Deny", "Rules": [{ "From": ["Web-1"], "To": ["W.P"] }] }
    });
    assert_eq!(document, expected);
    let text = findings.text();
    assert!(!findings.has_errors(), "{text}");
    for line in
        ["ignored s:3 WebRole vmsize", "changed s:7 FixedPortRange", "closes Web-1.I, W.R", "AllowAllTraffic"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn mistakes_are_reported_all_at_once() {
    let wrong = DEFINITION.replace("roleName=\"W\"", "roleName=\"X\"").replace("port=\"80\"", "port=\"0\"");
    let (_, findings) = import(
        &[&wrong, "<ServiceConfiguration serviceName=\"S\"><Role name=\"Y\"/></ServiceConfiguration>"],
        None,
    );
    let text = findings.text();
    assert!(text.lines().filter(|line| line.starts_with("error")).count() >= 3, "{text}");
}

#[test]
fn limits_of_cloud_services_and_missing_public_ports_are_warnings() {
    let endpoints: String =
        (0..6).map(|at| format!("<InternalEndpoint name=\"I{at}\" protocol=\"tcp\"/>")).collect();
    let roles: String = (0..26)
        .map(|at| format!("<WorkerRole name=\"R{at}\"><Endpoints>{endpoints}</Endpoints></WorkerRole>"))
        .collect();
    let ports = r#"<WorkerRole name="P"><Endpoints><InstanceInputEndpoint name="D" protocol="tcp" localPort="1"><AllocatePublicPortFrom>
        <FixedPortRange min="10105" max="10106"/></AllocatePublicPortFrom></InstanceInputEndpoint></Endpoints></WorkerRole>"#;
    let definition = format!("<ServiceDefinition name=\"S\">{roles}{ports}</ServiceDefinition>");
    let configuration = r#"<ServiceConfiguration serviceName="S"><Role name="P"><Instances count="3"/></Role></ServiceConfiguration>"#;
    let (_, findings) = import(&[&definition, configuration], None);
    let text = findings.text();
    assert!(!findings.has_errors(), "{text}");
    for line in [
        "27 roles, Cloud Services allows 25",
        "157 endpoints, Cloud Services allows 25",
        "6 internal endpoints in R0, Cloud Services allows 5",
        "P.D has 2 public ports for 3 instances",
    ] {
        assert!(text.contains(&format!("changed s:1 warning: {line}\n")), "{line}: {text}");
    }
}
