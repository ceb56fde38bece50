//! The command line: the real binary, files and exit codes.

mod client;
mod files;
mod import;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a command ended.
pub struct CommandResult {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `margay` in a directory, without variables of the developer.
pub fn margay(directory: &Path, arguments: &[&str]) -> CommandResult {
    margay_with(directory, arguments, "", &[])
}

/// The same with standard input and variables.
pub fn margay_with(
    directory: &Path,
    arguments: &[&str],
    input: &str,
    variables: &[(&str, &str)],
) -> CommandResult {
    let mut command = Command::new(env!("CARGO_BIN_EXE_margay"));
    for name in ["MARGAY_ADMIN", "MARGAY_ADMIN_TOKEN", "MARGAY_LISTEN", "MARGAY_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(directory).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("margay starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the input is read");
    let ended = child.wait_with_output().expect("margay ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    CommandResult { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
}
