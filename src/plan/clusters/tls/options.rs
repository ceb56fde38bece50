//! `TlsOptions` as the document has them.

use crate::config::options::option_objects;
use crate::config::values::Setting;

option_objects! {
    /// TLS connections to the backend. File names are relative to the file that contains them; the files are watched,
    /// and changes are applied.
    TlsOptions, GlobalTlsOptions {
        /// A PEM file with the trusted certificate authorities. Default: those of the system.
        ca_file: Setting<String>,
        /// A PEM file with the client certificate that the gateway presents, followed by the intermediate certificates;
        /// requires `KeyFile`. Default: none.
        certificate_file: Setting<String>,
        /// A PEM file with the private key of the client certificate: PKCS#8, SEC1 or PKCS#1.
        key_file: Setting<String>,
        /// The server name that is sent (SNI) and that the certificate of the backend must contain. Default: the host.
        server_name: Setting<String>,
    }
}
