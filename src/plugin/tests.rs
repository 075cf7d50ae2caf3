//! What threads share: Determinate Nix calls the builtin from several at once.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::answer::{Answer, look_up};
use super::resolve::{self, Settings};
use super::tables::{self, TableFile, TableSet};
use crate::lookup::Query;
use crate::resolve::{ResolvedPin, Target};
use crate::table::{LazyTable, Pin};

const THREADS: usize = 16;
/// More tables than the cache keeps.
const TABLES: usize = 24;
const LOOKUPS: usize = 400;

/// The digest of the pin in table number `n`.
fn digest(n: usize) -> String {
    format!("sha256:{n:064x}")
}

/// Table number `n`, which differs from the others by the digest alone.
fn table_text(n: usize) -> String {
    let digest = digest(n);
    format!(r#"{{"version":1,"images":{{"docker.io/a":{{"1":{{"digest":"{digest}"}}}}}}}}"#)
}

fn pinned(table: &LazyTable) -> String {
    let attributes: [(&'static str, &[u8]); 2] = [("image", b"a"), ("version", b"1")];
    match look_up(table, attributes) {
        Ok(Answer::Pinned(reference)) => reference,
        Ok(Answer::Miss(miss)) => panic!("a miss: {}", Answer::Miss(miss).text()),
        Err(error) => panic!("{error}"),
    }
}

/// The table of the file, as the bridge reads it.
fn of_file(path: &Path) -> Arc<LazyTable> {
    let mut file = TableFile::new(path.as_os_str().as_bytes(), false, false);
    if !file.is_read() {
        file.set_text(&fs::read(path).unwrap());
    }
    Arc::clone(file.table().unwrap())
}

/// The table of the set at `address`, as the bridge reads it.
fn of_set(address: usize, json: &str, alive: &Arc<AtomicUsize>) -> Arc<LazyTable> {
    let mut set = TableSet::new(address);
    if !set.is_read() {
        let root = Box::new(Root::new(alive));
        set.set_json(json.as_bytes(), root).unwrap();
    }
    Arc::clone(set.table().unwrap())
}

/// Counts the roots that are alive.
struct Root(Arc<AtomicUsize>);

impl Root {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(alive))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn threads_get_the_answers_of_their_own_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: usize| folder.path().join(format!("{n}.json"));
    for n in 0..TABLES {
        fs::write(path(n), table_text(n)).unwrap();
    }
    let alive = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..LOOKUPS {
                    let n = fastrand::usize(..TABLES);
                    let table = match fastrand::u8(..4) {
                        0 => of_file(&path(n)),
                        // Addresses that no other test uses.
                        1 => of_set(usize::MAX - n, &table_text(n), &alive),
                        2 => tables::of_json(table_text(n).as_bytes()).unwrap(),
                        _ => tables::uncached(b"a file", table_text(n).as_bytes()),
                    };
                    assert_eq!(pinned(&table), format!("docker.io/a:1@{}", digest(n)));
                }
            });
        }
    });
    assert!(alive.load(Ordering::Relaxed) <= TABLES, "roots are leaked");
}

#[test]
fn threads_see_a_file_that_is_replaced_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digests.json");
    let replace = |n: usize| {
        let new = folder.path().join(format!("new-{n}"));
        fs::write(&new, table_text(n)).unwrap();
        fs::rename(new, &path).unwrap();
    };
    replace(0);
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=200 {
                replace(n);
                written.store(n, Ordering::SeqCst);
                thread::yield_now();
            }
        });
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut seen = BTreeSet::new();
                while seen.last() != Some(&format!("docker.io/a:1@{}", digest(200))) {
                    let at_least = written.load(Ordering::SeqCst);
                    let answer = pinned(&of_file(&path));
                    assert!(answer >= format!("docker.io/a:1@{}", digest(at_least)));
                    seen.insert(answer);
                }
            });
        }
    });
}

#[test]
fn threads_that_resolve_one_tag_at_once_get_one_digest() {
    let query = Query::from_reference("docker.io/race:1").unwrap();
    let target = Target::of(&query);
    let answers = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for n in 0..THREADS {
            let (target, answers) = (&target, &answers);
            scope.spawn(move || {
                let found = ResolvedPin {
                    tag: Some("1".parse().unwrap()),
                    pin: Pin::new(digest(n).parse().unwrap(), [].into()),
                };
                let answer = resolve::remember(target, found, Duration::ZERO);
                answers
                    .lock()
                    .unwrap()
                    .insert(answer.pin.digest.to_string());
            });
        }
    });
    assert_eq!(answers.into_inner().unwrap().len(), 1);
}

#[test]
fn threads_that_get_one_answer_warn_once() {
    let query = Query::from_reference("docker.io/warned:1").unwrap();
    let table = LazyTable::from_text(table_text(1).into_bytes(), "a file");
    let error = query.answer_lazily(&table).unwrap().unwrap_err();
    let registry_query = query.registry_query(&table, &error).unwrap().unwrap();
    let found = ResolvedPin {
        tag: Some("1".parse().unwrap()),
        pin: Pin::new(digest(7).parse().unwrap(), [].into()),
    };
    resolve::remember(&Target::of(&query), found, Duration::ZERO);
    let settings = Settings {
        registries: Vec::new(),
        timeout: 1,
        ttl: 0,
        offline: true,
    };
    let warnings = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let answer = resolve::resolve(&registry_query, &error, &settings, || false);
                let answer = answer.unwrap();
                assert_eq!(answer.pinned, format!("docker.io/warned:1@{}", digest(7)));
                warnings.fetch_add(answer.warnings.len(), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(warnings.into_inner(), 1);
}
