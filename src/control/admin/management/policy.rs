//! Policy documents of scopes, and fragments.

use super::super::error::AdminError;
use super::{
    call::{Call, empty_response, json_response, no_method, no_page},
    entity::{change, check_match},
    failure::{bad_property, read_only, unknown_property},
    list::page,
    tree::{Tree, tag_of},
};
use crate::{control::entities::POLICIES, pipeline::internal::Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// The name of the document of a scope: the path in front of `policies`.
pub fn scope_name(path: &[&str]) -> Result<String, AdminError> {
    let is_plain = |id: &str| !id.is_empty() && !id.contains(['/', '\\']) && id != "." && id != "..";
    match path {
        [] => Ok("global".to_owned()),
        ["apis", api] if is_plain(api) => Ok(format!("apis/{api}")),
        ["apis", api, "operations", operation] if is_plain(api) && is_plain(operation) => {
            Ok(format!("apis/{api}/{operation}"))
        }
        ["products", product] if is_plain(product) => Ok(format!("products/{product}")),
        ["workspaces", workspace] if is_plain(workspace) => Ok(format!("workspaces/{workspace}")),
        _ => Err(no_page()),
    }
}

fn shown(name: &str, text: &str, is_xml: bool) -> Value {
    let (id, kind, own) = match name.strip_prefix("fragments/") {
        Some(id) => (format!("/policyFragments/{id}"), "policyFragments", id),
        None => (format!("/{name}/policies/policy"), "policies", "policy"),
    };
    json!({
        "id": id,
        "type": format!("Microsoft.ApiManagement/service/{kind}"),
        "name": own,
        "properties": {
            "format": if is_xml { "rawxml" } else { "json" },
            "value": text,
            "provisioningState": "Succeeded",
        },
    })
}

/// The documents of a scope: one, or none.
pub fn list(call: &Call, path: &[&str]) -> Result<Response, AdminError> {
    if call.method != Method::GET {
        return Err(no_method());
    }
    let name = scope_name(path)?;
    let found = Tree::of(&call.context)?.document(&name);
    let all: Vec<Value> = found.iter().map(|(text, is_xml, _)| shown(&name, text, *is_xml)).collect();
    Ok(json_response(StatusCode::OK, &json!({ "count": all.len(), "value": all }), None))
}

/// All fragments.
pub fn fragments(call: &Call) -> Result<Response, AdminError> {
    if call.method != Method::GET {
        return Err(no_method());
    }
    let all = Tree::of(&call.context)?.documents("fragments/");
    page(
        call,
        &["format", "value"],
        all.iter().map(|(name, text, is_xml)| shown(name, text, *is_xml)).collect(),
    )
}

/// Responds to a request for a document.
pub fn document(call: &Call, name: String) -> Result<Response, AdminError> {
    let found = Tree::of(&call.context)?.document(&name);
    let tag = found.as_ref().map(|(text, ..)| tag_of(text));
    match call.method {
        Method::GET | Method::HEAD => {
            let missing = || AdminError::not_found(format!("there is no policy document {name}"));
            let (text, is_xml, _) = found.as_ref().ok_or_else(missing)?;
            Ok(json_response(StatusCode::OK, &shown(&name, text, *is_xml), tag.as_deref()))
        }
        Method::PUT | Method::DELETE => {
            if let Some((_, _, Some(place))) = &found {
                return Err(read_only(place));
            }
            let is_removal = call.method == Method::DELETE;
            if is_removal && found.is_none() {
                return Ok(empty_response(StatusCode::NO_CONTENT));
            }
            check_match(&call.headers, tag, is_removal)?;
            match is_removal {
                true => remove(call, &name),
                false => put(call, &name, found.is_none()),
            }
        }
        _ => Err(no_method()),
    }
}

fn remove(call: &Call, name: &str) -> Result<Response, AdminError> {
    change(call, |data| {
        data.remove(POLICIES, name);
        data.remove(POLICIES, &format!("{name}.xml"));
        Ok(())
    })?;
    Ok(call.removed())
}

fn put(call: &Call, name: &str, is_new: bool) -> Result<Response, AdminError> {
    let properties = call.own_properties()?;
    let known = ["format", "value", "provisioningState"];
    if let Some(name) = properties.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(unknown_property(name, known.into_iter()));
    }
    let text = properties.get("value").and_then(Value::as_str);
    let text = text.ok_or_else(|| bad_property("value", "expected a text"))?;
    let is_xml = match properties.get("format").and_then(Value::as_str).unwrap_or("xml") {
        "xml" | "rawxml" => true,
        "json" => false,
        _ => return Err(bad_property("format", "expected xml, rawxml or json")),
    };
    let (kept, dropped) = match is_xml {
        true => (format!("{name}.xml"), name.to_owned()),
        false => (name.to_owned(), format!("{name}.xml")),
    };
    change(call, |data| {
        data.remove(POLICIES, &dropped);
        data.set(POLICIES, &kept, Value::from(text));
        Ok(())
    })?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_response(status, &shown(name, text, is_xml), Some(&tag_of(text))))
}
