use super::*;
use crate::{
    pipeline::body::Body,
    realtime::{
        testing::{hub_service, service_config},
        tokens::{TokenRequest, verify_client},
    },
};
use std::time::Duration;

fn options() -> NegotiateConfig {
    NegotiateConfig {
        hub: "chat".into(),
        user_id_claim: Some("sub".into()),
        roles: vec!["webpubsub.sendToGroup.{claim:team}".into()],
        groups: vec!["hall".into(), "team-{claim:team}".into()],
        expiry: Duration::from_secs(600),
    }
}

fn caller() -> Identity {
    let mut identity = Identity::new("people".into());
    identity.add("sub", "ann");
    identity.add("team", "a");
    identity
}

fn body(response: Response) -> serde_json::Value {
    let Body::Bytes(bytes) = response.body else { panic!("a body") };
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_caller_receives_a_url_that_opens_the_hub() {
    for (public_urls, base, path) in [
        (&["https://rt.example/rt"][..], "wss://rt.example/rt", "/rt/client/hubs/chat"),
        (&["http://rt.example:8080"], "ws://rt.example:8080", "/client/hubs/chat"),
        (&[], "ws://localhost:9000", "/client/hubs/chat"),
    ] {
        let service = hub_service(service_config(public_urls));
        let response =
            respond(&service, &options(), b"POST", Some(&caller()), "http://localhost:9000").unwrap();
        assert_eq!(response.head.get(b"cache-control"), Some(&b"no-store"[..]));
        let body = body(response);
        let token = body["token"].as_str().unwrap();
        assert_eq!(body["baseUrl"], format!("{base}/client/hubs/chat"));
        assert_eq!(body["url"], format!("{base}/client/hubs/chat?access_token={token}"));
        let request = TokenRequest {
            authorization: None,
            query_token: Some(token),
            path,
            service_path: "/client/hubs/chat",
            hub: "chat",
        };
        let granted = verify_client(&service.config, &request, SystemTime::now()).unwrap();
        assert_eq!(granted.user_id.as_deref(), Some("ann"));
        assert_eq!(granted.roles, ["webpubsub.sendToGroup.a"]);
        assert_eq!(granted.groups, ["hall", "team-a"]);
    }
}

#[test]
fn a_caller_without_the_claim_and_other_methods_are_rejected() {
    let service = hub_service(service_config(&["http://rt.example"]));
    for identity in [None, Some(Identity::new("people".into()))] {
        let error = respond(&service, &options(), b"POST", identity.as_ref(), "").unwrap_err();
        assert_eq!(error.code, ErrorCode::AccessClaim);
    }
    for method in ["GET", "HEAD", "PUT"] {
        let error = respond(&service, &options(), method.as_bytes(), Some(&caller()), "").unwrap_err();
        assert_eq!(error.status(false), 405);
    }
    let mut blank = caller();
    blank.replace("team", " ");
    let config = NegotiateConfig { groups: vec!["{claim:team}".into()], ..options() };
    let error = respond(&service, &config, b"POST", Some(&blank), "").unwrap_err();
    assert_eq!(error.code, ErrorCode::HubInvalidGroup);
}
