//! A program with custom stages: the example of `docs/custom-stages.md`, built and tested.

use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;

const CONFIGURATION: &str = include_str!("../../../deploy/examples/custom-stage/gateway.json");
const PROGRAM: &str = include_str!("../../../deploy/examples/custom-stage/main.rs");
const PAGE: &str = include_str!("../../../docs/custom-stages.md");

fn example(configuration: &str, shop: u16) -> Setup {
    Setup::text(configuration).example("custom-stage").env("SHOP_PORT", &shop.to_string())
}

#[test]
fn a_custom_stage_edits_requests_and_responds() {
    let origin = Origin::hello();
    let gateway = Gateway::start(&example(CONFIGURATION, origin.port()));
    let answer = gateway.ask(&Request::get("/cart").header("Host", "acme.shop.test:80"));
    assert_eq!((answer.status, origin.last().header("x-tenant")), (200, Some("acme")));
    assert_eq!(gateway.ask(&Request::get("/cart").header("Host", "shop.test")).status, 421);
    assert!(gateway.admin("/metrics").text().contains("stage=\"custom\""), "its outcomes are counted");
}

#[test]
fn settings_of_a_custom_stage_are_validated() {
    for (wrong, said) in [
        (r#""Domain": "shop.test""#, "does not begin with a dot"),
        (r#""Domian": ".shop.test""#, "did you mean \"Domain\"?"),
        (r#""Header": ["X-Tenant"]"#, "MG0"),
    ] {
        let configuration = CONFIGURATION.replace(r#""Domain": ".shop.test""#, wrong);
        let Err(ended) = Gateway::try_start(&example(&configuration, 9)) else {
            panic!("{wrong} was accepted")
        };
        assert_eq!(ended.code, Some(2), "{wrong}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{wrong}: {}", ended.stderr);
    }
}

#[test]
fn unregistered_stages_and_settings_of_unused_stages_are_rejected() {
    let Err(ended) = Gateway::try_start(&Setup::text(CONFIGURATION)) else {
        panic!("margay has no such stage")
    };
    assert!(
        ended.stderr.contains("MG0406") && ended.stderr.contains("docs/custom-stages.md"),
        "{}",
        ended.stderr
    );
    let unnamed = CONFIGURATION.replace(r#"["Tenant"]"#, "[]");
    let Err(ended) = Gateway::try_start(&example(&unnamed, 9)) else { panic!("settings were ignored") };
    assert!(ended.stderr.contains("MG0419"), "{}", ended.stderr);
}

#[test]
fn the_custom_stage_page_shows_the_example_verbatim() {
    assert!(
        PAGE.contains(PROGRAM) && PAGE.contains(CONFIGURATION),
        "docs/custom-stages.md shows an older example"
    );
}
