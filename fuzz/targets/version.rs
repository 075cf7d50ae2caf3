//! Tags, versions, variants and requirements.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::requirement::Requirement;
use nix_oci_hashes::tag::Tag;
use nix_oci_hashes::variant::VariantPattern;

fuzz_target!(|text: &str| {
    // A requirement and a tag, a line each.
    let (requirement, tag) = text.split_once('\n').unwrap_or((text, text));
    let tag = tag.parse::<Tag>().ok();
    let version = tag.as_ref().and_then(Tag::version);
    if let Ok(requirement) = requirement.parse::<Requirement>()
        && let Some(version) = &version
    {
        let _ = requirement.matches(version);
    }
    if let Ok(variant) = requirement.parse::<VariantPattern>()
        && let Some(version) = &version
    {
        let _ = variant.matches(version.variant());
    }
});
