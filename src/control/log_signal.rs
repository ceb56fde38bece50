//! SIGUSR1: the access log files are opened again, after logrotate or another program renamed them.

use crate::telemetry::TelemetryState;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Opens the files again at each signal.
pub async fn reopen_logs(telemetry: Arc<TelemetryState>) {
    let Ok(mut reopen) = signal(SignalKind::user_defined1()) else {
        log::error!("cannot wait for SIGUSR1: the access log is not reopened");
        return;
    };
    while reopen.recv().await.is_some() {
        log::info!("SIGUSR1: opening the access log again");
        telemetry.reopen_logs();
    }
}
