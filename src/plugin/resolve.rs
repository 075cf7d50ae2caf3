//! Resolves a miss by its registry, as far as the settings allow.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::json::FileError;
use crate::lock::lock;
use crate::lookup::{LookupError, RegistryQuery};
use crate::reference::{ImageName, Reference};
use crate::resolve::{
    BlockingError, Cache, Limits, ResolveError, ResolvedPin, Target, pinned_reference,
    resolve_blocking,
};
use crate::text::Quoted;

/// How long this process uses an answer at least, whatever `tarball-ttl` says: one
/// evaluation must not see two digests of one tag.
const MIN_TTL: Duration = Duration::from_secs(300);

/// Longest timeout, in seconds. A longer one is a mistake, such as the -1 that old
/// versions of Nix read as a large number.
const MAX_TIMEOUT: u32 = 3600;

/// The settings of resolution by a registry.
pub(super) struct Settings {
    /// The only registries that may be asked; any if it is empty.
    pub(super) registries: Vec<String>,
    /// How long one reference may take, in seconds.
    pub(super) timeout: u32,
    /// How long a cached answer is fresh, in seconds.
    pub(super) ttl: u64,
    /// Whether Nix is offline.
    pub(super) offline: bool,
}

/// What a registry has answered.
pub(super) struct Resolution {
    /// The pinned reference.
    pub(super) pinned: String,
    /// Warnings for the user.
    pub(super) warnings: Vec<String>,
}

/// Why a registry gives no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
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
        "the setting 'oci-hash-timeout' is {0}; write how many seconds one reference may take, from 1 to {MAX_TIMEOUT}"
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
        BlockingError::Offline => {
            "; run Nix without --offline, or look the image up in a table that has it"
        }
        _ => "",
    }
}

/// The registry's pinned reference for `registry_query`, which was `miss`
/// in the table.
pub(super) fn resolve(
    registry_query: &RegistryQuery,
    miss: &LookupError,
    settings: &Settings,
    is_interrupted: fn() -> bool,
) -> Result<Resolution, Error> {
    check_allowed(registry_query, miss, settings)?;
    if !(1..=MAX_TIMEOUT).contains(&settings.timeout) {
        return Err(Error::BadTimeout(settings.timeout));
    }
    let query = &registry_query.query;
    let target = match &registry_query.pinned {
        Some((_, digest)) => Target::of_digest(query.image().clone(), digest.clone()),
        None => Target::of(query),
    };
    let ttl = Duration::from_secs(settings.ttl);
    let mut warnings = Vec::new();
    let mut found = match remembered(&target, ttl) {
        Some(found) => found,
        None => ask(&target, miss, settings, is_interrupted, &mut warnings)?,
    };
    if let Some((tag, _)) = &registry_query.pinned {
        found.tag = Some(tag.clone());
    }
    let pinned = pinned_reference(query, &found).map_err(Box::new)?;
    if is_first(&pinned) {
        warnings.push(how_to_pin(registry_query, &pinned));
    }
    Ok(Resolution {
        pinned: pinned.to_string(),
        warnings,
    })
}

/// What the cache or the registry has for `target`.
fn ask(
    target: &Target,
    miss: &LookupError,
    settings: &Settings,
    is_interrupted: fn() -> bool,
    warnings: &mut Vec<String>,
) -> Result<ResolvedPin, Error> {
    let limits = Limits {
        timeout: Duration::from_secs(settings.timeout.into()),
        ttl: Duration::from_secs(settings.ttl),
        offline: settings.offline,
    };
    let cache = Cache::of_user();
    let resolved = resolve_blocking(target, limits, cache.as_ref(), is_interrupted);
    let resolved = resolved.map_err(|error| {
        let miss = Box::new(miss.clone());
        match error {
            BlockingError::Resolve(error) => {
                let error = Box::new(error);
                Error::NotResolved { miss, error }
            }
            error => Error::NotAsked { miss, error },
        }
    })?;
    warnings.extend(resolved.cache_error.map(|error| not_kept(&error)));
    Ok(remember(target, resolved.found, limits.ttl))
}

fn check_allowed(
    registry_query: &RegistryQuery,
    miss: &LookupError,
    settings: &Settings,
) -> Result<(), Error> {
    let registry = registry_query.query.image().registry();
    let mut is_allowed = settings.registries.is_empty();
    for name in &settings.registries {
        // A registry is valid if the name of an image can begin with it.
        let image = format!("{name}/image").parse::<ImageName>();
        match image {
            Ok(image)
                if !name.contains('/')
                    && image.to_string() == format!("{}/image", image.registry()) =>
            {
                is_allowed |= image.registry() == registry;
            }
            _ => return Err(Error::BadRegistry(name.clone())),
        }
    }
    if is_allowed {
        return Ok(());
    }
    Err(Error::NotAllowed {
        miss: Box::new(miss.clone()),
        registry: registry.to_owned(),
    })
}

/// The answers of registries that this process has got, and when.
static ANSWERS: Mutex<Option<HashMap<Target, (Instant, ResolvedPin)>>> = Mutex::new(None);

fn remembered(target: &Target, ttl: Duration) -> Option<ResolvedPin> {
    let answers = lock(&ANSWERS);
    let (time, found) = answers.as_ref()?.get(target)?;
    is_fresh(*time, ttl).then(|| found.clone())
}

/// Stores the registry's answer and returns the one to use. If threads resolve one
/// target concurrently, all use the first answer.
pub(super) fn remember(target: &Target, found: ResolvedPin, ttl: Duration) -> ResolvedPin {
    let mut answers = lock(&ANSWERS);
    let answers = answers.get_or_insert_default();
    match answers.get(target) {
        Some((time, first)) if is_fresh(*time, ttl) => first.clone(),
        _ => {
            answers.insert(target.clone(), (Instant::now(), found.clone()));
            found
        }
    }
}

fn is_fresh(time: Instant, ttl: Duration) -> bool {
    time.elapsed() < ttl.max(MIN_TTL)
}

/// Whether this process has not given this answer before: it warns once.
fn is_first(pinned: &Reference) -> bool {
    static GIVEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    lock(&GIVEN).insert(pinned.to_string())
}

/// How to pin what a registry has answered.
fn how_to_pin(registry_query: &RegistryQuery, pinned: &Reference) -> String {
    let image = &pinned.image;
    let way = match (&pinned.tag, registry_query.query.platform()) {
        _ if !registry_query.is_tracked => format!("run 'nix-oci-hashes add {image}'"),
        (_, Some(platform)) if registry_query.pinned.is_some() => format!(
            "add \"{platform}\" to its 'platforms' in images.json and run 'nix-oci-hashes refresh --image {image}'"
        ),
        (Some(tag), _) => format!(
            "add \"{tag}\" to its 'tags' in images.json and run 'nix-oci-hashes refresh --image {image}'"
        ),
        (None, _) => "name a tag that is pinned".to_owned(),
    };
    format!(
        "builtins.ociHash: not in the table, but the registry has it: {pinned}; to pin it, {way}"
    )
}

fn not_kept(error: &FileError) -> String {
    format!("builtins.ociHash: the registry's answer cannot be cached: {error}")
}
