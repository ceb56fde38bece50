//! Credentials for the Kubernetes API server: the configured token, or the service account of the gateway's pod.

use super::settings::KubernetesSettings;
use crate::{
    base::{secret::Secret, url::HttpUrl},
    net::{http_client::Client, tls::trust::TrustAnchors},
};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The service account of a pod, see Kubernetes, "Accessing the API from a Pod".
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The maximum size of its files.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The namespace if none is configured.
const DEFAULT_NAMESPACE: &str = "default";
/// The default port of the API server.
const DEFAULT_PORT: u16 = 443;

/// Where the credentials come from.
#[derive(Debug)]
pub enum CredentialSource {
    Configured(Credentials),
    InCluster(InCluster),
}

/// The service account of the gateway's pod.
#[derive(Debug)]
pub struct InCluster {
    /// `None`: the gateway does not run in a pod.
    server: Option<HttpUrl>,
    directory: PathBuf,
    /// The certificate authorities as they were read last, and the client that trusts them.
    client: Mutex<Option<(Vec<u8>, Arc<Client>)>>,
    configured_namespace: String,
}

/// The server and the identity of a request.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub base_url: HttpUrl,
    pub token: Option<Secret>,
    /// The namespace of services without one.
    pub namespace: String,
    pub client: Arc<Client>,
}

impl CredentialSource {
    /// Reads the service account from the environment and its directory, or takes the configured server and token.
    pub fn new(settings: &KubernetesSettings) -> CredentialSource {
        if settings.use_service_account {
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let host = variable("KUBERNETES_SERVICE_HOST");
            let port = variable("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok());
            let server = host.map(|host| (host, port.unwrap_or(DEFAULT_PORT)));
            let directory = PathBuf::from(SERVICE_ACCOUNT_DIR);
            return CredentialSource::InCluster(InCluster::new(server, directory, &settings.namespace));
        }
        let namespace = if settings.namespace.is_empty() { DEFAULT_NAMESPACE } else { &settings.namespace };
        CredentialSource::Configured(Credentials {
            base_url: settings.server.url(DEFAULT_PORT, "/"),
            token: settings.server.token.clone(),
            namespace: namespace.to_owned(),
            client: Arc::new(Client::new(settings.server.trust.clone())),
        })
    }

    /// The server, for logs and metrics.
    pub fn server(&self) -> String {
        match self {
            CredentialSource::Configured(credentials) => credentials.base_url.to_string(),
            CredentialSource::InCluster(pod) => {
                pod.server.as_ref().map_or("outside of a pod".to_owned(), HttpUrl::to_string)
            }
        }
    }

    /// The current credentials: the token of a pod is rotated every hour.
    pub fn get(&self) -> Result<Credentials, String> {
        match self {
            CredentialSource::Configured(credentials) => Ok(credentials.clone()),
            CredentialSource::InCluster(pod) => pod.credentials(),
        }
    }
}

impl InCluster {
    /// The service account in a directory, for the server at host and port.
    pub fn new(server: Option<(String, u16)>, directory: PathBuf, configured_namespace: &str) -> InCluster {
        let server = server.map(|(host, port)| HttpUrl { tls: true, host, port, target: "/".to_owned() });
        let configured_namespace = configured_namespace.to_owned();
        InCluster { server, directory, client: Mutex::default(), configured_namespace }
    }

    fn credentials(&self) -> Result<Credentials, String> {
        let base_url = self.server.clone().ok_or(
            "KUBERNETES_SERVICE_HOST is not set: the gateway does not run in a pod; set Host, Port and Token",
        )?;
        let token = text(&self.read_file("token")?)?;
        let namespace = match &*self.configured_namespace {
            "" => self
                .read_file("namespace")
                .and_then(|bytes| text(&bytes))
                .unwrap_or_else(|_| DEFAULT_NAMESPACE.to_owned()),
            configured => configured.to_owned(),
        };
        Ok(Credentials { base_url, token: Some(Secret::new(token)), namespace, client: self.client()? })
    }

    /// The client that trusts the cluster's certificate authorities, which may change.
    fn client(&self) -> Result<Arc<Client>, String> {
        let authorities = self.read_file("ca.crt")?;
        let mut cached = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = cached.as_ref().filter(|(known, _)| *known == authorities) {
            return Ok(client.clone());
        }
        let trust = TrustAnchors::Custom(authorities.as_slice().into());
        Ok(cached.insert((authorities, Arc::new(Client::new(trust)))).1.clone())
    }

    fn read_file(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.directory.join(name);
        read(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| "a file of the service account is not UTF-8".to_owned())?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_uses_the_current_content_of_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        let server = Some(("10.96.0.1".to_owned(), 443));
        let pod = InCluster::new(server, directory.path().to_owned(), "");
        assert!(pod.credentials().unwrap_err().contains("/token: "));
        write("token", "one\n");
        write("ca.crt", "a");
        let first = pod.credentials().unwrap();
        assert_eq!((first.token, &*first.namespace), (Some(Secret::new("one")), "default"));
        assert_eq!(first.base_url.to_string(), "https://10.96.0.1/");
        write("token", "two");
        write("namespace", "shop\n");
        let second = pod.credentials().unwrap();
        assert_eq!((second.token, &*second.namespace), (Some(Secret::new("two")), "shop"));
        assert!(Arc::ptr_eq(&first.client, &second.client));
        write("ca.crt", "b");
        assert!(!Arc::ptr_eq(&first.client, &pod.credentials().unwrap().client));
    }

    #[test]
    fn outside_of_a_pod_there_is_an_error() {
        let pod = InCluster::new(None, PathBuf::from("/nowhere"), "");
        assert!(pod.credentials().unwrap_err().contains("does not run in a pod"));
    }
}
