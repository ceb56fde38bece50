//! The kinds of entities: their names in the tree and in the configuration, and their properties.

use serde_json::{Map, Value};

/// How a property is written in both places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// A word, which begins with a small letter in the tree.
    Word,
    /// The last part of the id of another entity.
    Id(&'static str),
    /// An object, whose members begin with small letters in the tree.
    Object,
    /// Never shown.
    Secret,
}

/// A property: its name in the tree, and in the configuration.
pub type Property = (&'static str, &'static str, Form);

/// A kind of entities.
#[derive(Debug)]
pub struct Kind {
    /// The name in the tree.
    pub name: &'static str,
    /// The section of the configuration.
    pub section: &'static str,
    pub properties: &'static [Property],
    /// Lists of ids of other entities: the name in the tree, and that of the setting.
    pub links: &'static [(&'static str, &'static str)],
}

static KINDS: [Kind; 8] = [
    Kind {
        name: "products",
        section: "Products",
        properties: &[
            ("displayName", "DisplayName", Form::Plain),
            ("description", "Description", Form::Plain),
            ("terms", "Terms", Form::Plain),
            ("subscriptionRequired", "SubscriptionRequired", Form::Plain),
            ("approvalRequired", "ApprovalRequired", Form::Plain),
            ("subscriptionsLimit", "SubscriptionsLimit", Form::Plain),
            ("state", "State", Form::Word),
        ],
        links: &[("apis", "Apis"), ("groups", "Groups")],
    },
    Kind {
        name: "subscriptions",
        section: "Subscriptions",
        properties: &[
            ("displayName", "DisplayName", Form::Plain),
            ("ownerId", "Owner", Form::Id("users")),
            ("state", "State", Form::Word),
            ("startDate", "StartDate", Form::Plain),
            ("expirationDate", "ExpirationDate", Form::Plain),
            ("allowTracing", "AllowTracing", Form::Plain),
            ("primaryKey", "PrimaryKey", Form::Secret),
            ("secondaryKey", "SecondaryKey", Form::Secret),
        ],
        links: &[],
    },
    Kind {
        name: "users",
        section: "Users",
        properties: &[
            ("email", "Email", Form::Plain),
            ("firstName", "FirstName", Form::Plain),
            ("lastName", "LastName", Form::Plain),
            ("note", "Note", Form::Plain),
            ("state", "State", Form::Word),
        ],
        links: &[("groups", "Groups")],
    },
    Kind {
        name: "groups",
        section: "Groups",
        properties: &[
            ("displayName", "DisplayName", Form::Plain),
            ("description", "Description", Form::Plain),
        ],
        links: &[],
    },
    Kind {
        name: "namedValues",
        section: "NamedValues",
        properties: &[
            ("value", "Value", Form::Secret),
            ("secret", "Secret", Form::Plain),
            ("tags", "Tags", Form::Plain),
        ],
        links: &[],
    },
    Kind { name: "backends", section: "Backends", properties: &[("url", "Url", Form::Plain)], links: &[] },
    Kind {
        name: "apiVersionSets",
        section: "VersionSets",
        properties: &[
            ("displayName", "DisplayName", Form::Plain),
            ("versioningScheme", "Scheme", Form::Plain),
            ("versionQueryName", "QueryName", Form::Plain),
            ("versionHeaderName", "HeaderName", Form::Plain),
        ],
        links: &[],
    },
    Kind {
        name: "apis",
        section: "Apis",
        properties: &[
            ("displayName", "DisplayName", Form::Plain),
            ("description", "Description", Form::Plain),
            ("path", "Path", Form::Plain),
            ("serviceUrl", "ServiceUrl", Form::Plain),
            ("subscriptionRequired", "SubscriptionRequired", Form::Plain),
            ("subscriptionKeyParameterNames", "SubscriptionKeyParameterNames", Form::Object),
            ("termsOfServiceUrl", "TermsOfServiceUrl", Form::Plain),
            ("contact", "Contact", Form::Object),
            ("license", "License", Form::Object),
            ("isOnline", "IsOnline", Form::Plain),
            ("apiRevisionDescription", "RevisionDescription", Form::Plain),
            ("apiVersion", "Version", Form::Plain),
            ("apiVersionSetId", "VersionSet", Form::Id("apiVersionSets")),
        ],
        links: &[],
    },
];

impl Kind {
    /// The kind with this name in the tree.
    pub fn of(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }

    /// The properties of an entity of the configuration, as the tree shows them.
    pub fn to_properties(&self, id: &str, entity: &Value) -> Map<String, Value> {
        let mut shown = Map::new();
        for (name, setting, form) in self.properties {
            let value = get(entity, setting).filter(|value| !value.is_null());
            match (value, form) {
                (_, Form::Secret) | (None, _) => {}
                (Some(value), Form::Plain) => {
                    shown.insert((*name).to_owned(), value.clone());
                }
                (Some(value), Form::Object) => {
                    shown.insert((*name).to_owned(), with_small_names(value));
                }
                (Some(value), Form::Word) => {
                    let word = value.as_str().unwrap_or_default();
                    shown.insert((*name).to_owned(), Value::from(with_first(word, char::to_lowercase)));
                }
                (Some(value), Form::Id(kind)) => {
                    let id = format!("/{kind}/{}", value.as_str().unwrap_or_default());
                    shown.insert((*name).to_owned(), Value::from(id));
                }
            }
        }
        self.add_defaults(id, entity, &mut shown);
        shown
    }

    /// What follows from the id, and what is true without a setting.
    fn add_defaults(&self, id: &str, entity: &Value, shown: &mut Map<String, Value>) {
        let mut default = |name: &str, value: Value| {
            shown.entry(name.to_owned()).or_insert(value);
        };
        if !matches!(self.name, "users" | "backends") {
            default("displayName", Value::from(id));
        }
        match self.name {
            "products" => {
                default("subscriptionRequired", Value::from(true));
                default("approvalRequired", Value::from(false));
                default("state", Value::from("notPublished"));
            }
            "subscriptions" => {
                default("scope", Value::from(scope(entity)));
                default("state", Value::from("active"));
                default("allowTracing", Value::from(false));
            }
            "users" => default("state", Value::from("active")),
            "namedValues" => {
                let is_secret = get(entity, "Secret").and_then(Value::as_bool) == Some(true);
                default("secret", Value::from(false));
                if !is_secret {
                    let value = if entity.is_string() { Some(entity) } else { get(entity, "Value") };
                    default("value", value.cloned().unwrap_or_default());
                }
            }
            "apis" => {
                default("path", Value::from(id));
                default("subscriptionRequired", Value::from(true));
            }
            _ => {}
        }
        self.fixed(id).into_iter().for_each(|(name, value)| default(name, value));
    }

    /// Properties that follow from the id, or have one value.
    pub fn fixed(&self, id: &str) -> Vec<(&'static str, Value)> {
        let done = ("provisioningState", Value::from("Succeeded"));
        match self.name {
            "namedValues" => vec![("displayName", Value::from(id)), done],
            "backends" => vec![("protocol", Value::from("http"))],
            "apis" => vec![
                ("apiRevision", Value::from(id.split_once(";rev=").map_or("1", |(_, revision)| revision))),
                ("isCurrent", Value::from(!id.contains(";rev="))),
                ("type", Value::from("http")),
                done,
            ],
            _ => Vec::new(),
        }
    }

    /// The names of its properties.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let scope = (self.name == "subscriptions").then_some("scope");
        let fixed = self.fixed("").into_iter().map(|(name, _)| name);
        self.properties.iter().map(|(name, ..)| *name).chain(scope).chain(fixed)
    }
}

/// An object whose members begin with small letters.
fn with_small_names(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let small = members.iter().map(|(name, value)| (with_first(name, char::to_lowercase), value.clone()));
    Value::Object(small.collect())
}

/// The scope of a subscription.
fn scope(entity: &Value) -> String {
    let text = |name: &str| get(entity, name).and_then(Value::as_str);
    match (text("Product"), text("Api")) {
        (Some(product), _) => format!("/products/{product}"),
        (_, Some(api)) => format!("/apis/{api}"),
        _ => "/apis".to_owned(),
    }
}

/// A member, without regard to case.
pub fn get<'v>(entity: &'v Value, name: &str) -> Option<&'v Value> {
    entity.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A word with another first letter.
pub fn with_first<I: Iterator<Item = char>>(word: &str, change: impl Fn(char) -> I) -> String {
    let mut chars = word.chars();
    chars.next().map(change).into_iter().flatten().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_subscription_is_shown_without_its_keys() {
        let kind = Kind::of("subscriptions").unwrap();
        let entity = json!({ "Product": "gold", "PrimaryKey": "a key of sixteen", "State": "Active" });
        let shown = Value::Object(kind.to_properties("s", &entity));
        assert_eq!(
            shown,
            json!({ "state": "active", "displayName": "s", "scope": "/products/gold", "allowTracing": false })
        );
    }
}
