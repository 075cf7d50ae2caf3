//! Tags, versions, variants, requirements and patterns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::reference::{Pattern, Requirement, Tag, VariantPattern, Version};

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
    if let (Ok(pattern), Some(tag)) = (requirement.parse::<Pattern>(), &tag)
        && let Some(version) = pattern.read(tag)
    {
        // What a pin records is read again.
        let read = Version::from_pin(&version.to_pin(), version.variant());
        assert_eq!(read.as_ref(), Some(&version));
    }
    if let Ok(variant) = requirement.parse::<VariantPattern>()
        && let Some(version) = &version
    {
        let _ = variant.matches(version.variant());
    }
});
