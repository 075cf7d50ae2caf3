//! `nix-oci-hashes add`: track an image, and pin it now.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use futures_util::future::join_all;
use nix_oci_hashes::file;
use nix_oci_hashes::images::default_platforms;
use nix_oci_hashes::images::edit::Editor;
use nix_oci_hashes::images::propose::{Listing, Proposal};
use nix_oci_hashes::lookup::TagList;
use nix_oci_hashes::reference::{Digest, ImageName, Platform, Tag};
use nix_oci_hashes::refresh::{Options, Scope, Services, State, refresh};
use nix_oci_hashes::registry::{Client, TagSet};
use nix_oci_hashes::signature::SigstoreVerifier;

use super::choice;
use super::files::{Files, read_table};
use super::manifests::ManifestRecorder;
use super::network::{self, Network};
use super::output;
use super::progress::Bars;
use super::report::{self, Outcome};
use super::signatures::{Signatures, Signers};

/// How many `HEAD` requests look for the version that `latest` points to, at most.
const MOST_PROBES: usize = 60;
/// How many of these run at once.
const PROBES_AT_ONCE: usize = 20;

/// Track an image: find its platforms and versions, write its entry, and pin it
///
/// Exits with 0 when done, 1 if it could not be pinned, 2 if some of its tags
/// failed (the rest is written).
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image, such as docker.io/nextcloud
    image: ImageName,

    /// Track this platform, or Nix system; may be repeated [default: linux/amd64 and linux/arm64, as far as the image
    /// has them]
    #[arg(long)]
    platform: Vec<Platform>,

    /// Record the manifests too, from which Nix builds the image ("store" in images.json)
    #[arg(long)]
    store: bool,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    signatures: Signatures,

    #[command(flatten)]
    network: Network,
}

pub(super) fn run(arguments: Arguments) -> Result<u8> {
    let Arguments {
        image,
        platform,
        store,
        files,
        signatures,
        network,
    } = arguments;
    let locks = files.lock()?;
    check_new(&files.editor()?, &image, &files)?;
    let (old, _) = read_table(&files.digests)?;
    let verifier = signatures.verifier(&[], &files.images)?;
    let client = network.client()?;
    let runtime = network::runtime()?;

    let Findings {
        listed,
        evidence,
        proposal,
        offered,
        signers,
    } = runtime.block_on(inspect(&client, &verifier, &image))?;
    let platforms = choose(&image, &platform.into_iter().collect(), &offered)?;
    let others = offered
        .keys()
        .filter(|platform| !platforms.contains(*platform));
    let others: Vec<String> = others.map(ToString::to_string).collect();
    let mut tracked = proposal.entry(image.clone(), platforms);
    tracked.store = store;
    let options = Options {
        scope: Scope::Images([image.clone()].into()),
        ..Options::default()
    };
    let recorder = ManifestRecorder::new(&files.digests, &files.digests, false);
    let bars = Bars::counting("tags");
    let old = State {
        table: old,
        ..State::default()
    };
    let services = Services {
        client: &client,
        recorder: &recorder,
        verifier: &verifier,
        progress: &bars,
    };
    let images = std::slice::from_ref(&tracked);
    let (State { table, .. }, report) =
        runtime.block_on(refresh(images, &old, &options, &services));
    bars.finish();
    if table.images.get(&image).is_none_or(BTreeMap::is_empty) {
        output::print(&report::terminal::render(&report, "nothing written"))?;
        bail!("{image} has no tag that could be pinned; see above");
    }
    // Read the file again: the user may have edited it during the requests.
    let mut editor = files.editor()?;
    check_new(&editor, &image, &files)?;
    editor.add(&tracked);
    file::write(&files.images, editor.text().as_bytes())?;
    file::write(&files.digests, table.to_json().as_bytes()).with_context(|| {
        format!(
            "{image} was added to {}, but its pins were not written",
            output::name_of(&files.images)
        )
    })?;
    drop(locks);
    let entry = editor.entry(&image).unwrap_or_default();
    let mut text = format!(
        "{}:\n  {entry}\n{evidence}\n",
        output::name_of(&files.images)
    );
    text.push_str(&choice::render(&tracked, &listed));
    if !others.is_empty() {
        text.push_str(&format!(
            "It is for {} too; add them to 'platforms' if you need them.\n",
            others.join(", ")
        ));
    }
    text.push_str(&signers.to_string());
    let outcome = format!("{} {}", output::name_of(&files.digests), Outcome::Written);
    text.push_str(&report::terminal::render(&report, &outcome));
    output::print(&text)?;
    Ok(if report.problems.is_empty() {
        output::DONE
    } else {
        output::SOME_FAILED
    })
}

fn check_new(editor: &Editor, image: &ImageName, files: &Files) -> Result<()> {
    if editor.has(image) {
        let file = output::name_of(&files.images);
        bail!(
            "{image} is tracked already; change its entry in {file}, then run 'nix-oci-hashes refresh'"
        );
    }
    Ok(())
}

/// What the registry has for an image.
struct Findings {
    listed: TagSet,
    /// Why the entry is proposed, as a sentence.
    evidence: String,
    proposal: Proposal,
    /// The platforms of the tag that the proposal names.
    offered: BTreeMap<Platform, Digest>,
    signers: Signers,
}

async fn inspect(
    client: &Client,
    verifier: &SigstoreVerifier,
    image: &ImageName,
) -> Result<Findings> {
    let listed = client.tags(image).await?;
    let listing = Listing::new(&listed);
    let word = listing.current_tag();
    let followed = match word {
        Some(word) => {
            let same = same_as(client, image, &listing, word).await?;
            let proposal = listing.follow(word, &same);
            proposal.map(|proposal| (word, proposal))
        }
        None => None,
    };
    let (evidence, proposal) = match (followed, word) {
        (Some((word, proposal)), _) => (
            format!("'{word}' and {} are the same image.", proposal.sample()),
            Some(proposal),
        ),
        (None, Some(word)) => (
            format!("No version is the same image as '{word}'; the newest versions are followed."),
            listing.newest(),
        ),
        (None, None) => (
            "No tag such as 'latest' marks the current release; the newest versions are followed."
                .to_owned(),
            listing.newest(),
        ),
    };
    let Some(proposal) = proposal else {
        let shown = TagList::of(listed.iter());
        bail!(
            "{image} has no version among its {} tags: {shown}; write an entry yourself, such as {{ \"image\": \"{image}\", \
             \"strategies\": {{}}, \"tags\": [\"{}\"] }}, and run 'nix-oci-hashes refresh'",
            listed.len(),
            listed.first().map_or("latest", Tag::as_str)
        );
    };
    let sample = proposal.sample();
    let digest = client.digest(image, sample).await?;
    let digest = digest.with_context(|| {
        format!("the registry lists {image}:{sample} and does not have it; try again")
    })?;
    let offered = client.platforms(image, &digest).await?.manifests;
    let signers = Signers::of(client, verifier, image, &digest).await;
    Ok(Findings {
        listed,
        evidence,
        proposal,
        offered,
        signers,
    })
}

/// The version tags with the digest of `word`, found with at most [`MOST_PROBES`]
/// requests.
async fn same_as<'a>(
    client: &Client,
    image: &ImageName,
    listing: &Listing<'a>,
    word: &Tag,
) -> Result<BTreeSet<&'a Tag>> {
    let mut same = BTreeSet::new();
    let Some(current) = client.digest(image, word).await? else {
        return Ok(same);
    };
    let mut left = MOST_PROBES;
    let mut asked = BTreeSet::new();
    let probes = listing.probes();
    for probes in probes.chunks(PROBES_AT_ONCE) {
        same.extend(pointing_to(client, image, &current, probes, &mut asked, &mut left).await);
        // Other tags of the same release show which precisions the image has.
        let relatives = same.iter().flat_map(|tag| listing.relatives(tag));
        let relatives: Vec<&Tag> = relatives.collect();
        if !same.is_empty() {
            let found =
                pointing_to(client, image, &current, &relatives, &mut asked, &mut left).await;
            same.extend(found);
            break;
        }
        if left == 0 {
            break;
        }
    }
    Ok(same)
}

/// Those of `tags` whose digest is `current`. Sends one request for each tag that is
/// not in `asked` yet, and at most `left`.
async fn pointing_to<'a>(
    client: &Client,
    image: &ImageName,
    current: &Digest,
    tags: &[&'a Tag],
    asked: &mut BTreeSet<&'a Tag>,
    left: &mut usize,
) -> Vec<&'a Tag> {
    let new: Vec<&Tag> = tags
        .iter()
        .copied()
        .filter(|tag| asked.insert(tag))
        .take(*left)
        .collect();
    *left -= new.len();
    let requests = new.into_iter().map(|tag| async move {
        // A tag whose request fails does not count.
        let digest = client.digest(image, tag).await.ok().flatten();
        (digest.as_ref() == Some(current)).then_some(tag)
    });
    let found: Vec<Option<&Tag>> = join_all(requests).await;
    found.into_iter().flatten().collect()
}

/// The platforms asked for, or the usual ones, or all there are.
fn choose(
    image: &ImageName,
    asked: &BTreeSet<Platform>,
    offered: &BTreeMap<Platform, Digest>,
) -> Result<BTreeSet<Platform>> {
    let names = || {
        offered
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Some(missing) = asked
        .iter()
        .find(|platform| !offered.contains_key(*platform))
    {
        bail!("{image} is not for {missing}; it is for {}", names());
    }
    if !asked.is_empty() {
        return Ok(asked.clone());
    }
    if offered.is_empty() {
        bail!("{image} names no platform; it may not be a container image");
    }
    let usual: BTreeSet<Platform> = default_platforms()
        .into_iter()
        .filter(|platform| offered.contains_key(platform))
        .collect();
    Ok(if usual.is_empty() {
        offered.keys().cloned().collect()
    } else {
        usual
    })
}
