//! `margay subscriptions` and `margay policies effective`: pages of the management of a running gateway.

use super::arguments::{
    AddSubscription, EffectivePolicies, ListSubscriptions, RegenerateSubscription, SubscriptionsCommand,
    WhichKey,
};
use super::connection::AdminClient;
use super::error::ClientError;
use super::table::{printable, table};
use crate::base::percent::percent_encoded;
use crate::cli::output;
use serde_json::{Value, json};

/// Subscriptions on one page of the list.
const PAGE: usize = 1000;
/// The sections of a program, in their order.
const SECTIONS: [&str; 4] = ["inbound", "backend", "outbound", "on-error"];

/// `margay policies effective`.
pub fn effective(command: &EffectivePolicies) -> Result<(), ClientError> {
    let mut path = format!("/management/effectivePolicy?api={}", percent_encoded(&command.api));
    for (name, value) in [("operation", &command.operation), ("product", &command.product)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", percent_encoded(value)));
        }
    }
    let page = AdminClient::new(&command.admin)?.get(&path)?.body;
    output::write_stdout(&if command.admin.json { format!("{page:#}\n") } else { effective_text(&page) });
    Ok(())
}

fn effective_text(page: &Value) -> String {
    let mut text = String::new();
    for section in SECTIONS {
        text.push_str(&format!("{section}\n"));
        for entry in page[section].as_array().into_iter().flatten() {
            let part = |name: &str| printable(entry[name].as_str().unwrap_or_default());
            let place = format!("{} {}", part("file"), part("pointer"));
            text.push_str(&format!("  {}  ({}, {})\n", part("path"), part("scope"), place.trim_end()));
        }
    }
    text
}

/// `margay subscriptions`.
pub fn subscriptions(command: &SubscriptionsCommand) -> Result<(), ClientError> {
    match command {
        SubscriptionsCommand::List(list) => list_all(list),
        SubscriptionsCommand::Add(add) => add_one(add),
        SubscriptionsCommand::Regenerate(regenerate) => regenerate_one(regenerate),
    }
}

fn list_all(command: &ListSubscriptions) -> Result<(), ClientError> {
    let client = AdminClient::new(&command.admin)?;
    let mut all = Vec::new();
    loop {
        let path = format!("/management/subscriptions?$top={PAGE}&$skip={}", all.len());
        let page = client.get(&path)?.body;
        let items = page["value"].as_array().cloned().unwrap_or_default();
        let is_last = items.len() < PAGE;
        all.extend(items);
        if is_last {
            break;
        }
    }
    if command.admin.json {
        output::write_stdout(&format!("{:#}\n", Value::Array(all)));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let text = match rows.is_empty() {
        true => "no subscriptions\n".to_owned(),
        false => table(&["SUBSCRIPTION", "SCOPE", "STATE", "OWNER"], &rows),
    };
    output::write_stdout(&text);
    Ok(())
}

fn row(subscription: &Value) -> Vec<String> {
    let property = |name: &str| printable(subscription["properties"][name].as_str().unwrap_or("-"));
    let name = printable(subscription["name"].as_str().unwrap_or_default());
    vec![name, property("scope"), property("state"), property("ownerId")]
}

fn add_one(command: &AddSubscription) -> Result<(), ClientError> {
    let client = AdminClient::new(&command.admin)?;
    let path = format!("/management/subscriptions/{}", percent_encoded(&command.id));
    if client.get(&path).is_ok() {
        return Err(ClientError::Usage(format!("there is a subscription \"{}\" already", command.id)));
    }
    let name = command.name.as_ref().unwrap_or(&command.id);
    let mut properties = json!({ "scope": command.scope, "displayName": name });
    if let Some(owner) = &command.owner {
        properties["ownerId"] = Value::from(format!("/users/{owner}"));
    }
    client.put(&path, &json!({ "properties": properties }).to_string(), None)?;
    show_keys(&client, &command.id, command.admin.json)
}

fn regenerate_one(command: &RegenerateSubscription) -> Result<(), ClientError> {
    let client = AdminClient::new(&command.admin)?;
    let action = match command.key {
        WhichKey::Primary => "regeneratePrimaryKey",
        WhichKey::Secondary => "regenerateSecondaryKey",
    };
    client
        .post(&format!("/management/subscriptions/{}/{action}", percent_encoded(&command.id)), Some("{}"))?;
    show_keys(&client, &command.id, command.admin.json)
}

/// Prints the keys of a subscription.
fn show_keys(client: &AdminClient, id: &str, is_json: bool) -> Result<(), ClientError> {
    let path = format!("/management/subscriptions/{}/listSecrets", percent_encoded(id));
    let keys = client.post(&path, Some("{}"))?.body;
    let key = |name: &str| printable(keys[name].as_str().unwrap_or("-"));
    output::write_stdout(&match is_json {
        true => format!("{keys:#}\n"),
        false => format!("primary    {}\nsecondary  {}\n", key("primaryKey"), key("secondaryKey")),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_policies_are_listed_by_section() {
        let page = json!({ "inbound": [
            { "path": "set-header[1]", "scope": "api", "file": "policies/apis/a.json", "pointer": "/inbound/0" }
        ] });
        assert_eq!(
            effective_text(&page),
            "inbound\n  set-header[1]  (api, policies/apis/a.json /inbound/0)\nbackend\noutbound\non-error\n"
        );
    }
}
