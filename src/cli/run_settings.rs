//! Settings of `margay run` from flags and environment variables; flags have precedence.

use super::args::{Run, address};
use crate::net::listener::Address;

/// Addresses that replace the configured ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Empty: use the configured listeners.
    pub listen: Vec<Address>,
    pub admin: Option<Address>,
}

/// The flags, otherwise `MARGAY_LISTEN` and `MARGAY_ADMIN`; the error is a sentence about the variable.
pub(super) fn addresses(
    run: &Run,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Addresses, String> {
    let read = |name: &str, text: &str| address(text).map_err(|error| format!("{name}={text}: {error}"));
    let variable = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
    let mut addresses = Addresses { listen: run.listen.clone(), admin: run.admin.clone() };
    if let Some(value) = variable("MARGAY_LISTEN").filter(|_| run.listen.is_empty()) {
        addresses.listen =
            value.split(',').map(|item| read("MARGAY_LISTEN", item)).collect::<Result<_, _>>()?;
    }
    if let Some(value) = variable("MARGAY_ADMIN").filter(|_| run.admin.is_none()) {
        addresses.admin = Some(read("MARGAY_ADMIN", &value)?);
    }
    Ok(addresses)
}

/// The requested number of threads, otherwise one per core.
pub(super) fn threads(run: &Run) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    run.threads.map_or_else(cores, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "MARGAY_LISTEN" => Some("127.0.0.1:1, [::1]:2".into()),
            "MARGAY_ADMIN" => Some("localhost:3".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_replace_missing_flags_and_flags_have_precedence() {
        let from_variables = addresses(&Run::default(), environment).unwrap();
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        assert_eq!(from_variables.listen, [tcp("127.0.0.1:1"), tcp("[::1]:2")]);
        assert_eq!(from_variables.admin, Some(tcp("127.0.0.1:3")));
        let flags = Run { listen: vec![tcp("127.0.0.1:9")], ..Run::default() };
        assert_eq!(addresses(&flags, environment).unwrap().listen, flags.listen);
    }

    #[test]
    fn an_empty_variable_is_ignored_and_an_invalid_one_is_named() {
        assert_eq!(addresses(&Run::default(), |_| Some(String::new())), Ok(Addresses::default()));
        let error = addresses(&Run::default(), |_| Some("8080".into())).unwrap_err();
        assert!(error.starts_with("MARGAY_LISTEN=8080: expected an address"), "{error}");
    }
}
