//! An entry of the table of stages is all that a feature needs outside its folder.

use super::*;
use crate::plan::{ProcessState, build};
use crate::stages::TABLE;
use crate::telemetry::Metrics;

#[test]
fn a_table_entry_compiles_options_into_the_stages_of_a_plan() {
    let entry = TABLE.iter().find(|entry| entry.reason == "anywhere: only tests have it").expect("the entry");
    let options = |value: &str, keys: &str| format!(r#""{}": {{ "Value": "{value}"{keys} }}"#, entry.setting);
    let route = |path: &str, more: &str| {
        route(&format!(
            r#""Key": "{path}", "UpstreamPathTemplate": "/{path}", "DownstreamPathTemplate": "/"{more}"#
        ))
    };
    let routes = [
        route("inherits", ""),
        route("overrides", &format!(", {}", options("own", ""))),
        route("without", ""),
    ];
    let global = format!("{{ {} }}", options("global", r#", "RouteKeys": ["inherits", "overrides"]"#));
    let blueprint = valid(&document(&routes.join(", "), &global), false);
    let plan = build(&blueprint, "id".into(), &ProcessState::new(Metrics::new(1), 64)).expect("a plan");
    let stage_text = |at: usize| {
        let mut stages = plan.routes[at].stages.iter().map(|placed| &placed.stage);
        stages.find(|stage| stage.name() == entry.name).map(|stage| stage.describe())
    };
    assert_eq!([0, 1, 2].map(stage_text), [Some("global".into()), Some("own".into()), None]);
    let unknown = format!("{{ {} }}", options("global", r#", "RouteKeys": ["nope"]"#));
    assert_eq!(reported(&document(&routes[0], &unknown), false), [r#"(MG0407) "nope""#]);
}
