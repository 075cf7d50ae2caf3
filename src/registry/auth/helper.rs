//! Runs a credential helper. Not by tokio's `process`, which on some systems
//! handles the process's signals: this may run within Nix.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::sleep;

/// Largest output, in bytes.
const LARGEST_OUTPUT: u64 = 1 << 20;
/// How often to check whether the program has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Runs `command` with `input`, and gives its exit status and output. Dropping the
/// future kills the program.
///
/// # Errors
/// Where it cannot be run, or prints more than a mebibyte.
pub(super) async fn run(command: &mut Command, input: &[u8]) -> io::Result<Output> {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut running = Running(child);
    if let Some(stdin) = running.0.stdin.take() {
        let mut stdin = Sender::from_owned_fd(OwnedFd::from(stdin))?;
        // A program that does not read its input may still print a login.
        let _ = stdin.write_all(input).await;
    }
    let mut stdout = Vec::new();
    if let Some(pipe) = running.0.stdout.take() {
        let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe))?;
        pipe.take(LARGEST_OUTPUT + 1)
            .read_to_end(&mut stdout)
            .await?;
        if stdout.len() as u64 > LARGEST_OUTPUT {
            return Err(io::Error::other("its output is too long"));
        }
    }
    loop {
        if let Some(status) = running.0.try_wait()? {
            return Ok(Output {
                status,
                stdout,
                stderr: Vec::new(),
            });
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// A program that is killed when this value is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing can be done about an error. Both do nothing to a program that has
        // been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, test_kill_process};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[tokio::test]
    async fn a_program_gets_input_and_prints() {
        let output = run(&mut shell("read x; echo \"$x!\"; exit 3"), b"who\n").await;
        let output = output.unwrap();
        assert_eq!(output.stdout, b"who!\n");
        assert_eq!(output.status.code(), Some(3));
        // One that closes its output early is waited for, its input unread.
        let output = run(&mut shell("exec >&- <&-; sleep 0.05; exit 4"), b"who\n").await;
        assert_eq!(output.unwrap().status.code(), Some(4));
        let error = run(&mut shell("yes"), b"").await.unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[tokio::test]
    async fn dropping_the_future_kills_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 60", file.display());
        let started = async {
            while !std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')) {
                sleep(POLL_INTERVAL).await;
            }
        };
        let mut command = shell(&script);
        tokio::select! {
            output = run(&mut command, b"") => panic!("{output:?}"),
            () = started => {}
        }
        let pid = std::fs::read_to_string(&file).unwrap();
        let process = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        let ended = test_kill_process(process).unwrap_err();
        assert_eq!(ended, rustix::io::Errno::SRCH, "{pid} still runs");
    }
}
