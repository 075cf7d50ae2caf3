//! Another program asked one question. Not with tokio's own means, which on
//! some systems take hold of the process's signals: this may run within Nix.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::sleep;

/// Longest answer, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;
/// How often a program that has answered is looked at until it has ended.
const PATIENCE: Duration = Duration::from_millis(5);

/// Runs `command`, writes `question` to its input, and gives what it prints.
/// Where this is dropped before, the program is ended.
///
/// # Errors
/// Where it cannot be run, or answers more than a mebibyte.
pub(super) async fn ask(command: &mut Command, question: &[u8]) -> io::Result<Output> {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut running = Running(child);
    if let Some(stdin) = running.0.stdin.take() {
        let mut stdin = Sender::from_owned_fd(OwnedFd::from(stdin))?;
        // One that does not read its input may still answer.
        let _ = stdin.write_all(question).await;
    }
    let mut stdout = Vec::new();
    if let Some(pipe) = running.0.stdout.take() {
        let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe))?;
        pipe.take(LONGEST_ANSWER + 1)
            .read_to_end(&mut stdout)
            .await?;
        if stdout.len() as u64 > LONGEST_ANSWER {
            return Err(io::Error::other("its answer is too long"));
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
        sleep(PATIENCE).await;
    }
}

/// A program that ends, at the latest, with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Neither fails in a way that anything could be done about. One that has
        // been waited for is left alone by both.
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
    async fn a_program_is_asked_and_answers() {
        let output = ask(&mut shell("read x; echo \"$x!\"; exit 3"), b"who\n").await;
        let output = output.unwrap();
        assert_eq!(output.stdout, b"who!\n");
        assert_eq!(output.status.code(), Some(3));
        // One that closes its output early is waited for, its input unread.
        let output = ask(&mut shell("exec >&- <&-; sleep 0.05; exit 4"), b"who\n").await;
        assert_eq!(output.unwrap().status.code(), Some(4));
        let error = ask(&mut shell("yes"), b"").await.unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[tokio::test]
    async fn one_that_is_given_up_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 60", file.display());
        let started = async {
            while !std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')) {
                sleep(PATIENCE).await;
            }
        };
        let mut command = shell(&script);
        tokio::select! {
            answer = ask(&mut command, b"") => panic!("{answer:?}"),
            () = started => {}
        }
        let pid = std::fs::read_to_string(&file).unwrap();
        let process = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        let ended = test_kill_process(process).unwrap_err();
        assert_eq!(ended, rustix::io::Errno::SRCH, "{pid} still runs");
    }
}
