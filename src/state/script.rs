//! Lua scripts, which Redis stores by their SHA-1.

use ::redis::Cmd;
use sha1::{Digest, Sha1};
use std::sync::OnceLock;

/// A script. Usually a static, so that its hash is computed once.
#[derive(Debug)]
pub struct Script {
    code: std::borrow::Cow<'static, str>,
    sha: OnceLock<String>,
}

impl Script {
    /// A script of the program.
    pub const fn new(code: &'static str) -> Script {
        Script { code: std::borrow::Cow::Borrowed(code), sha: OnceLock::new() }
    }

    /// A script that is composed at run time.
    pub fn composed(code: String) -> Script {
        Script { code: std::borrow::Cow::Owned(code), sha: OnceLock::new() }
    }

    fn sha(&self) -> &str {
        self.sha.get_or_init(|| crate::base::hex::encode(&Sha1::digest(self.code.as_bytes())))
    }

    /// `EVALSHA`, or `EVAL` for a server that does not have the script.
    pub(super) fn command(&self, is_stored: bool, keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> Cmd {
        let mut command = Cmd::new();
        match is_stored {
            true => command.arg("EVALSHA").arg(self.sha()),
            false => command.arg("EVAL").arg(&*self.code),
        };
        command.arg(keys.len());
        keys.iter().chain(arguments).for_each(|argument| {
            command.arg(argument.as_slice());
        });
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_called_by_its_hash() {
        static ONE: Script = Script::new("return 1");
        assert_eq!(ONE.sha(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        let text = |is_stored| {
            let packed = ONE.command(is_stored, &[b"k".to_vec()], &[]).get_packed_command();
            String::from_utf8(packed).expect("text")
        };
        assert!(
            text(true).contains("EVALSHA") && text(true).contains("e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
        );
        assert!(text(false).contains("return 1") && text(false).ends_with("1\r\n$1\r\nk\r\n"));
    }
}
