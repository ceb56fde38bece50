//! The event `connect`: its body, and what its response means.

use super::{
    http_call::HandlerResponse,
    reply::state,
    sink::{ConnectError, ConnectReply, ConnectRequest},
};
use crate::realtime::names::{is_group_name, is_user_id};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The content type of the body.
pub const CONTENT_TYPE: &str = "application/json; charset=utf-8";
/// Maximum size of a response.
pub const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// The body of the request.
pub fn body(request: ConnectRequest) -> Bytes {
    let certificates =
        request.client_certificates.iter().map(|thumbprint| json!({ "thumbprint": thumbprint }));
    let body = json!({
        "claims": lists(request.claims.iter().map(|(name, values)| (&**name, values))),
        "query": lists(request.query.iter().map(|(name, values)| (&**name, values))),
        "headers": lists(request.headers.iter().map(|(name, values)| (&**name, values))),
        "subprotocols": request.subprotocols,
        "clientCertificates": certificates.collect::<Value>(),
    });
    body.to_string().into()
}

/// Names with all of their values.
fn lists<'v>(entries: impl Iterator<Item = (&'v str, &'v Vec<String>)>) -> Value {
    let mut object = Map::new();
    for (name, values) in entries {
        let list = object.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.extend(values.iter().map(|value| Value::from(value.as_str())));
        }
    }
    Value::Object(object)
}

/// The body of a response that accepts the client.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcceptBody {
    user_id: Option<String>,
    groups: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    subprotocol: Option<String>,
}

/// The meaning of a response.
pub fn reply(response: &HandlerResponse) -> Result<ConnectReply, ConnectError> {
    match response.status() {
        200..300 => {}
        status @ 400..500 => {
            return Err(ConnectError::Relayed {
                status,
                content_type: response.header("content-type").map(str::to_owned),
                body: response.body.clone(),
            });
        }
        status => return Err(ConnectError::Failed(format!("the status of the response is {status}"))),
    }
    let body: AcceptBody = match response.body.is_empty() {
        true => AcceptBody::default(),
        false => parse(&response.body).map_err(ConnectError::Failed)?,
    };
    let user_id = body.user_id.filter(|user_id| !user_id.is_empty());
    if user_id.as_deref().is_some_and(|user_id| !is_user_id(user_id)) {
        return Err(ConnectError::Failed("the user id of the response is longer than 1024 bytes".to_owned()));
    }
    let groups = body.groups.unwrap_or_default();
    if !groups.iter().all(|group| is_group_name(group)) {
        return Err(ConnectError::Failed("the response contains an invalid group name".to_owned()));
    }
    Ok(ConnectReply {
        user_id,
        groups,
        roles: body.roles.unwrap_or_default(),
        subprotocol: body.subprotocol.filter(|name| !name.is_empty()),
        state: state(response),
    })
}

fn parse(body: &[u8]) -> Result<AcceptBody, String> {
    // A sequence would be read as the members in their order.
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("the response is malformed JSON: {error}"))?;
    if !value.is_object() {
        return Err("the response is not a JSON object".to_owned());
    }
    AcceptBody::deserialize(value).map_err(|error| format!("the response has a wrong type: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::head::Head;

    fn response(status: u16, body: &'static str) -> HandlerResponse {
        HandlerResponse { head: Head::response(status, b""), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn the_body_contains_lists_of_values() {
        let request = ConnectRequest {
            claims: vec![("sub".into(), vec!["ann".into()]), ("n".into(), vec!["7".into()])],
            query: vec![("x".into(), vec!["1".into(), "2".into()]), ("x".into(), vec!["3".into()])],
            headers: vec![("x-mine".into(), vec!["yes".into()])],
            subprotocols: vec!["custom".into()],
            client_certificates: vec!["ab".into()],
        };
        let expected = concat!(
            r#"{"claims":{"sub":["ann"],"n":["7"]},"query":{"x":["1","2","3"]},"headers":{"x-mine":["yes"]},"#,
            r#""subprotocols":["custom"],"clientCertificates":[{"thumbprint":"ab"}]}"#
        );
        assert_eq!(body(request), expected);
    }

    #[test]
    fn a_response_accepts_the_client_with_values() {
        for accepted in
            [response(204, ""), response(200, ""), response(200, "{}"), response(200, "{\"x\":1}")]
        {
            assert_eq!(reply(&accepted), Ok(ConnectReply::default()));
        }
        let full = r#"{"userId":"u","groups":["g"],"roles":["r"],"subprotocol":"custom"}"#;
        let mut full = response(200, full);
        full.head.append(b"ce-connectionState", b"eyJuIjoxfQ==");
        let expected = ConnectReply {
            user_id: Some("u".into()),
            groups: vec!["g".into()],
            roles: vec!["r".into()],
            subprotocol: Some("custom".into()),
            state: Some("eyJuIjoxfQ==".into()),
        };
        assert_eq!(reply(&full), Ok(expected));
    }

    #[test]
    fn a_client_error_is_relayed_and_anything_else_fails() {
        let refused = reply(&response(401, "who are you"));
        let expected = ConnectError::Relayed {
            status: 401,
            content_type: None,
            body: Bytes::from_static(b"who are you"),
        };
        assert_eq!(refused, Err(expected));
        for failed in [
            response(500, "secret"),
            response(302, ""),
            response(200, "{"),
            response(200, "[]"),
            response(200, r#"["u"]"#),
            response(200, "5"),
            response(200, r#"{"userId":5}"#),
            response(200, r#"{"groups":"g"}"#),
            response(200, r#"{"groups":[5]}"#),
            response(200, r#"{"groups":[" "]}"#),
            response(200, r#"{"roles":{}}"#),
            response(200, r#"{"subprotocol":[]}"#),
        ] {
            let error = reply(&failed).unwrap_err();
            assert!(
                matches!(&error, ConnectError::Failed(detail) if !detail.contains("secret")),
                "{failed:?}"
            );
        }
    }
}
