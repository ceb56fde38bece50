//! The service of an agent as an endpoint: opening a connection is opening a stream.

use super::{
    access::Requester, address::AgentAddress, open::StreamRequest, registry::AgentRegistry,
    virtual_stream::AgentStream,
};
use crate::pipeline::error::GatewayError;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// The service of an agent, and where the agent is connected.
#[derive(Debug)]
pub struct AgentEndpoint {
    pub registry: Arc<AgentRegistry>,
    pub address: AgentAddress,
}

impl AgentEndpoint {
    /// Opens a stream to the service.
    pub(in crate::net) async fn open(
        &self,
        client: Option<SocketAddr>,
        timeout: Duration,
    ) -> Result<AgentStream, GatewayError> {
        let AgentAddress { agent, service } = &self.address;
        let request = StreamRequest { agent, service, requester: &Requester::Route, client, timeout };
        self.registry.open(request).await.map_err(|error| error.into_gateway_error(agent, service))
    }
}
