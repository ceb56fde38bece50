//! Responses of service registries: Eureka and Kubernetes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::backend::discovery::{
    eureka::apps::Applications,
    kubernetes::objects::{Objects, Resource},
};

fuzz_target!(|body: &[u8]| {
    if let Ok(mut applications) = Applications::parse_full(body) {
        let _ = applications.apply_delta(body);
        let _ = applications.instances("SHOP", false);
    }
    for resource in [Resource::Endpoints, Resource::Slices] {
        let mut objects = Objects::new(resource, "http");
        let _ = objects.parse_list(body);
        let _ = objects.parse_event(body);
        let _ = objects.instances();
    }
});
