//! `Administration`.

use super::{compile, load};
use crate::config::codes;

#[test]
fn the_hash_of_an_empty_token_names_the_variable_that_was_not_set() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (hash, message, help) in [
        (empty, "is that of an empty text", "TOKEN was not set"),
        ("abc", "invalid Hash of the token \"deploy\"", "64 hexadecimal digits"),
    ] {
        let token = format!(r#"{{ "Name": "deploy", "Hash": "sha256:{hash}", "Role": "Write" }}"#);
        let mut loaded = load(&format!(r#"{{ "Administration": {{ "Tokens": [{token}] }} }}"#), false);
        assert!(compile(&mut loaded).is_none(), "{hash}");
        let found = loaded.diagnostics.list.iter().find(|fault| fault.code == codes::BAD_ADMIN_TOKEN);
        let found = found.expect("a diagnostic");
        assert!(found.message.contains(message), "{}", found.message);
        assert!(found.help.iter().any(|line| line.contains(help)), "{:?}", found.help);
    }
}
