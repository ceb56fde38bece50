//! `security` and `securitySchemes` → authentication schemes without their secrets, which reject every caller until the
//! operator completes them.

use super::reference::resolve;
use crate::cli::import::report::Report;
use crate::cli::import::route_draft::UniqueNames;
use crate::cli::import::schemes;
use crate::cli::import::values::{items, key_text, strings, text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schemes that routes use.
pub struct SecuritySchemes<'d> {
    root: &'d Value,
    /// By the name in the document; `None`: the scheme has no counterpart.
    names: BTreeMap<String, Option<String>>,
    unique: UniqueNames,
    schemes: Map<String, Value>,
}

/// One alternative: scheme name → scopes.
type Alternative = Vec<(String, Vec<String>)>;

impl<'d> SecuritySchemes<'d> {
    /// The schemes of a document; none is used yet.
    pub fn new(root: &'d Value) -> Self {
        SecuritySchemes { root, names: BTreeMap::new(), unique: UniqueNames::default(), schemes: Map::new() }
    }

    /// The settings of a route with these requirements.
    pub fn settings(
        &mut self,
        security: Option<&Value>,
        position: &str,
        report: &mut Report,
    ) -> Map<String, Value> {
        let alternatives: Vec<Alternative> = items(security).into_iter().map(alternative).collect();
        if alternatives.iter().any(Vec::is_empty) {
            if alternatives.len() > 1 {
                report.change(position, "authentication is optional: the gateway does not authenticate");
            }
            return Map::new();
        }
        let mut keys: Vec<String> = Vec::new();
        for alternative in &alternatives {
            let supported = self.supported(alternative, position, report);
            keys.extend(supported.into_iter().filter(|key| !keys.contains(key)).collect::<Vec<_>>());
        }
        if alternatives.is_empty() {
            return Map::new();
        }
        if keys.is_empty() {
            keys.push(self.rejecting_scheme(position, report));
        }
        let mut settings = scopes(&alternatives, position, report);
        let options = settings.entry("AuthenticationOptions").or_insert_with(|| json!({}));
        if let Some(options) = options.as_object_mut() {
            options.insert("AuthenticationProviderKeys".to_owned(), keys.into());
        }
        settings
    }

    /// `AuthenticationSchemes` of the result.
    pub fn into_schemes(self, report: &mut Report) -> Map<String, Value> {
        let declared = self.root.pointer("/components/securitySchemes").and_then(Value::as_object);
        for name in
            declared.into_iter().flatten().map(|(name, _)| name).filter(|n| !self.names.contains_key(*n))
        {
            report.skip(scheme_position(name), "security scheme that no operation requires");
        }
        self.schemes
    }

    /// The first scheme of an alternative that has a counterpart. margay accepts one scheme for each request.
    fn supported(
        &mut self,
        alternative: &Alternative,
        position: &str,
        report: &mut Report,
    ) -> Option<String> {
        let names: Vec<String> =
            alternative.iter().filter_map(|(name, _)| self.scheme(name, position, report)).collect();
        if alternative.len() > 1 {
            let text = alternative.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("` and `");
            let message = format!(
                "schemes `{text}` are required together: the gateway checks the first one, the backend the others"
            );
            report.change(position, message);
        }
        names.into_iter().next()
    }

    fn scheme(&mut self, name: &str, position: &str, report: &mut Report) -> Option<String> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let place = scheme_position(name);
        let declared = self.root.pointer("/components/securitySchemes").and_then(|all| all.get(name));
        let converted = match declared.map(|scheme| resolve(self.root, scheme)) {
            None => Err(format!("security scheme `{name}` is not declared")),
            Some(Err(reason)) => Err(reason),
            Some(Ok(scheme)) => convert(scheme, name, &place, report),
        };
        let key = match converted {
            Ok(scheme) => {
                let key = self.unique.claim(&key_text(name));
                self.schemes.insert(key.clone(), scheme);
                Some(key)
            }
            Err(reason) => {
                report.skip(if declared.is_some() { place } else { position.to_owned() }, reason);
                None
            }
        };
        self.names.insert(name.to_owned(), key.clone());
        key
    }

    /// A route whose schemes have no counterpart is not opened: it rejects every caller.
    fn rejecting_scheme(&mut self, position: &str, report: &mut Report) -> String {
        report.incomplete(
            position,
            "no scheme of the operation has a counterpart: the route rejects every caller until you configure one",
        );
        let name = "not-imported";
        self.schemes.entry(name).or_insert_with(schemes::jwt_without_keys);
        name.to_owned()
    }
}

fn scheme_position(name: &str) -> String {
    format!("/components/securitySchemes/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn alternative(requirement: &Value) -> Alternative {
    let schemes = requirement.as_object().into_iter().flatten();
    schemes.map(|(name, _)| (name.clone(), strings(requirement, name))).collect()
}

/// The scheme of margay; the error is the reason why there is none.
fn convert(scheme: &Value, name: &str, position: &str, report: &mut Report) -> Result<Value, String> {
    let kind = text(scheme, "type").unwrap_or_default();
    let http_scheme = text(scheme, "scheme").unwrap_or_default().to_ascii_lowercase();
    match (kind.as_str(), http_scheme.as_str()) {
        ("apiKey", _) => api_key(scheme, position, report),
        ("http", "bearer") => Ok(schemes::bearer(name, position, report)),
        ("http", "basic") => {
            report
                .incomplete(position, format!("AuthenticationSchemes.{name}.Users is empty: add the users"));
            Ok(json!({ "Type": "Basic", "Users": [] }))
        }
        ("http", other) => Err(format!("HTTP authentication scheme \"{other}\" is not supported")),
        ("oauth2", _) => Ok(oauth2(scheme, name, position, report)),
        ("openIdConnect", _) => match text(scheme, "openIdConnectUrl") {
            Some(url) => Ok(json!({ "Type": "JwtBearer", "Authority": schemes::authority(&url) })),
            None => Ok(schemes::bearer(name, position, report)),
        },
        ("mutualTLS", _) => {
            report.incomplete(
                position,
                "a listener has to verify client certificates: set Tls.ClientCertificates",
            );
            Ok(json!({ "Type": "ClientCertificate" }))
        }
        (other, _) => Err(format!("security scheme of type \"{other}\" is not supported")),
    }
}

fn api_key(scheme: &Value, position: &str, report: &mut Report) -> Result<Value, String> {
    let name = text(scheme, "name").ok_or_else(|| "API key without `name`".to_owned())?;
    let place = text(scheme, "in").unwrap_or_default();
    if !crate::base::bytes::is_token(name.as_bytes()) {
        return Err(format!("API key in \"{name}\": the name is not a field name"));
    }
    let mut result = match place.as_str() {
        "header" => json!({ "Type": "ApiKey", "Header": name }),
        "query" => json!({ "Type": "ApiKey", "QueryParameter": name, "KeepQueryParameter": true }),
        _ => return Err(format!("API key in a {place}: supported are header and query")),
    };
    report.incomplete(
        position,
        "`Keys` of the ApiKey scheme is empty: add the SHA-256 hashes of the keys, or a KeysFile",
    );
    result["Keys"] = json!([]);
    Ok(result)
}

fn oauth2(scheme: &Value, name: &str, position: &str, report: &mut Report) -> Value {
    let flows = scheme.get("flows").and_then(Value::as_object).into_iter().flatten();
    let url = flows
        .filter_map(|(_, flow)| text(flow, "tokenUrl").or_else(|| text(flow, "authorizationUrl")))
        .next();
    let result = schemes::bearer(name, position, report);
    if let Some(url) = url {
        report.change(position, format!("OAuth 2: tokens are verified as JWT; their issuer is at {url}"));
    }
    result
}

/// The scopes that all alternatives require. Several scopes of one alternative are all required.
fn scopes(alternatives: &[Alternative], position: &str, report: &mut Report) -> Map<String, Value> {
    let mut sets: Vec<Vec<String>> = alternatives
        .iter()
        .map(|alternative| alternative.iter().flat_map(|(_, scopes)| scopes.clone()).collect())
        .collect();
    sets.dedup();
    let mut settings = Map::new();
    match &sets[..] {
        [scopes] if scopes.len() == 1 => {
            settings.insert("AuthenticationOptions".to_owned(), json!({ "AllowedScopes": scopes }));
        }
        [scopes] if scopes.len() > 1 => {
            let quoted =
                |scope: &String| format!("'{}' in scopes", scope.replace('\\', "\\\\").replace('\'', "\\'"));
            let expression = scopes.iter().map(quoted).collect::<Vec<_>>().join(" && ");
            settings.insert("RouteClaimsExpression".to_owned(), expression.into());
        }
        [_] | [] => {}
        _ => report.skip(position, "scopes that differ between alternative security requirements"),
    }
    settings
}
