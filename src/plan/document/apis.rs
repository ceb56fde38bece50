//! The entities of API management: APIs, products, subscriptions, users, named values, backends.

use crate::{
    base::units::SizeText,
    config::{
        Spanned, SpannedMap,
        de::TEXT_OR_OBJECT_NEWTYPE,
        values::{JsonText, List, Setting, StageSettings},
    },
};
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Visitor};
use std::{borrow::Cow, fmt};

/// Entities by their ids.
pub type Entities<T> = Setting<SpannedMap<Spanned<T>>>;

/// An API: its own settings are those of [`ApiDocument`], all others are options of routes.
pub type ApiObject = StageSettings;

/// The settings of an API that routes do not have.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ApiDocument {
    /// The name for people. Default: the id.
    pub display_name: Setting<String>,
    /// What it is, for people.
    pub description: Setting<String>,
    /// Words by which people find it.
    pub tags: List<String>,
    /// The contact of the API.
    pub contact: Setting<JsonText>,
    /// The license of the API.
    pub license: Setting<JsonText>,
    /// The URL of the terms of service.
    pub terms_of_service_url: Setting<String>,
    /// The path in front of its operations, without slashes at its ends. Default: the id.
    pub path: Setting<String>,
    /// The URL of the service: `http(s)://host[:port][/base]`. Required, unless `Backend` is set.
    pub service_url: Setting<String>,
    /// One of `Backends`, else of `Clusters`.
    pub backend: Setting<String>,
    /// A document that the operations are read from. Not supported yet.
    pub open_api: Setting<String>,
    /// A document that the operations are read from. Not supported yet.
    pub wsdl: Setting<String>,
    /// The operations by their ids.
    pub operations: Entities<OperationDocument>,
    /// `Http`. `WebSocket` is not supported yet.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// Whether requests need a subscription key. Default: true.
    pub subscription_required: Setting<bool>,
    /// Where the key is. Default: the header `Ocp-Apim-Subscription-Key`, the parameter `subscription-key`.
    pub subscription_key_parameter_names: Setting<KeyNamesDocument>,
    /// Whether the service gets the key. Default: false.
    pub forward_subscription_key: Setting<bool>,
    /// One of `VersionSets`.
    pub version_set: Setting<String>,
    /// The version in its set. Default: the original, without a version.
    pub version: Setting<String>,
    /// Whether a revision is available. Default: true.
    pub is_online: Setting<bool>,
    /// What a revision changes.
    pub revision_description: Setting<String>,
    /// The workspace whose document applies.
    pub workspace: Setting<String>,
    /// The form of error bodies: `Problem` or `ApiManagement`. Default: that of `ApiManagement`.
    pub error_bodies: Setting<String>,
}

/// Where the subscription key is.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyNamesDocument {
    /// The header. Default: `Ocp-Apim-Subscription-Key`.
    pub header: Setting<String>,
    /// The query parameter. Default: `subscription-key`.
    pub query: Setting<String>,
}

/// An operation of an API.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct OperationDocument {
    /// The method. Required.
    pub method: Setting<String>,
    /// The path behind that of the API, with `{placeholders}`, `*` and a query. Required.
    pub url_template: Setting<String>,
    /// The name for people. Default: the id.
    pub display_name: Setting<String>,
    /// What it does, for people.
    pub description: Setting<String>,
    /// Status → `content` with examples, as in OpenAPI.
    pub responses: Setting<JsonText>,
}

/// A product: APIs that are subscribed to.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProductDocument {
    /// The name for people. Default: the id.
    pub display_name: Setting<String>,
    /// What it is, for people.
    pub description: Setting<String>,
    /// Terms that subscribers accept.
    pub terms: Setting<String>,
    /// The ids of its APIs.
    pub apis: List<String>,
    /// Whether its APIs need a key. Default: true.
    pub subscription_required: Setting<bool>,
    /// Whether a publisher approves subscriptions. Default: false.
    pub approval_required: Setting<bool>,
    /// The subscriptions that a user may have. Default: any number.
    pub subscriptions_limit: Setting<i64>,
    /// `Published` or `NotPublished`. Default: `NotPublished`.
    pub state: Setting<String>,
    /// The groups that see it. Default: `Administrators`.
    pub groups: List<String>,
}

/// A subscription: keys that open a product, an API or all APIs.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SubscriptionDocument {
    /// The product that it opens.
    pub product: Setting<String>,
    /// The API that it opens.
    pub api: Setting<String>,
    /// Whether it opens all APIs.
    pub all_apis: Setting<bool>,
    /// The user who owns it. Default: none.
    pub owner: Setting<String>,
    /// The name for people. Default: the id.
    pub display_name: Setting<String>,
    /// The first key, at least 16 characters.
    pub primary_key: Setting<String>,
    /// The second key, at least 16 characters.
    pub secondary_key: Setting<String>,
    /// The SHA-256 of the first key, 64 hexadecimal digits.
    pub primary_key_sha256: Setting<String>,
    /// The SHA-256 of the second key, 64 hexadecimal digits.
    pub secondary_key_sha256: Setting<String>,
    /// `Submitted`, `Active`, `Suspended`, `Rejected`, `Cancelled` or `Expired`. Default: `Active`.
    pub state: Setting<String>,
    /// When it begins, in RFC 3339.
    pub start_date: Setting<String>,
    /// When it ends, in RFC 3339.
    pub expiration_date: Setting<String>,
    /// Whether requests may be traced with its keys. Default: false.
    pub allow_tracing: Setting<bool>,
}

/// A user.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ApiUserDocument {
    /// The e-mail address.
    pub email: Setting<String>,
    /// The first name.
    pub first_name: Setting<String>,
    /// The last name.
    pub last_name: Setting<String>,
    /// A note of the publisher.
    pub note: Setting<String>,
    /// The ids of groups.
    pub groups: List<String>,
    /// The password as an argon2 or bcrypt hash.
    pub password_hash: Setting<String>,
    /// `Active` or `Blocked`. Default: `Active`.
    pub state: Setting<String>,
}

/// A group of users.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct GroupDocument {
    /// The name for people. Default: the id.
    pub display_name: Setting<String>,
    /// What it is, for people.
    pub description: Setting<String>,
}

/// A named value: a text, or an object.
#[derive(Clone, Debug, Default)]
pub struct NamedValueDocument {
    pub value: Setting<String>,
    pub secret: Setting<bool>,
    pub tags: List<String>,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct NamedValueObject {
    /// The value.
    value: Setting<String>,
    /// Whether it is shown as `*****`. Default: false.
    secret: Setting<bool>,
    /// Words by which people find it.
    tags: List<String>,
}

struct NamedValueVisitor;

impl<'de> Visitor<'de> for NamedValueVisitor {
    type Value = NamedValueDocument;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text or an object")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<NamedValueDocument, E> {
        let value = Some(Spanned::new(text.to_owned(), crate::config::Span::default()));
        Ok(NamedValueDocument { value, ..NamedValueDocument::default() })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<NamedValueDocument, D::Error> {
        let object = NamedValueObject::deserialize(deserializer)?;
        Ok(NamedValueDocument { value: object.value, secret: object.secret, tags: object.tags })
    }
}

impl<'de> Deserialize<'de> for NamedValueDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TEXT_OR_OBJECT_NEWTYPE, NamedValueVisitor)
    }
}

impl JsonSchema for NamedValueDocument {
    fn schema_name() -> Cow<'static, str> {
        "NamedValueDocument".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let object = generator.subschema_for::<NamedValueObject>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, object] })
    }
}

/// Versions of an API.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct VersionSetDocument {
    /// The name for people. Default: the id.
    pub display_name: Setting<String>,
    /// `Segment`, `Query` or `Header`. Required.
    pub scheme: Setting<String>,
    /// The query parameter with the version.
    pub query_name: Setting<String>,
    /// The header with the version.
    pub header_name: Setting<String>,
}

/// `ApiManagement`: what holds for all APIs.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ApiManagementDocument {
    /// The name of the gateway in `context.Deployment`. Default: `margay`.
    pub name: Setting<String>,
    /// The region in `context.Deployment`. Default: none.
    pub region: Setting<String>,
    /// The form of error bodies: `Problem` or `ApiManagement`. Default: `Problem`.
    pub error_bodies: Setting<String>,
    /// What statements may hold of one body. Default: `4MiB`.
    pub max_body_size: Setting<SizeText>,
    /// The hosts that call-outs may call.
    pub callouts: Setting<CalloutsDocument>,
    /// The address of Entra ID for `validate-azure-ad-token`. Default: `https://login.microsoftonline.com`.
    pub entra_authority: Setting<String>,
    /// Where entities that are made at run time and the counts of quotas are kept.
    pub store: Setting<StoreDocument>,
}

/// Where entities that are made at run time and the counts of quotas are kept.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct StoreDocument {
    /// `Sqlite`: a file in `DataDirectory`. `Memory`: nothing survives a restart. Default: `Sqlite`.
    #[serde(rename = "Type")]
    pub store_type: Setting<String>,
    /// The file of the database, relative to `DataDirectory`. Default: `margay.db`.
    pub file: Setting<String>,
    /// `Batched`: counts are written within 100 ms. `Strict`: a call waits until its count is written. Default: `Batched`.
    pub durability: Setting<String>,
}

/// The hosts that call-outs may call.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct CalloutsDocument {
    /// Host patterns such as `*.example.com`, and networks. Default: `[]`, all.
    pub allow: List<String>,
    /// Host patterns and networks that are never called. Default: link-local addresses.
    pub deny: List<String>,
}
