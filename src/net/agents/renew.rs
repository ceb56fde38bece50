//! The stream on which an agent sends new tokens and changes of its services: `GET /renew`, open for the life of the
//! connection.

use super::{
    access::{Proof, admit_agent},
    entry::AgentConnection,
    names::{RENEW_PATH, parse_services},
    registry::AgentRegistry,
};
use http::{Request, Version};
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Longest line.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// One line of the agent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RenewLine {
    token: Option<String>,
    services: Option<String>,
}

/// Reads the lines of the agent. Never ready while the connection is open, whether the agent supports it or not.
pub async fn follow(registry: &Arc<AgentRegistry>, entry: &Arc<AgentConnection>) {
    let _ = read_lines(registry, entry).await;
    std::future::pending::<()>().await;
}

async fn read_lines(registry: &Arc<AgentRegistry>, entry: &Arc<AgentConnection>) -> Result<(), h2::Error> {
    let Some(requests) = entry.requests() else { return Ok(()) };
    let mut requests = requests.ready().await?;
    let request = Request::get(format!("http://agent{RENEW_PATH}")).version(Version::HTTP_2).body(());
    let Ok(request) = request else { return Ok(()) };
    let (response, _open) = requests.send_request(request, false)?;
    // The handle would keep a connection open that accepts no new streams.
    drop(requests);
    let mut body = response.await?.into_body();
    let mut pending = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        let _ = body.flow_control().release_capacity(chunk.len());
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            apply(registry, entry, &line);
        }
        if pending.len() > MAX_LINE_BYTES {
            break;
        }
    }
    Ok(())
}

fn apply(registry: &AgentRegistry, entry: &AgentConnection, line: &[u8]) {
    let Ok(RenewLine { token, services }) = serde_json::from_slice(line) else { return };
    if let Some(services) = services {
        entry.set_services(parse_services(&services));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let proof = token.and_then(|token| Proof::of_authorization(&token, now).ok().flatten());
    if let Some(proof) = proof {
        let (config, proofs) = (registry.config(), [proof]);
        if admit_agent(&config, (&entry.agent, None), &proofs, &[&entry.host]).is_ok() {
            let [proof] = proofs;
            entry.set_proof(proof);
        }
    }
}
