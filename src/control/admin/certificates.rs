//! The certificates of the listeners.

use super::{context::AdminContext, error::AdminError, page::JsonPage};
use crate::{
    base::date::Timestamp,
    net::tls::{
        certificate::certificate_info,
        server::{ListenerCertificate, ServerTls},
        trust::certificates,
    },
    plan::blueprint::Blueprint,
};
use axum::extract::State;
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The certificates of all listeners, the administration included.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CertificateList {
    pub certificates: Vec<Certificate>,
}

/// A certificate of a listener.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Certificate {
    pub listener: String,
    /// The file as configured.
    pub certificate: String,
    /// The host names for which it is presented.
    pub hosts: Vec<String>,
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    /// RFC 3339.
    pub not_before: String,
    /// RFC 3339.
    pub not_after: String,
    /// Negative after the end.
    pub expires_in_seconds: i64,
    /// `valid`, `expiring` (less than 14 days), `expired` or `not_yet_valid`.
    pub state: String,
}

/// Less than this is reported as expiring.
const EXPIRING: i64 = 14 * 86_400;

/// The certificates of the listeners with their validity.
#[utoipa::path(get, path = "/v1/certificates", tag = "status", responses((status = 200, body = CertificateList)))]
pub async fn list_certificates(
    State(context): State<AdminContext>,
) -> Result<JsonPage<CertificateList>, AdminError> {
    let candidate = context.candidate()?;
    let blueprint = candidate.blueprint.as_ref();
    Ok(JsonPage(CertificateList { certificates: blueprint.map(all).unwrap_or_default() }))
}

fn all(blueprint: &Blueprint) -> Vec<Certificate> {
    let now = unix_seconds(SystemTime::now());
    let listeners = blueprint.listeners.iter().map(|listener| (&*listener.name, listener.tls.as_deref()));
    let administration = ("administration", blueprint.administration.tls.as_deref());
    let of = |(name, tls): (&str, Option<&ServerTls>)| -> Vec<Certificate> {
        let all = tls.map_or(&[][..], |tls| &tls.certificates);
        all.iter().filter_map(|certificate| describe(name, certificate, now)).collect()
    };
    listeners.chain([administration]).flat_map(of).collect()
}

fn describe(listener: &str, certificate: &ListenerCertificate, now: i64) -> Option<Certificate> {
    let info = certificate_info(certificates(&certificate.certified_key.chain).ok()?.first()?)?;
    let expires_in_seconds = info.not_after - now;
    let state = match expires_in_seconds {
        _ if now < info.not_before => "not_yet_valid",
        left if left < 0 => "expired",
        left if left < EXPIRING => "expiring",
        _ => "valid",
    };
    Some(Certificate {
        listener: listener.to_owned(),
        certificate: certificate.label.clone(),
        hosts: certificate.server_names.clone(),
        subject: info.subject,
        issuer: info.issuer,
        serial: info.serial,
        not_before: date(info.not_before),
        not_after: date(info.not_after),
        expires_in_seconds,
        state: state.to_owned(),
    })
}

fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn date(unix_seconds: i64) -> String {
    Timestamp(UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0))).to_string()
}
