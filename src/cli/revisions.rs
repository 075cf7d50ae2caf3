//! Tables of the past, from git.

use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;

use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::text::Plain;

use super::output;

/// The commits that changed a table.
pub(super) struct Log {
    /// The commits, newest first.
    pub(super) commits: Vec<Commit>,
    /// Whether older commits are missing: the clone is shallow.
    pub(super) is_shallow: bool,
}

impl Log {
    /// Says on standard error that changes are missing, if they are.
    pub(super) fn note_if_shallow(&self) {
        if self.is_shallow {
            anstream::eprintln!(
                "note: this clone is shallow; older changes are not shown; 'git fetch --unshallow' gets them"
            );
        }
    }
}

/// A commit that changed the table.
pub(super) struct Commit {
    /// The commit's name, in full.
    pub(super) id: String,
    /// When it was committed (RFC 3339): `2026-11-29T03:17:00+01:00`.
    pub(super) time: String,
    /// The table's path in it, from the top of the repository.
    path: String,
}

impl Commit {
    /// Parses an entry of `git log --name-status --format='%H %cI'`. Also returns the file
    /// that the commit copied to the table, if it did.
    fn parse(entry: &str) -> Option<(Self, Option<String>)> {
        let (head, changes) = entry.split_once('\n')?;
        let (id, time) = head.split_once(' ')?;
        // `M\tPATH`, `R100\tOLD\tNEW`, or `C100\tSOURCE\tNEW`.
        let (rest, path) = changes.trim().rsplit_once('\t')?;
        let source = rest
            .split_once('\t')
            .filter(|(kind, _)| kind.starts_with('C'));
        let commit = Self {
            id: id.to_owned(),
            time: time.to_owned(),
            path: path.to_owned(),
        };
        Some((commit, source.map(|(_, source)| source.to_owned())))
    }

    /// The day of the commit, as `2026-11-29`.
    pub(super) fn date(&self) -> &str {
        self.time.split('T').next().unwrap_or_default()
    }
}

/// The text of the table `file` in the revision `name`, such as `HEAD~7`; `None` if that
/// has no such file.
pub(super) fn table_at(file: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let base = file_name(file)?;
    run(file, &["cat-file", "-e", &format!("{name}^{{commit}}")])?;
    let path = format!("./{base}");
    if run(file, &["ls-tree", "--name-only", name, &path])?.is_empty() {
        return Ok(None);
    }
    run(file, &["cat-file", "blob", &format!("{name}:{path}")]).map(Some)
}

/// The commits that changed the table `file`.
pub(super) fn log(file: &Path) -> Result<Log> {
    let mut start = None;
    let mut path = file_name(file)?.to_owned();
    let mut commits: Vec<Commit> = Vec::new();
    loop {
        let (found, source) = follow(file, start.as_deref(), &path)?;
        commits.extend(found);
        // git takes a new file that resembles another for its copy. The table may have had
        // a past of its own, or left a link where it was.
        let (Some(oldest), Some(source)) = (commits.last(), source) else {
            break;
        };
        let parent = format!("{}^", oldest.id);
        if run(file, &["rev-parse", "--verify", "--quiet", &parent]).is_err() {
            break;
        }
        let tree = ["ls-tree", "--full-tree", &oldest.id, &source];
        let is_link = run(file, &tree)?.starts_with(LINK);
        let before = if is_link { &source } else { &oldest.path };
        path = format!(":(top,literal){before}");
        start = Some(parent);
    }
    let shallow = run(file, &["rev-parse", "--is-shallow-repository"])?;
    Ok(Log {
        commits,
        is_shallow: shallow.starts_with(b"true"),
    })
}

/// The commits from `start` back, or from `HEAD`, that changed the file at `path`, until one
/// that git takes for the copy of another file, and the path of that.
fn follow(file: &Path, start: Option<&str>, path: &str) -> Result<(Vec<Commit>, Option<String>)> {
    let arguments = [
        "-c",
        "core.quotePath=false",
        "-c",
        "log.showSignature=false",
        "-c",
        "log.showRoot=true",
        "log",
        "--follow",
        "--first-parent",
        "--diff-merges=first-parent",
        "--no-relative",
        "--name-status",
        "--format=%x00%H %cI",
    ];
    let arguments: Vec<&str> = arguments
        .into_iter()
        .chain(start)
        .chain(["--", path])
        .collect();
    let log = String::from_utf8_lossy(&run(file, &arguments)?).into_owned();
    let mut commits = Vec::new();
    for entry in log.split('\0') {
        let Some((commit, source)) = Commit::parse(entry) else {
            continue;
        };
        commits.push(commit);
        if source.is_some() {
            return Ok((commits, source));
        }
    }
    Ok((commits, None))
}

/// Hands the text of the table in each commit to `read`, in their order; `None` of a commit
/// that removed it.
pub(super) fn read_each<'a>(
    file: &Path,
    commits: impl Iterator<Item = &'a Commit> + Clone + Send,
    mut read: impl FnMut(&'a Commit, Option<Vec<u8>>) -> Result<()>,
) -> Result<()> {
    let mut git = git(file)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context(NO_GIT)?;
    let (stdin, stdout) = (git.stdin.take(), git.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        bail!("git has no input or output");
    };
    let (names, texts) = (commits.clone(), commits);
    // git unpacks the next text while this one is read.
    let (send, receive) = sync_channel(1);
    let read = std::thread::scope(|scope| {
        // git stops reading while nobody reads what it writes.
        scope.spawn(move || {
            for commit in names {
                if writeln!(stdin, "{}:{}", commit.id, commit.path).is_err() {
                    break;
                }
            }
        });
        // Its end closes the output of git, so that git ends, and then the thread above.
        scope.spawn(move || {
            let mut stdout = BufReader::new(stdout);
            for commit in texts {
                let text = next_text(&mut stdout);
                let is_over = text.is_err();
                if send.send((commit, text)).is_err() || is_over {
                    break;
                }
            }
        });
        for (commit, text) in receive {
            let text = text.context("git: it ended before it had read every commit")?;
            read(commit, text)?;
        }
        Ok(())
    });
    git.wait()?;
    read
}

/// The next object that git writes, if it is a file.
fn next_text(output: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    // `<id> <type> <size>` before the content, or `<name> missing`.
    let mut head = String::new();
    if output.read_line(&mut head)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let size = head.trim_end().rsplit(' ').next();
    let Some(size) = size.and_then(|size| size.parse().ok()) else {
        return Ok(None);
    };
    let mut text = vec![0; size];
    output.read_exact(&mut text)?;
    output.read_exact(&mut [0])?;
    Ok(head.contains(" blob ").then_some(text))
}

/// How `git ls-tree` begins the line of a symbolic link.
const LINK: &[u8] = b"120000 ";
const NO_GIT: &str = "cannot run git, which the table's past needs; install it";

/// git in the folder of `file`.
fn git(file: &Path) -> Command {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut git = Command::new("git");
    git.current_dir(folder.unwrap_or(Path::new(".")));
    git
}

fn file_name(file: &Path) -> Result<&str> {
    let name = file.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{}: name a file", output::name_of(&file)))
}

/// The output of git.
fn run(file: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = git(file).args(arguments).output().context(NO_GIT)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let message = message.lines().last().unwrap_or_default();
        let message = message.trim_start_matches("fatal: ");
        bail!("git: {}", Plain(message));
    }
    Ok(output.stdout)
}
