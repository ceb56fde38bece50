//! A request of the data plane: its hub, its query, the names in its path.

use super::error::DataPlaneError;
use crate::{
    base::percent::percent_decoded,
    pipeline::error::ErrorCode,
    realtime::{
        context::HubService,
        filter::{Filter, FilterCache},
        names::is_group_name,
        operation::{Operation, Operations, Outcome, Recipients, Selection},
        user_groups::UserGroups,
    },
};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use std::{str::FromStr, sync::Arc};

/// A request with a valid token for an existing hub.
#[derive(Debug)]
pub struct Call {
    pub service: Arc<HubService>,
    pub operations: Arc<dyn Operations>,
    pub filters: Arc<FilterCache>,
    pub user_groups: Arc<UserGroups>,
    /// In lower case.
    pub hub: String,
    /// The decoded parameters of the query.
    pub query: Vec<(String, String)>,
    /// The URL of the service as servers see it, without a trailing slash.
    pub base_url: String,
    /// The path within the service, undecoded.
    pub service_path: String,
}

impl Call {
    /// Executes an operation on the connections of the hub.
    pub async fn execute(&self, operation: Operation) -> Result<Outcome, DataPlaneError> {
        Ok(self.operations.execute(&self.service.config.name, &self.hub, operation).await?)
    }

    /// The first parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// All parameters of that name.
    pub fn parameters<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c str> {
        self.query.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// A parameter that must be an integer between these bounds.
    pub fn integer(&self, name: &str, min: u32, max: u32) -> Result<Option<u32>, DataPlaneError> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        match u32::from_str(text) {
            Ok(value) if (min..=max).contains(&value) => Ok(Some(value)),
            _ => Err(DataPlaneError::invalid_request(match max {
                u32::MAX => format!("Invalid {name}: must be an integer of at least {min}."),
                _ => format!("Invalid {name}: must be an integer from {min} to {max}."),
            })),
        }
    }

    /// The recipients without those that the query excludes.
    pub fn selection(&self, recipients: Recipients) -> Result<Selection, DataPlaneError> {
        Ok(Selection {
            recipients,
            excluded: self.parameters("excluded").map(Into::into).collect(),
            filter: self.filter(self.parameter("filter"))?,
        })
    }

    /// A compiled filter; an empty one counts as none.
    pub fn filter(&self, text: Option<&str>) -> Result<Option<Arc<Filter>>, DataPlaneError> {
        let text = text.filter(|text| !text.is_empty());
        Ok(text.map(|text| self.filters.compile(text)).transpose()?)
    }
}

/// The decoded parameters of a query.
pub fn query_parameters(query: &str) -> Result<Vec<(String, String)>, DataPlaneError> {
    let decoded = |text: &str| String::from_utf8(percent_decoded(text.as_bytes(), true).into_owned());
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    });
    pairs
        .collect::<Result<_, std::string::FromUtf8Error>>()
        .map_err(|_| DataPlaneError::invalid_request("The query is not valid UTF-8."))
}

/// The names in the path, decoded once.
#[derive(Debug)]
pub struct PathNames(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for PathNames {
    type Rejection = DataPlaneError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathNames, DataPlaneError> {
        match Path::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(PathNames(names)),
            Err(_) => Err(DataPlaneError::invalid_request("The path is not valid UTF-8.")),
        }
    }
}

impl PathNames {
    /// The name in this position of the path; routes have what their handlers read.
    pub fn get(&self, position: &str) -> Option<Arc<str>> {
        self.0.iter().find(|(known, _)| known == position).map(|(_, name)| name.as_str().into())
    }

    /// The connection, or an empty name.
    pub fn connection(&self) -> Arc<str> {
        self.get("connection").unwrap_or_else(|| "".into())
    }

    /// The group, if its name is valid.
    pub fn group(&self) -> Result<Arc<str>, DataPlaneError> {
        valid_group(self.get("group").unwrap_or_else(|| "".into()))
    }

    /// The connections that the path names; without a name, all of them.
    pub fn recipients(&self) -> Result<Recipients, DataPlaneError> {
        if let Some(connection) = self.get("connection") {
            return Ok(Recipients::Connection(connection));
        }
        if let Some(user) = self.get("user") {
            return Ok(Recipients::User(user));
        }
        match self.get("group") {
            Some(group) => Ok(Recipients::Group(valid_group(group)?)),
            None => Ok(Recipients::All),
        }
    }
}

/// The group, if its name is valid.
pub fn valid_group(group: Arc<str>) -> Result<Arc<str>, DataPlaneError> {
    match is_group_name(&group) {
        true => Ok(group),
        false => Err(DataPlaneError::new(
            ErrorCode::HubInvalidGroup,
            "Invalid group name: must have 1 to 1024 characters and not only white space.",
        )),
    }
}
