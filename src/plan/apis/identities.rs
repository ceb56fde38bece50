//! Loggers and identities that statements name.

use super::{
    named_values::{NamedValues, service_url},
    subscriptions::choice,
};
use crate::{
    config::{Diagnostics, Span, Spanned, codes},
    plan::{
        check::CheckContext,
        document::backends::{IdentityDocument, LoggerDocument},
    },
    stages::statements::{
        logger::{Logger, LoggerKind},
        token_source::{TokenSource, TokenSourceKind},
    },
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

fn missing(setting: &str, span: Span, diagnostics: &mut Diagnostics) {
    diagnostics.error(codes::API_ENTITY, span, format!("{setting} is missing"));
}

/// The loggers by their ids in lower case.
pub(super) fn loggers(
    scope: &CheckContext,
    folder: &Path,
    diagnostics: &mut Diagnostics,
) -> HashMap<String, Arc<Logger>> {
    let entries = scope.document.loggers.iter().flat_map(|map| map.iter());
    let mut one = |id: &Spanned<String>, logger: &Spanned<LoggerDocument>| {
        let kind = match choice(&logger.kind, &["Stdout", "File"], diagnostics).as_str() {
            "File" => match &logger.path {
                Some(path) => LoggerKind::File(folder.join(&path.value)),
                None => {
                    missing("Path", logger.span, diagnostics);
                    return None;
                }
            },
            _ => LoggerKind::Stdout,
        };
        Some((id.to_lowercase(), Arc::new(Logger::new(id.value.clone(), kind))))
    };
    entries.filter_map(|(id, logger)| one(id, logger)).collect()
}

/// The identities by their ids in lower case.
pub(super) fn identities(
    scope: &CheckContext,
    folder: &Path,
    values: &NamedValues,
    diagnostics: &mut Diagnostics,
) -> HashMap<String, Arc<TokenSource>> {
    let entries = scope.document.identities.iter().flat_map(|map| map.iter());
    let mut all = HashMap::new();
    for (id, identity) in entries {
        let Some(kind) = identity_kind(identity, folder, values, diagnostics) else { continue };
        let source = TokenSource {
            id: id.value.clone(),
            client_id: identity.client_id.as_ref().map(|id| id.value.clone()).unwrap_or_default(),
            kind,
            tokens: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        };
        all.insert(id.to_lowercase(), Arc::new(source));
    }
    all
}

fn identity_kind(
    identity: &Spanned<IdentityDocument>,
    folder: &Path,
    values: &NamedValues,
    diagnostics: &mut Diagnostics,
) -> Option<TokenSourceKind> {
    let url = |name: &str, setting: &Option<Spanned<String>>, diagnostics: &mut Diagnostics| match setting {
        Some(text) => service_url(text, values, diagnostics).map(|url| (*url).clone()),
        None => {
            missing(name, identity.span, diagnostics);
            None
        }
    };
    match choice(&identity.kind, &["ClientCredentials", "TokenFile", "Metadata"], diagnostics).as_str() {
        "TokenFile" => match &identity.file {
            Some(file) => Some(TokenSourceKind::TokenFile(PathBuf::from(folder).join(&file.value))),
            None => {
                missing("File", identity.span, diagnostics);
                None
            }
        },
        "Metadata" => url("Url", &identity.url, diagnostics).map(TokenSourceKind::Metadata),
        _ => {
            let text = |setting: &Option<Spanned<String>>, diagnostics: &mut Diagnostics| {
                setting.as_ref().map(|text| values.fill(text, text.span, diagnostics)).unwrap_or_default()
            };
            let url = url("TokenUrl", &identity.token_url, diagnostics)?;
            let scope = identity
                .scope
                .as_ref()
                .map_or_else(|| "{resource}/.default".to_owned(), |scope| scope.value.clone());
            Some(TokenSourceKind::ClientCredentials {
                url,
                client_id: text(&identity.client_id, diagnostics),
                secret: text(&identity.client_secret, diagnostics),
                scope,
            })
        }
    }
}
