//! `nix-oci-hashes add`: track an image, and pin it now.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::digest::Digest;
use nix_oci_hashes::file;
use nix_oci_hashes::images::default_platforms;
use nix_oci_hashes::images::edit::Editor;
use nix_oci_hashes::lookup::TagList;
use nix_oci_hashes::name::ImageName;
use nix_oci_hashes::platform::Platform;
use nix_oci_hashes::propose::Proposal;
use nix_oci_hashes::refresh::{Options, Scope, refresh};
use nix_oci_hashes::registry::Client;
use nix_oci_hashes::tag::Tag;

use super::files::{Files, read_table};
use super::network::{self, Network};
use super::progress::Bars;
use super::report::{self, Outcome};

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

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    network: Network,
}

pub(super) fn run(arguments: Arguments) -> Result<u8> {
    let Arguments {
        image,
        platform,
        files,
        network,
    } = arguments;
    let locks = files.lock()?;
    check_new(&files.editor()?, &image, &files)?;
    let (old, _) = read_table(&files.digests)?;
    let client = network.client()?;
    let runtime = network::runtime()?;

    let (proposal, offered) = runtime.block_on(look_at(&client, &image))?;
    let platforms = choose(&image, &platform.into_iter().collect(), &offered)?;
    let others = offered
        .keys()
        .filter(|platform| !platforms.contains(*platform));
    let others: Vec<String> = others.map(ToString::to_string).collect();
    let tracked = proposal.entry(image.clone(), platforms);
    let options = Options {
        scope: Scope::Images([image.clone()].into()),
        ..Options::default()
    };
    let bars = Bars::default();
    let (table, report) = runtime.block_on(refresh(
        std::slice::from_ref(&tracked),
        &old,
        &client,
        &options,
        &bars,
    ));
    bars.finish();
    if table.images.get(&image).is_none_or(BTreeMap::is_empty) {
        super::print(&report::terminal::render(&report, "nothing written"))?;
        bail!("{image} has no tag that could be pinned; see above");
    }
    // Read anew: people edit the file while a registry takes its time.
    let mut editor = files.editor()?;
    check_new(&editor, &image, &files)?;
    editor.add(&tracked);
    file::write(&files.images, editor.text().as_bytes())?;
    file::write(&files.digests, table.to_json().as_bytes()).with_context(|| {
        format!(
            "{image} stands in {} now, without pins",
            files.images.display()
        )
    })?;
    drop(locks);
    let entry = editor.entry(&image).unwrap_or_default();
    let mut text = format!("{}:\n  {entry}\n", files.images.display());
    if !others.is_empty() {
        text.push_str(&format!(
            "It is for {} too; add them to 'platforms' if you need them.\n",
            others.join(", ")
        ));
    }
    let outcome = format!("{} {}", files.digests.display(), Outcome::Written);
    text.push_str(&report::terminal::render(&report, &outcome));
    super::print(&text)?;
    Ok(if report.problems.is_empty() {
        super::DONE
    } else {
        super::SOME_FAILED
    })
}

fn check_new(editor: &Editor, image: &ImageName, files: &Files) -> Result<()> {
    if editor.entry(image).is_some() {
        let file = files.images.display();
        bail!(
            "{image} is tracked already; change its entry in {file}, then run 'nix-oci-hashes refresh'"
        );
    }
    Ok(())
}

/// What the registry has of the image: a proposal from its tags, and the
/// platforms of the tag that the proposal names.
async fn look_at(
    client: &Client,
    image: &ImageName,
) -> Result<(Proposal, BTreeMap<Platform, Digest>)> {
    let tags = client.tags(image).await?;
    let Some(proposal) = Proposal::from_tags(&tags) else {
        let shown = TagList::of(&tags);
        bail!(
            "{image} has no version among its {} tags: {shown}; write an entry yourself, such as {{ \"image\": \"{image}\", \
             \"strategies\": {{}}, \"tags\": [\"{}\"] }}, and run 'nix-oci-hashes refresh'",
            tags.len(),
            tags.first().map_or("latest", Tag::as_str)
        );
    };
    let sample = proposal.sample();
    let digest = client.digest(image, sample).await?;
    let digest = digest.with_context(|| {
        format!("the registry lists {image}:{sample} and does not have it; try again")
    })?;
    let offered = client.platforms(image, &digest).await?;
    Ok((proposal, offered))
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
        bail!("{image} says of no platform that it is for it; it may be no container image");
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
