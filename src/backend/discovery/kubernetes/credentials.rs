//! Who the gateway is to Kubernetes: the account that was configured, or the one that its pod has.

use super::super::ProviderSettings;
use crate::{
    base::{secret::Secret, url::HttpUrl},
    net::{http_client::Client, tls::trust::TrustAnchors},
};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Where a pod finds its account, see Kubernetes, "Accessing the API from a Pod".
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The largest of its files.
const MAX_FILE: u64 = 1 << 20;
/// The namespace, where nobody names one.
const NAMESPACE: &str = "default";
/// The usual port of a server that is named.
const PORT: u16 = 443;

/// An account.
#[derive(Debug)]
pub enum CredentialSource {
    Configured(Credentials),
    InCluster(InCluster),
}

/// The account of the pod that the gateway runs in.
#[derive(Debug)]
pub struct InCluster {
    /// None: this is no pod.
    server: Option<HttpUrl>,
    folder: PathBuf,
    /// The authorities as they were read last, and who believes them.
    client: Mutex<Option<(Vec<u8>, Arc<Client>)>>,
    configured_namespace: String,
}

/// What a question is asked with.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub base_url: HttpUrl,
    pub token: Option<Secret>,
    /// For services that name none.
    pub namespace: String,
    pub client: Arc<Client>,
}

impl CredentialSource {
    /// The account that the settings mean.
    pub fn new(settings: &ProviderSettings) -> CredentialSource {
        if settings.kubernetes.use_service_account {
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let host = variable("KUBERNETES_SERVICE_HOST");
            let port = variable("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok());
            let folder = PathBuf::from(SERVICE_ACCOUNT_DIR);
            return CredentialSource::InCluster(InCluster::new(
                host.map(|host| (host, port.unwrap_or(PORT))),
                folder,
                settings,
            ));
        }
        let port = if settings.port == 0 { PORT } else { settings.port };
        let root = HttpUrl { tls: settings.tls, host: settings.host.clone(), port, target: "/".to_owned() };
        let namespace = if settings.namespace.is_empty() { NAMESPACE } else { &settings.namespace };
        CredentialSource::Configured(Credentials {
            base_url: root,
            token: settings.token.clone(),
            namespace: namespace.to_owned(),
            client: Arc::new(Client::new(settings.trust.clone())),
        })
    }

    /// For people.
    pub fn namespace_and_server(&self) -> String {
        match self {
            CredentialSource::Configured(access) => access.base_url.to_string(),
            CredentialSource::InCluster(pod) => {
                pod.server.as_ref().map_or("in no pod".to_owned(), HttpUrl::to_string)
            }
        }
    }

    /// What to ask with now: the token of a pod changes by itself every hour.
    pub fn access(&self) -> Result<Credentials, String> {
        match self {
            CredentialSource::Configured(access) => Ok(access.clone()),
            CredentialSource::InCluster(pod) => pod.access(),
        }
    }
}

impl InCluster {
    /// The account in that folder, for the server at host and port.
    pub fn new(server: Option<(String, u16)>, folder: PathBuf, settings: &ProviderSettings) -> InCluster {
        let server = server.map(|(host, port)| HttpUrl { tls: true, host, port, target: "/".to_owned() });
        InCluster {
            server,
            folder,
            client: Mutex::default(),
            configured_namespace: settings.namespace.clone(),
        }
    }

    fn access(&self) -> Result<Credentials, String> {
        let root = self.server.clone().ok_or(
            "KUBERNETES_SERVICE_HOST is not set, so this is no pod: name Host, Port and Token of the registry",
        )?;
        let token = text(&self.read_file("token")?)?;
        let namespace = match &*self.configured_namespace {
            "" => self
                .read_file("namespace")
                .and_then(|bytes| text(&bytes))
                .unwrap_or_else(|_| NAMESPACE.to_owned()),
            configured => configured.to_owned(),
        };
        Ok(Credentials { base_url: root, token: Some(Secret::new(token)), namespace, client: self.client()? })
    }

    /// Who believes the authorities of the cluster, which may change.
    fn client(&self) -> Result<Arc<Client>, String> {
        let authorities = self.read_file("ca.crt")?;
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = kept.as_ref().filter(|(known, _)| *known == authorities) {
            return Ok(client.clone());
        }
        let trust = TrustAnchors::Custom(authorities.as_slice().into());
        Ok(kept.insert((authorities, Arc::new(Client::new(trust)))).1.clone())
    }

    fn read_file(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.folder.join(name);
        read(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a file of the account is no text".to_owned())?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_asks_with_what_its_files_hold_now() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let server = Some(("10.96.0.1".to_owned(), 443));
        let pod = InCluster::new(server, folder.path().to_owned(), &ProviderSettings::default());
        assert!(pod.access().unwrap_err().contains("/token: "));
        write("token", "one\n");
        write("ca.crt", "a");
        let first = pod.access().unwrap();
        assert_eq!((first.token, &*first.namespace), (Some(Secret::new("one")), "default"));
        assert_eq!(first.base_url.to_string(), "https://10.96.0.1/");
        write("token", "two");
        write("namespace", "shop\n");
        let second = pod.access().unwrap();
        assert_eq!((second.token, &*second.namespace), (Some(Secret::new("two")), "shop"));
        assert!(Arc::ptr_eq(&first.client, &second.client));
        write("ca.crt", "b");
        assert!(!Arc::ptr_eq(&first.client, &pod.access().unwrap().client));
    }

    #[test]
    fn outside_of_a_pod_there_is_a_sentence_instead_of_an_account() {
        let pod = InCluster::new(None, PathBuf::from("/nowhere"), &ProviderSettings::default());
        assert!(pod.access().unwrap_err().contains("this is no pod"));
    }
}
