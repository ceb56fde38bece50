//! Files that settings reference: API keys, certificates, passwords. They are read while the configuration is loaded, by
//! the same reader as all other files, so that compilation is pure and changes of these files are detected.

use super::encoding::normalize_marked;
use super::files::io_error_text;
use super::interpolation::Environment;
use super::node::Node;
use super::source::Sources;
use super::span::Span;
use std::path::{Path, PathBuf};

/// The settings that reference files: the path of keys to their object, `*` for every member or item, and their names; without
/// names the path leads to the settings themselves.
const FILE_SETTINGS: [(&[&str], &[&str]); 24] = [
    (
        &["AuthenticationSchemes", "*"],
        &[
            "PublicKeyFile",
            "JwksFile",
            "KeysFile",
            "UsersFile",
            "CaFile",
            "ClientKeyFile",
            "ClientCertificateFile",
        ],
    ),
    (&["AuthenticationSchemes", "*", "SessionKeys", "*"], &[]),
    (&["Listeners", "*", "Tls", "Certificates", "*"], &["CertificateFile", "KeyFile"]),
    (&["Listeners", "*", "Tls", "ClientCertificates"], &["CaFile"]),
    (&["Administration", "Tls", "Certificates", "*"], &["CertificateFile", "KeyFile"]),
    (&["Administration", "Tls", "ClientCertificates"], &["CaFile"]),
    (&["Routes", "*", "TlsOptions"], &["CaFile", "CertificateFile", "KeyFile"]),
    (&["TransportRoutes", "*", "TlsOptions"], &["CaFile", "CertificateFile", "KeyFile"]),
    (&["Roles", "*", "Endpoints", "*", "TlsOptions"], &["CaFile", "CertificateFile", "KeyFile"]),
    (&["Roles", "*", "Endpoints", "*", "Tls", "Certificates", "*"], &["CertificateFile", "KeyFile"]),
    (&["RoleOptions", "InternalListener", "Tls", "Certificates", "*"], &["CertificateFile", "KeyFile"]),
    (&["RoleOptions", "InternalListener", "Tls", "ClientCertificates"], &["CaFile"]),
    (&["Apis", "*", "TlsOptions"], &["CaFile", "CertificateFile", "KeyFile"]),
    (&["Certificates", "*"], &["CertificateFile", "KeyFile"]),
    (&["Clusters", "*", "TlsOptions"], &["CaFile", "CertificateFile", "KeyFile"]),
    (&["GlobalConfiguration", "TlsOptions"], &["CaFile", "CertificateFile", "KeyFile"]),
    (&["GlobalConfiguration", "ServiceDiscoveryProvider"], &["CaFile"]),
    (&["Clusters", "*", "Discovery"], &["CaFile"]),
    (&["Otlp"], &["CaFile"]),
    (&["WafEngine"], &["CountryFile"]),
    (&["WafPolicies", "*", "Bots"], &["BadAgentsFile", "BadAddressesFile"]),
    (&["SharedState", "Tls"], &["CaFile", "CertificateFile", "KeyFile"]),
    (&["ServiceFabric", "Resolvers", "*"], &["File"]),
    (&["ServiceFabric", "Resolvers", "*", "TlsOptions"], &["CaFile", "CertificateFile", "KeyFile"]),
];
/// Maximum size of a referenced file in bytes.
pub const MAX_REFERENCED_FILE: u64 = 4 << 20;
/// Maximum size of the file of a service registry in bytes.
const MAX_REGISTRY_FILE: u64 = 64 << 20;

/// The content of each file, or why it cannot be read, by the span of the setting that references it.
#[derive(Debug, Default)]
pub struct ReferencedFiles(Vec<(Span, Result<Vec<u8>, String>)>);

impl ReferencedFiles {
    /// Reads every referenced file, without its byte order mark; a relative path is resolved against the configuration file with the setting.
    pub fn read(root: &Node, sources: &Sources, environment: Environment) -> ReferencedFiles {
        let mut settings = Vec::new();
        for (path, names) in FILE_SETTINGS {
            let mut owners = Vec::new();
            select(root, path, &mut owners);
            let max_bytes = if path[0] == "ServiceFabric" { MAX_REGISTRY_FILE } else { MAX_REFERENCED_FILE };
            if names.is_empty() {
                settings.extend(owners.iter().map(|setting| (*setting, max_bytes)));
            }
            let named =
                owners.iter().flat_map(|owner| names.iter().filter_map(|name| owner.get_ignore_case(name)));
            settings.extend(named.map(|setting| (setting, max_bytes)));
        }
        let one = |(setting, max_bytes): (&Node, u64)| {
            let name = setting.as_str().filter(|name| !name.trim().is_empty())?;
            let path = resolve_relative(
                sources.get(setting.span.file).and_then(|source| source.path.as_deref()),
                name,
            );
            let read = (environment.read)(&path, max_bytes);
            Some((setting.span, read.map(normalize_marked).map_err(|error| io_error_text(&error))))
        };
        ReferencedFiles(settings.into_iter().filter_map(one).collect())
    }

    /// Whether no setting references a file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the file that the setting with this span references.
    pub fn get(&self, setting: Span) -> Result<&[u8], &str> {
        let found = self.0.iter().find(|(span, _)| *span == setting);
        found.map_or(Err("not read"), |(_, read)| read.as_deref().map_err(String::as_str))
    }
}

/// All nodes at the end of the path.
fn select<'n>(node: &'n Node, path: &[&str], found: &mut Vec<&'n Node>) {
    match path {
        [] => found.push(node),
        ["*", rest @ ..] => {
            node.members().iter().for_each(|member| select(&member.value, rest, found));
            node.items().iter().for_each(|item| select(item, rest, found));
        }
        [key, rest @ ..] => {
            if let Some(inner) = node.get_ignore_case(key) {
                select(inner, rest, found);
            }
        }
    }
}

fn resolve_relative(configuration: Option<&Path>, name: &str) -> PathBuf {
    configuration.and_then(Path::parent).map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

#[cfg(test)]
mod tests {
    use crate::config::interpolation::Environment;
    use crate::config::load::{InMemoryFiles, load_texts};
    use crate::config::vocabulary::Vocabulary;
    use std::path::Path;

    #[test]
    fn files_that_schemes_reference_are_read_and_watched() {
        let text = r#"{ "AuthenticationSchemes": { "a": { "PublicKeyFile": "/k.pem" }, "b": { "usersfile": "${N}" },
            "c": { "CaFile": "/gone" }, "d": { "Issuer": "/not-a-file" } } }"#;
        let read = |path: &Path, _| match path.to_str() {
            Some("/gone") => Err(std::io::ErrorKind::NotFound.into()),
            _ => Ok(format!("\u{feff}{}", path.display()).into_bytes()),
        };
        let environment = Environment { variable: &|_| Some("/users".into()), read: &read };
        let loaded = load_texts(
            &InMemoryFiles { files: &[("gateway.json", text)], ..InMemoryFiles::default() },
            environment,
            &Vocabulary::of::<(), (), (), (), ()>(),
        );
        let read: Vec<_> = loaded.attached.0.iter().map(|(_, read)| read.as_deref()).collect();
        let gone = "no such file or directory".to_owned();
        assert_eq!(read, [Ok(&b"/k.pem"[..]), Ok(&b"/users"[..]), Err(&gone)]);
        assert_eq!(loaded.watched.len(), 3);
    }
}
