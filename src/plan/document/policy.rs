//! A policy file: the options of a route that several routes share by name.

use super::shared::*;
use crate::config::values::{
    BoxedSetting, DurationSetting, List, ListMap, Setting, StageSettings, StringList,
};
use crate::plan::routing::EscapedSeparators;
use crate::stages::header_transform::options::HeaderEditMap;
use schemars::JsonSchema;
use serde::Deserialize;

document! { policy:
    /// A policy: options that routes, dynamic routes and `GlobalConfiguration` apply by the name of the file. A policy has
    /// no templates, methods, hosts, `Key` or `Compatibility`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct PolicyDocument {
        /// The JSON Schema of this file; used by editors only.
        #[serde(rename = "$schema")]
        pub schema: Setting<String>,
        use authorization_settings;
        use claims_settings;
        use request_header_settings;
        use response_header_settings;
        use deadline_settings;
        use timeout_settings;
        use certificate_settings;
        use custom_stage_settings;
        use request_id_settings;
        use metadata_settings;
        use host_settings;
        use separator_settings;
        use transport_settings;
        use waf_settings;
    }
}
