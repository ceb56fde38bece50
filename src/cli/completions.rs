//! `margay completions` and `margay man`: generated from the arguments.

use super::args::{Arguments, Completions, Man};
use super::{Exit, output};
use clap::CommandFactory;

/// Prints the completions of a shell.
pub(super) fn completions(arguments: &Completions) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "margay", &mut text);
    output::write_stdout(&String::from_utf8_lossy(&text));
    Exit::Done
}

/// Writes one page for each command.
pub(super) fn man(arguments: &Man) -> Exit {
    let folder = &arguments.directory;
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Arguments::command(), folder));
    match written {
        Ok(()) => {
            output::write_stderr(&format!(
                "margay: wrote the pages to {}; read one with `man -l`\n",
                folder.display()
            ));
            Exit::Done
        }
        Err(error) => Exit::failed(&format!("cannot write man pages to {}: {error}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_and_every_command_is_covered() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "margay", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(
                text.contains("explain") && text.contains("import") && text.contains("token-file"),
                "{shell}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(man(&Man { directory: folder.path().join("man") }), Exit::Done);
        for page in ["margay.1", "margay-run.1", "margay-import-kong.1", "margay-top.1"] {
            assert!(folder.path().join("man").join(page).exists(), "{page}");
        }
    }
}
