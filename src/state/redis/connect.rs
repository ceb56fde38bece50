//! Opens connections: to a server, to the primary that Sentinel names, to a cluster.

use super::{
    super::config::{Credentials, ServerAddress, SharedStateConfig, SharedStateMode},
    dial::{CONNECT_TIMEOUT, Duplex, dial},
};
use crate::net::tls::{client::ClientTls, crypto, trust::TrustAnchors};
use ::redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSub},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    {ClientTlsConfig, TlsCertificates},
};
use std::{pin::Pin, time::Duration};

/// Commands that may wait to be written, on one connection.
const QUEUE_CAPACITY: usize = 4096;

/// A connection that all tasks share.
#[derive(Clone)]
pub(in crate::state) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Ends when the connection is closed.
pub(in crate::state) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Connection {
    /// Sends a command.
    pub async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Connection::Server(connection) => command.query_async(connection).await,
            Connection::Cluster(connection) => command.query_async(connection).await,
        }
    }

    /// Sends commands together; their replies in order.
    pub async fn pipeline(&mut self, commands: &::redis::Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Connection::Server(connection) => commands.query_async(connection).await,
            Connection::Cluster(connection) => commands.query_async(connection).await,
        }
    }
}

/// Opens a connection, within [`CONNECT_TIMEOUT`].
pub(in crate::state) async fn connect(config: &SharedStateConfig) -> RedisResult<(Connection, Driver)> {
    match config.mode {
        SharedStateMode::Cluster => within(connect_cluster(config)).await,
        SharedStateMode::Single | SharedStateMode::Sentinel => within(connect_server(config)).await,
    }
}

/// Opens a connection for subscriptions.
pub(in crate::state) async fn connect_subscriber(config: &SharedStateConfig) -> RedisResult<PubSub> {
    within(async {
        let stream = dial_primary(config).await?;
        PubSub::new(&login(&config.credentials, config.database), stream).await
    })
    .await
}

async fn within<T>(work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match tokio::time::timeout(CONNECT_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(failure("the connection was not established within 1s".to_owned())),
    }
}

fn failure(text: String) -> RedisError {
    RedisError::from((ErrorKind::Io, "connection failed", text))
}

fn login(credentials: &Credentials, database: u32) -> RedisConnectionInfo {
    let mut info = RedisConnectionInfo::default()
        .set_db(database.into())
        .set_lib_name("margay", env!("CARGO_PKG_VERSION"));
    if let Some(user) = &credentials.user {
        info = info.set_username(user);
    }
    if let Some(password) = &credentials.password {
        info = info.set_password(password.reveal());
    }
    info
}

async fn connect_server(config: &SharedStateConfig) -> RedisResult<(Connection, Driver)> {
    let stream = dial_primary(config).await?;
    let (mut connection, driver) = open(stream, &config.credentials, config.database).await?;
    // A server that needs a password and gets none refuses only commands.
    let handle = tokio::spawn(driver);
    let reply = ::redis::cmd("PING").query_async::<Value>(&mut connection).await;
    match reply {
        Ok(_) => Ok((Connection::Server(connection), Box::pin(async move { drop(handle.await) }))),
        Err(error) => {
            handle.abort();
            Err(error)
        }
    }
}

async fn open(
    stream: Box<dyn Duplex>,
    credentials: &Credentials,
    database: u32,
) -> RedisResult<(MultiplexedConnection, Driver)> {
    let settings =
        AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(QUEUE_CAPACITY);
    let login = login(credentials, database);
    let (connection, driver) = MultiplexedConnection::new_with_config(&login, stream, settings).await?;
    Ok((connection, Box::pin(driver)))
}

/// A stream to the server that accepts writes, or to any node of a cluster.
async fn dial_primary(config: &SharedStateConfig) -> RedisResult<Box<dyn Duplex>> {
    let servers = match config.mode {
        SharedStateMode::Sentinel => vec![find_primary(config).await?],
        SharedStateMode::Single | SharedStateMode::Cluster => config.servers.clone(),
    };
    let mut last = failure("no server is configured".to_owned());
    for server in &servers {
        match dial(server, config.tls.as_ref()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = failure(format!("{server}: {error}")),
        }
    }
    Err(last)
}

/// The primary that the first responding Sentinel names.
async fn find_primary(config: &SharedStateConfig) -> RedisResult<ServerAddress> {
    let mut last = failure("no Sentinel is configured".to_owned());
    for sentinel in &config.servers {
        match tokio::time::timeout(CONNECT_TIMEOUT / 3, query_sentinel(config, sentinel)).await {
            Ok(Ok(primary)) => return Ok(primary),
            Ok(Err(error)) => last = error,
            Err(_) => last = failure(format!("the Sentinel {sentinel} does not respond")),
        }
    }
    Err(last)
}

async fn query_sentinel(config: &SharedStateConfig, sentinel: &ServerAddress) -> RedisResult<ServerAddress> {
    let stream =
        dial(sentinel, config.tls.as_ref()).await.map_err(|error| failure(format!("{sentinel}: {error}")))?;
    let (mut connection, driver) = open(stream, &config.sentinel_credentials, 0).await?;
    let driver = tokio::spawn(driver);
    let query = ::redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(&config.primary).to_owned();
    let reply = query.query_async::<Option<(String, u16)>>(&mut connection).await;
    driver.abort();
    let (host, port) = reply?
        .ok_or_else(|| failure(format!("the Sentinel {sentinel} knows no primary \"{}\"", config.primary)))?;
    Ok(ServerAddress::Tcp { host, port })
}

async fn connect_cluster(config: &SharedStateConfig) -> RedisResult<(Connection, Driver)> {
    let nodes = config.servers.iter().filter_map(|server| cluster_node(server, config.tls.is_some()));
    let mut builder = ClusterClientBuilder::new(nodes.collect::<Vec<_>>())
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(config.timeout.max(Duration::from_millis(100)))
        .retries(2)
        .min_retry_wait(5)
        .max_retry_wait(50);
    if let Some(user) = &config.credentials.user {
        builder = builder.username(user);
    }
    if let Some(password) = &config.credentials.password {
        builder = builder.password(password.reveal());
    }
    if let Some(tls) = &config.tls {
        // The library opens the connections to the nodes.
        crypto::install_default();
        builder = builder.certs(certificates(tls));
    }
    let mut connection = builder.build()?.get_async_connection().await?;
    connection.req_packed_command(&::redis::cmd("PING")).await?;
    // The connection to a cluster reconnects by itself.
    Ok((Connection::Cluster(connection), Box::pin(std::future::pending())))
}

fn cluster_node(server: &ServerAddress, is_tls: bool) -> Option<::redis::ConnectionInfo> {
    let ServerAddress::Tcp { host, port } = server else { return None };
    let address = match is_tls {
        true => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host.clone(), *port),
    };
    address.into_connection_info().ok()
}

fn certificates(tls: &ClientTls) -> TlsCertificates {
    let client_tls = tls
        .client_certificate
        .as_ref()
        .map(|pair| ClientTlsConfig { client_cert: pair.chain.to_vec(), client_key: pair.key.to_vec() });
    let root_cert = match &tls.trust {
        TrustAnchors::Custom(pem) => Some(pem.to_vec()),
        _ => None,
    };
    TlsCertificates { client_tls, root_cert }
}
