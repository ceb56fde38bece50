//! The service `ServiceFabricNaming`: the naming interface of a Service Fabric cluster, answered from a registry, and the
//! registration of replicas. Source: Service Fabric REST API, "Resolve Partition" and the lists.
//!
//! Entry point: [`router`], for routes with `"DownstreamService": "ServiceFabricNaming"`; the plan adds the resolver to each
//! request. The ids in its paths contain slashes, so the paths are read here and not by the router.

use crate::backend::fabric::{
    error::fabric_code,
    naming::{NamingContext, NamingError, is_api_version, key_of, name_of_id},
    registry::{Registration, check_listeners, document::AddressSpec},
    service::ReplicaRole,
};
use crate::base::percent::percent_decoded;
use crate::pipeline::internal::{Request, Response};
use axum::{Extension, Router, body::to_bytes, response::IntoResponse};
use http::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeMap, time::Duration};

/// Maximum size of a request body.
const MAX_BODY_BYTES: usize = 256 << 10;
/// Maximum time until a registration must be renewed.
const MAX_TTL_SECONDS: u64 = 86_400;

/// The naming interface.
pub fn router() -> Router {
    Router::new().fallback(serve)
}

async fn serve(context: Option<Extension<NamingContext>>, request: Request) -> Response {
    let Some(Extension(context)) = context else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (status, body) = match respond(&context, request).await {
        Ok(body) => (200, body),
        Err(error) => (error.status, error.body()),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers =
        [(header::CONTENT_TYPE, "application/json; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

/// The parameters of the query; of one that stands twice the last.
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn of(query: &str) -> Parameters {
        let decode =
            |text: &str| String::from_utf8_lossy(&percent_decoded(text.as_bytes(), true)).into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Parameters(pairs.map(|(name, value)| (decode(name).to_ascii_lowercase(), decode(value))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(String::as_str)
    }
}

fn invalid(message: impl Into<String>) -> NamingError {
    NamingError::new(400, fabric_code::INVALID_ARGUMENT, message)
}

async fn respond(context: &NamingContext, request: Request) -> Result<Value, NamingError> {
    let (parts, body) = request.into_parts();
    let parameters = Parameters::of(parts.uri.query().unwrap_or_default());
    check_api_version(context, &parameters)?;
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let path = parts.uri.path().trim_start_matches('/').to_owned();
    let path: Vec<&str> = path.split("/$/").collect();
    let path = below_application(&path);
    let token = parameters.get("ContinuationToken").unwrap_or_default();
    let names: Vec<&str> = path.iter().map(|part| &**part).collect();
    match &names[..] {
        ["Applications"] if is_read => context.applications(token),
        [application, "GetServices"] if is_read && application.starts_with("Applications/") => {
            context.services(&name_of_id(&application["Applications/".len()..]), token)
        }
        [partition, "GetReplicas"] if is_read && partition.starts_with("Partitions/") => {
            context.replicas(&partition["Partitions/".len()..].to_ascii_lowercase())
        }
        [service, rest @ ..] if service.starts_with("Services/") => {
            let name = name_of_id(&service["Services/".len()..]);
            let body = to_bytes(body, MAX_BODY_BYTES).await;
            let body = body
                .map_err(|_| NamingError::new(413, fabric_code::INVALID_ARGUMENT, "the body is too large"))?;
            of_service(context, &name, rest, &parts.method, &parameters, &body).await
        }
        _ => Err(not_found()),
    }
}

/// `Applications/A/$/GetServices/ID/$/...` is `Services/ID/$/...`.
fn below_application<'p>(path: &[&'p str]) -> Vec<Cow<'p, str>> {
    match path {
        [application, list, rest @ ..]
            if application.starts_with("Applications/") && list.starts_with("GetServices/") =>
        {
            let service = format!("Services/{}", &list["GetServices/".len()..]).into();
            [service].into_iter().chain(rest.iter().map(|part| (*part).into())).collect()
        }
        path => path.iter().map(|part| (*part).into()).collect(),
    }
}

fn not_found() -> NamingError {
    NamingError::new(
        404,
        "E_NOTFOUND",
        "no such resource; the interface has Applications, Services and Partitions",
    )
}

fn check_api_version(context: &NamingContext, parameters: &Parameters) -> Result<(), NamingError> {
    match parameters.get("api-version") {
        Some(version) if is_api_version(version) => Ok(()),
        Some(version) => {
            Err(invalid(format!("invalid api-version \"{version}\": must be between 1.0 and 9.9")))
        }
        None if context.is_strict => Err(not_found()),
        None => Err(invalid("the parameter api-version is missing: add ?api-version=6.0")),
    }
}

async fn of_service(
    context: &NamingContext,
    name: &str,
    path: &[&str],
    method: &Method,
    parameters: &Parameters,
    body: &[u8],
) -> Result<Value, NamingError> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match *path {
        ["ResolvePartition"] if is_read || *method == Method::POST => {
            resolve(context, name, parameters, body).await
        }
        ["GetPartitions"] if is_read => context.partitions(name),
        [partition, "GetReplicas"] if is_read && partition.starts_with("GetPartitions/") => {
            context.service(name)?;
            context.replicas(&partition_id(partition))
        }
        [partition, change] if !is_read && partition.starts_with("GetPartitions/") => {
            change_registry(context, (name, &partition_id(partition)), change, method, parameters, body)
        }
        _ => Err(not_found()),
    }
}

fn partition_id(segment: &str) -> String {
    segment["GetPartitions/".len()..].to_ascii_lowercase()
}

async fn resolve(
    context: &NamingContext,
    name: &str,
    parameters: &Parameters,
    body: &[u8],
) -> Result<Value, NamingError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Previous {
        previous_rsp_version: Option<String>,
    }
    let posted = serde_json::from_slice::<Previous>(body).ok().and_then(|posted| posted.previous_rsp_version);
    let previous = parameters.get("PreviousRspVersion").or(posted.as_deref());
    let key = key_of(parameters.get("PartitionKeyType"), parameters.get("PartitionKeyValue"))?;
    context.resolve(name, &key, previous).await
}

fn change_registry(
    context: &NamingContext,
    place: (&str, &str),
    change: &str,
    method: &Method,
    parameters: &Parameters,
    body: &[u8],
) -> Result<Value, NamingError> {
    if !context.resolver.config.is_writable {
        let message = "the registry cannot be changed: its resolver is not Writable";
        return Err(NamingError::new(405, "FABRIC_E_OPERATION_NOT_SUPPORTED", message));
    }
    context.service(place.0)?;
    let registry = context.registry()?;
    match (change.strip_prefix("GetReplicas/"), change, method) {
        (Some(id), _, &Method::PUT) => registry.register(place, id, registration(body)?)?,
        (Some(id), _, &Method::DELETE) => registry.deregister(place, id)?,
        (None, "SwapPrimary", &Method::POST) => {
            let id =
                parameters.get("ReplicaId").ok_or_else(|| invalid("the parameter ReplicaId is missing"))?;
            registry.swap_primary(place, id)?;
        }
        _ => return Err(not_found()),
    }
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RegistrationBody {
    role: Option<String>,
    endpoints: Option<BTreeMap<Box<str>, Box<str>>>,
    address: Option<Box<str>>,
    ttl_seconds: Option<u64>,
    #[serde(default)]
    node_name: Box<str>,
}

fn registration(body: &[u8]) -> Result<Registration, NamingError> {
    let body: RegistrationBody =
        serde_json::from_slice(body).map_err(|error| invalid(format!("invalid registration: {error}")))?;
    let role = match body.role.as_deref() {
        None | Some("") => None,
        Some("Primary") => Some(ReplicaRole::Primary),
        Some("ActiveSecondary") => Some(ReplicaRole::Secondary),
        Some(other) => {
            return Err(invalid(format!("invalid Role \"{other}\": must be Primary or ActiveSecondary")));
        }
    };
    let address = match (body.endpoints, body.address) {
        (Some(listeners), None) => {
            check_listeners(&listeners).map_err(invalid)?;
            AddressSpec::Listeners(listeners)
        }
        (None, Some(text)) => AddressSpec::Text(text),
        _ => return Err(invalid("a registration needs Endpoints or Address, not both")),
    };
    if body.ttl_seconds.is_some_and(|ttl| !(1..=MAX_TTL_SECONDS).contains(&ttl)) {
        return Err(invalid(format!("invalid TtlSeconds: must be between 1 and {MAX_TTL_SECONDS}")));
    }
    Ok(Registration { role, address, node: body.node_name, ttl: body.ttl_seconds.map(Duration::from_secs) })
}
