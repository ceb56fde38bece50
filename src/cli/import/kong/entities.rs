//! The entities of a decK file: services, routes and plugins, nested or at the top level.

use crate::cli::import::report::Report;
use crate::cli::import::values::{boolean, entries, get, items, text};
use serde_json::Value;

/// A service.
#[derive(Clone, Debug)]
pub struct KongService<'v> {
    pub name: String,
    pub value: &'v Value,
}

/// A route and the name of its service.
#[derive(Clone, Debug)]
pub struct KongRoute<'v> {
    pub name: String,
    pub service: Option<String>,
    pub value: &'v Value,
}

/// What a plugin applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginScope {
    Global,
    Service(String),
    Route(String),
}

/// An enabled plugin.
#[derive(Clone, Debug)]
pub struct KongPlugin<'v> {
    pub name: String,
    pub scope: PluginScope,
    /// Its `config`, or null.
    pub config: &'v Value,
    pub is_enabled: bool,
}

/// All entities of the file.
#[derive(Debug, Default)]
pub struct Entities<'v> {
    pub services: Vec<KongService<'v>>,
    pub routes: Vec<KongRoute<'v>>,
    pub plugins: Vec<KongPlugin<'v>>,
    /// `upstreams` by their names.
    pub target_groups: Vec<(String, &'v Value)>,
    /// Before format 3, a path with characters of regular expressions is one.
    pub has_implicit_regex: bool,
}

/// Top-level sections without a counterpart.
const UNUSED_SECTIONS: [&str; 7] =
    ["certificates", "ca_certificates", "snis", "vaults", "consumer_groups", "rbac_roles", "partials"];

impl<'v> Entities<'v> {
    /// Reads the file; the error is a sentence.
    pub fn read(root: &'v Value, report: &mut Report) -> Result<Entities<'v>, String> {
        let sections = ["services", "routes", "upstreams", "_format_version"];
        if !sections.iter().any(|section| get(root, section).is_some()) {
            return Err(
                "expected a declarative file of Kong with services or routes, found neither".to_owned()
            );
        }
        let version = text(root, "_format_version").unwrap_or_else(|| "3.0".to_owned());
        let mut all = Entities { has_implicit_regex: version.starts_with(['1', '2']), ..Entities::default() };
        for (name, value) in entries(get(root, "services"), "name") {
            all.add_service(name, value, report);
        }
        for (name, value) in entries(get(root, "routes"), "name") {
            let service = get(value, "service").and_then(reference);
            all.add_route(name, service, value, report);
        }
        for plugin in items(get(root, "plugins")) {
            all.add_top_level_plugin(plugin, report);
        }
        all.target_groups = entries(get(root, "upstreams"), "name");
        for section in UNUSED_SECTIONS.iter().filter(|section| !items(get(root, section)).is_empty()) {
            report.skip(*section, format!("`{section}` have no counterpart in the import"));
        }
        Ok(all)
    }

    fn add_service(&mut self, name: String, value: &'v Value, report: &mut Report) {
        for (route_name, route) in entries(get(value, "routes"), "name") {
            let route_name =
                if route_name.starts_with('#') { format!("{name}{route_name}") } else { route_name };
            self.add_route(route_name, Some(name.clone()), route, report);
        }
        for plugin in items(get(value, "plugins")) {
            self.add_plugin(plugin, PluginScope::Service(name.clone()), report);
        }
        self.services.push(KongService { name, value });
    }

    fn add_route(&mut self, name: String, service: Option<String>, value: &'v Value, report: &mut Report) {
        for plugin in items(get(value, "plugins")) {
            self.add_plugin(plugin, PluginScope::Route(name.clone()), report);
        }
        self.routes.push(KongRoute { name, service, value });
    }

    fn add_top_level_plugin(&mut self, plugin: &'v Value, report: &mut Report) {
        let name = text(plugin, "name").unwrap_or_default();
        if ["consumer", "consumer_group"].iter().any(|scope| get(plugin, scope).is_some()) {
            return report.skip(format!("plugins.{name}"), "plugin of a consumer");
        }
        let route = get(plugin, "route").and_then(reference).map(PluginScope::Route);
        let service = || get(plugin, "service").and_then(reference).map(PluginScope::Service);
        self.add_plugin(plugin, route.or_else(service).unwrap_or(PluginScope::Global), report);
    }

    fn add_plugin(&mut self, plugin: &'v Value, scope: PluginScope, report: &mut Report) {
        let Some(name) = text(plugin, "name") else {
            return report.skip("plugins", "plugin without a name");
        };
        let is_enabled = boolean(plugin, "enabled") != Some(false);
        let config = get(plugin, "config").unwrap_or(&Value::Null);
        self.plugins.push(KongPlugin { name, scope, config, is_enabled });
    }

    /// The plugins of a route: of each name the instance of the route, else of its service, else the global one.
    pub fn plugins_of(&self, route: &KongRoute) -> Vec<&KongPlugin<'v>> {
        let rank = |plugin: &KongPlugin| match &plugin.scope {
            PluginScope::Route(name) if *name == route.name => Some(0),
            PluginScope::Service(name) if Some(name) == route.service.as_ref() => Some(1),
            PluginScope::Global => Some(2),
            _ => None,
        };
        let mut chosen: Vec<(u8, &KongPlugin)> = Vec::new();
        for plugin in &self.plugins {
            let Some(rank) = rank(plugin) else { continue };
            match chosen.iter_mut().find(|(_, other)| other.name == plugin.name) {
                Some(other) if other.0 > rank => *other = (rank, plugin),
                Some(_) => {}
                None => chosen.push((rank, plugin)),
            }
        }
        chosen.into_iter().map(|(_, plugin)| plugin).filter(|plugin| plugin.is_enabled).collect()
    }
}

/// The name of a referenced entity: a text, or an object with a name or an id.
fn reference(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.clone()),
        _ => text(value, "name").or_else(|| text(value, "id")),
    }
}
