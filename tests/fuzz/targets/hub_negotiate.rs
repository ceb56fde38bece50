//! The response of a route that negotiates, for any claims of the caller.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    base::secret::Secret,
    pipeline::{body::Body, identity::Identity},
    realtime::{
        config::{NegotiateConfig, ServiceConfig, ServiceType},
        context::HubService,
        negotiate::respond,
        tokens::{TokenRequest, verify_client},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration, time::SystemTime};

fuzz_target!(|input: (&str, &str, &str)| {
    let (user, team, template) = input;
    let config = ServiceConfig {
        name: "rt".into(),
        service_type: ServiceType::WebPubSub,
        keys: vec![Secret::new("a key of the fuzz target, long enough")],
        public_urls: Vec::new(),
        clock_skew: Duration::ZERO,
        server_schemes: Vec::new(),
        hubs: BTreeMap::new(),
        other_hubs: None,
    };
    let service = HubService { config: Arc::new(config), backends: Box::new([]), server_schemes: None };
    let options = NegotiateConfig {
        hub: "chat".into(),
        user_id_claim: Some("sub".into()),
        roles: vec!["webpubsub.sendToGroups.{claim:team}".into(), template.into()],
        groups: vec!["{claim:team}".into()],
        expiry: Duration::from_secs(60),
    };
    let mut identity = Identity::new("people".into());
    identity.add("sub", user);
    identity.add("team", team);
    let response = respond(&service, &options, b"POST", Some(&identity), "http://localhost");
    let Ok(response) = response else { return };
    let Body::Bytes(body) = response.body else { panic!("a response without a body") };
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let request = TokenRequest {
        authorization: None,
        query_token: body["token"].as_str(),
        path: "/client/hubs/chat",
        service_path: "/client/hubs/chat",
        hub: "chat",
    };
    let granted = verify_client(&service.config, &request, SystemTime::now());
    match granted {
        Ok(granted) => {
            assert_eq!((granted.user_id.as_deref(), granted.groups), (Some(user), vec![team.to_owned()]));
        }
        // Tokens longer than 64 KiB are rejected.
        Err(_) => assert!(body["token"].as_str().unwrap().len() > 64 << 10),
    }
});
