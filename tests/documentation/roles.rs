//! The example of TCP, UDP and roles: the commands of its README.

use std::path::Path;
use std::process::Command;

/// The output of a command on the configuration of the example.
fn margay(arguments: &[&str]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/roles/gateway.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_margay"));
    let output = command.args(arguments).arg("--config").arg(file).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn the_example_of_roles_is_valid_and_explained() {
    let checked = margay(&["check"]);
    assert!(checked.contains("valid") && !checked.contains("warning"), "{checked}");
    let connection = margay(&["explain", "connection", "databases", "--server-name", "orders.db.example"]);
    assert!(connection.contains("orders-db") && connection.contains("10.0.1.11:5432"), "{connection}");
    let other = margay(&["explain", "connection", "databases", "--server-name", "x.db.example"]);
    assert!(other.contains("other-dbs") && other.contains("*.db.example"), "{other}");
    let denied = margay(&["explain", "role", "Web", "Store.Data"]);
    assert!(denied.contains("denied") && denied.contains("not-named"), "{denied}");
    let allowed = margay(&["explain", "role", "Web", "Worker.Jobs"]);
    assert!(allowed.contains("allowed") && allowed.contains("rule"), "{allowed}");
}
