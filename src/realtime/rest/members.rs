//! `GET /groups/{group}/connections`: the members of a group, page by page.

use super::{
    call::{Call, PathNames},
    error::DataPlaneError,
    operations::CallExtension,
};
use crate::{base::percent::percent_encoded, realtime::operation::Operation};
use axum::{Extension, Json};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Maximum of `maxpagesize`, and its default.
const MAX_PAGE_SIZE: u32 = 200;

/// Where the next page starts.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Continuation {
    /// The last connection of the previous page.
    after: String,
    /// What remains of `top`.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u32>,
}

impl Continuation {
    fn decode(token: &str) -> Option<Continuation> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }
}

/// A page in the order of the connection ids. `nextLink` is absolute and complete: libraries add nothing to it.
pub async fn members(
    Extension(call): CallExtension,
    names: PathNames,
) -> Result<Json<Value>, DataPlaneError> {
    let group = names.group()?;
    let page_size = call.integer("maxpagesize", 1, MAX_PAGE_SIZE)?;
    let top = call.integer("top", 1, u32::MAX)?;
    let continuation = match call.parameter("continuationToken").filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(
            Continuation::decode(token)
                .ok_or_else(|| DataPlaneError::invalid_request("Invalid continuationToken."))?,
        ),
    };
    let (after, remaining) = match continuation {
        None => (None, top),
        Some(Continuation { after, remaining }) => (Some(Arc::from(after)), remaining),
    };
    let size = page_size.unwrap_or(MAX_PAGE_SIZE).min(remaining.unwrap_or(u32::MAX)) as usize;
    let operation = Operation::Members { group, after, max_members: size + 1 };
    let mut members = call.execute(operation).await?.members;
    members.sort_by(|a, b| a.connection_id.cmp(&b.connection_id));
    let has_more = members.len() > size;
    members.truncate(size);
    let remaining = remaining.map(|remaining| remaining - size as u32);
    let mut page = json!({ "value": members.iter().map(|member| {
        let mut entry = json!({ "connectionId": &*member.connection_id });
        if let Some(user) = &member.user_id {
            entry["userId"] = json!(&**user);
        }
        entry
    }).collect::<Value>() });
    if let Some(last) = members.last().filter(|_| has_more && remaining != Some(0)) {
        let next = Continuation { after: last.connection_id.to_string(), remaining };
        page["nextLink"] = next_link(&call, page_size, &next).into();
    }
    Ok(Json(page))
}

fn next_link(call: &Call, page_size: Option<u32>, next: &Continuation) -> String {
    let version = percent_encoded(call.parameter("api-version").unwrap_or_default());
    let mut link = format!("{}{}?api-version={version}", call.base_url, call.service_path);
    if let Some(page_size) = page_size {
        link += &format!("&maxpagesize={page_size}");
    }
    link + "&continuationToken=" + &next.encode()
}
