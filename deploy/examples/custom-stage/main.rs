//! A gateway with a custom stage: `Tenant` sends the tenant, the first label of the host name, to the backend.

use margay::{
    Gateway,
    pipeline::{
        exchange::Exchange,
        head::KnownHeader,
        response::Response,
        stage::{Stage, Step},
    },
};
use serde::Deserialize;
use std::process::ExitCode;

/// The settings: `Tenant` in the `HandlerSettings` of a route.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Settings {
    /// The request header that carries the tenant.
    header: String,
    /// The domain below which each tenant has its host name.
    domain: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { header: "X-Tenant".into(), domain: ".example.com".into() }
    }
}

/// The compiled stage: built once for each route, shared by all its requests.
#[derive(Debug)]
struct Tenant {
    header: Box<[u8]>,
    domain: Box<[u8]>,
}

impl Tenant {
    fn new(settings: Settings) -> Result<Tenant, String> {
        if !settings.domain.starts_with('.') {
            return Err(format!("Domain \"{}\" does not begin with a dot", settings.domain));
        }
        Ok(Tenant {
            header: settings.header.into_bytes().into(),
            domain: settings.domain.into_bytes().into(),
        })
    }
}

impl Stage for Tenant {
    fn name(&self) -> &'static str {
        "Tenant"
    }

    /// Runs for every request of the route on its worker thread: it must not block.
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let host = exchange.request.get_known(KnownHeader::Host).unwrap_or_default();
        let name = host.split(|b| *b == b':').next().unwrap_or_default();
        match name.strip_suffix(&*self.domain).filter(|tenant| !tenant.is_empty()) {
            Some(tenant) => {
                let tenant = tenant.to_vec();
                exchange.request.set(&self.header, &tenant);
                Step::Next
            }
            None => Step::Respond(Response::local(421, "text/plain", "no tenant has this host name\n")),
        }
    }

    /// The description that `margay explain` prints.
    fn describe(&self) -> String {
        format!("sets {} from the host", String::from_utf8_lossy(&self.header))
    }
}

fn main() -> ExitCode {
    Gateway::builder().add_stage("Tenant", Tenant::new).main()
}
