//! A miss, taken to its registry as far as the settings allow.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::ffi::{Asking, Resolved};
use super::lock;
use crate::json::FileError;
use crate::lookup::{LookupError, Question};
use crate::name::{ImageName, Reference};
use crate::resolve::{
    BlockingError, Cache, Found, Limits, ResolveError, Subject, answer, resolve_blocking,
};
use crate::text::Quoted;

/// How long an answer stands within one process, whatever `tarball-ttl` says:
/// one evaluation must not see a tag at two places.
const SHORTEST_LIFE: Duration = Duration::from_secs(300);

/// Longest time that one question may take, in seconds; more is a slip, such as
/// the -1 that early versions of Nix take for a number.
const LONGEST: u32 = 3600;

/// Why a miss stays one.
#[derive(Debug, thiserror::Error)]
pub(super) enum MissError {
    #[error(
        "{miss}. The registry {registry} was not asked, because the setting 'oci-hash-registries' does not name it"
    )]
    NotAllowed {
        miss: Box<LookupError>,
        registry: String,
    },
    #[error("the setting 'oci-hash-registries' names {}, which is no registry; write registries such as 'docker.io' or 'localhost:5000', with spaces between them", Quoted(.0))]
    BadRegistry(String),
    #[error(
        "the setting 'oci-hash-timeout' is {0}; write the seconds that one question to a registry may take, from 1 to {LONGEST}"
    )]
    BadTimeout(u32),
    #[error("{miss}. Its registry was asked, because 'oci-hash-resolve' is set: {error}")]
    NotResolved {
        miss: Box<LookupError>,
        error: Box<ResolveError>,
    },
    #[error("{miss}. 'oci-hash-resolve' is set: {error}{}", setting(error))]
    NotAsked {
        miss: Box<LookupError>,
        error: BlockingError,
    },
    #[error(transparent)]
    NotFitting(#[from] Box<ResolveError>),
}

/// The setting that helps, as the end of the error's last sentence.
fn setting(error: &BlockingError) -> &'static str {
    match error {
        BlockingError::Timeout(_) => ", or raise 'oci-hash-timeout' in nix.conf",
        BlockingError::Offline => "; run Nix without --offline, or look the image up in a table that has it",
        _ => "",
    }
}

/// The pinned reference that the registry has for `question`, which was `miss`
/// in the table.
pub(super) fn resolve(
    question: &Question,
    miss: &LookupError,
    asking: &Asking,
    is_interrupted: fn() -> bool,
) -> Result<Resolved, MissError> {
    check_allowed(question, miss, asking)?;
    if !(1..=LONGEST).contains(&asking.timeout) {
        return Err(MissError::BadTimeout(asking.timeout));
    }
    let query = &question.query;
    let subject = match &question.pinned {
        Some((_, digest)) => Subject::of_digest(query.image().clone(), digest.clone()),
        None => Subject::of(query),
    };
    let age = Duration::from_secs(asking.ttl);
    let mut warnings = Vec::new();
    let mut found = if let Some(found) = remembered(&subject, age) {
        found
    } else {
        let limits = Limits {
            timeout: Duration::from_secs(asking.timeout.into()),
            ttl: age,
            offline: asking.offline,
        };
        let cache = Cache::of_user();
        let answered = resolve_blocking(&subject, limits, cache.as_ref(), is_interrupted);
        let answered = answered.map_err(|error| {
            let miss = Box::new(miss.clone());
            match error {
                BlockingError::Resolve(error) => {
                    let error = Box::new(error);
                    MissError::NotResolved { miss, error }
                }
                error => MissError::NotAsked { miss, error },
            }
        })?;
        warnings.extend(answered.cache_error.map(|error| not_kept(&error)));
        remember(&subject, &answered.found);
        answered.found
    };
    if let Some((tag, _)) = &question.pinned {
        found.tag = Some(tag.clone());
    }
    let pinned = answer(query, &found).map_err(Box::new)?;
    warnings.extend(warn_once(question, &pinned));
    Ok(Resolved {
        pinned: pinned.to_string(),
        warnings,
    })
}

fn check_allowed(
    question: &Question,
    miss: &LookupError,
    asking: &Asking,
) -> Result<(), MissError> {
    let registry = question.query.image().registry();
    let mut is_allowed = asking.registries.is_empty();
    for name in &asking.registries {
        // A registry is what an image's name can begin with.
        let image = format!("{name}/image").parse::<ImageName>();
        match image {
            Ok(image)
                if !name.contains('/')
                    && image.to_string() == format!("{}/image", image.registry()) =>
            {
                is_allowed |= image.registry() == registry;
            }
            _ => return Err(MissError::BadRegistry(name.clone())),
        }
    }
    if is_allowed {
        return Ok(());
    }
    Err(MissError::NotAllowed {
        miss: Box::new(miss.clone()),
        registry: registry.to_owned(),
    })
}

type Answers = HashMap<Subject, (Instant, Found)>;

/// What this process was told already.
static ANSWERS: Mutex<Option<Answers>> = Mutex::new(None);

fn remembered(subject: &Subject, age: Duration) -> Option<Found> {
    let answers = lock(&ANSWERS);
    let (time, found) = answers.as_ref()?.get(subject)?;
    (time.elapsed() < age.max(SHORTEST_LIFE)).then(|| found.clone())
}

fn remember(subject: &Subject, found: &Found) {
    let mut answers = lock(&ANSWERS);
    let answers = answers.get_or_insert_default();
    answers.insert(subject.clone(), (Instant::now(), found.clone()));
}

/// What makes the answer stay, told once for each.
fn warn_once(question: &Question, pinned: &Reference) -> Option<String> {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if !lock(&TOLD).insert(pinned.to_string()) {
        return None;
    }
    let image = &pinned.image;
    let way = match (&pinned.tag, question.query.platform()) {
        _ if !question.is_tracked => format!("run 'nix-oci-hashes add {image}'"),
        (_, Some(platform)) if question.pinned.is_some() => format!(
            "add \"{platform}\" to its 'platforms' in images.json and run 'nix-oci-hashes refresh --image {image}'"
        ),
        (Some(tag), _) => format!(
            "add \"{tag}\" to its 'tags' in images.json and run 'nix-oci-hashes refresh --image {image}'"
        ),
        (None, _) => "name a tag that is pinned".to_owned(),
    };
    Some(format!(
        "builtins.ociHash: not in the table, but asked of the registry: {pinned}; to pin it, {way}"
    ))
}

fn not_kept(error: &FileError) -> String {
    format!("builtins.ociHash: the answer of the registry is not kept for the next time: {error}")
}
