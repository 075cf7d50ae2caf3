//! Renders one report that has an entry of every kind in each format.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use insta::assert_snapshot;
use nix_oci_hashes::images::Signer;
use nix_oci_hashes::reference::{Algorithm, Digest, ImageName, Precision, Tag};
use nix_oci_hashes::refresh::{
    Ambiguous, Change, ChangeKind, Decision, Details, DetailsOf, Gone, Held, HoldReason,
    KeepReason, MissingManifests, MissingPlatform, Problem, Refusal, Report, RequestReason,
    SkipReason, Unsigned,
};
use nix_oci_hashes::registry::{Annotations, Cause, Content, ImageContent, Quota, RegistryError};

use super::{Outcome, json, markdown, terminal};

fn digest(of: &str) -> Digest {
    Digest::of(Algorithm::Sha256, of.as_bytes())
}

fn image(name: &str) -> ImageName {
    name.parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn problems() -> Vec<(ImageName, Problem)> {
    vec![
        (
            image("docker.io/redis"),
            Problem::Tag {
                tag: tag("8"),
                error: RegistryError {
                    image: image("docker.io/redis"),
                    cause: Box::new(Cause::NoSuchImage),
                },
            },
        ),
        (
            image("registry.example/c"),
            Problem::NoPlatform {
                tag: tag("1"),
                offered: vec!["windows/amd64".parse().unwrap()],
            },
        ),
    ]
}

fn held() -> Vec<Held> {
    let too_young = |name: &str, hours: u64| Held {
        image: image("docker.io/caddy"),
        tag: tag(name),
        digest: digest(name),
        reason: HoldReason::TooYoung {
            age: Duration::from_secs(hours * 3600 + 1),
            minimum: "3d".parse().unwrap(),
        },
    };
    let repushed = Held {
        image: image("docker.io/redis"),
        tag: tag("8.2.1"),
        digest: digest("8.2.1"),
        reason: HoldReason::Repushed,
    };
    let signer = Signer {
        issuer: "https://accounts.example".to_owned(),
        identity: "a\u{1b}[2J|`b`@example.org".to_owned(),
        is_email: true,
        repository: None,
    };
    let unsigned = Held {
        image: image("ghcr.io/owner/app"),
        tag: tag("1"),
        digest: digest("1"),
        reason: HoldReason::Unsigned(Unsigned {
            policy: serde_json::from_str(r#"{ "github": "owner/app" }"#).unwrap(),
            refusals: vec![Refusal::OtherSigner(signer), Refusal::OtherDigest],
            unusable: Vec::new(),
            unread: 0,
            manifests: 2,
            signed_manifests: 1,
        }),
    };
    vec![
        too_young("2", 47),
        too_young("2.11.1", 51),
        repushed,
        unsigned,
    ]
}

/// Of what [`report`] moves and adds.
fn details() -> DetailsOf {
    let of = |image_name: &str, of: &str, version: &str, revision: &str, layers: &[&str]| {
        let label = |name: &str| format!("org.opencontainers.image.{name}");
        let source = "https://github.com/nextcloud/docker".to_owned();
        let content = ImageContent {
            layers: layers
                .iter()
                .map(|layer| (digest(layer), 20_600_000))
                .collect(),
            labels: [
                (label("source"), source),
                (label("version"), version.to_owned()),
                (label("revision"), revision.repeat(8)),
            ]
            .into(),
            created: Some("2026-11-28T01:02:03Z".to_owned()),
            ..ImageContent::default()
        };
        let details = Details::new(&Annotations::new(), content);
        ((image(image_name), digest(of)), details)
    };
    [
        of("docker.io/nextcloud", "old", "34.0.4", "01234", &["a", "b"]),
        of(
            "docker.io/nextcloud",
            "new",
            "34.0.5",
            "56789",
            &["a", "c", "d"],
        ),
    ]
    .into()
}

fn report() -> Report {
    let change = |name: &str, of: &str, kind| Change {
        image: image(name),
        tag: tag(of),
        kind,
    };
    let moved = |repushed| ChangeKind::Moved {
        old: digest("old"),
        new: digest("new"),
        repushed,
        lost: if repushed {
            vec!["linux/arm64".parse().unwrap()]
        } else {
            Vec::new()
        },
    };
    Report {
        explain: false,
        details: details(),
        held: held(),
        manifests_recorded: 2,
        missing_manifests: vec![MissingManifests {
            image: "docker.io/nextcloud".parse().unwrap(),
            manifests: 3,
        }],
        changes: vec![
            change("docker.io/nextcloud", "34", moved(false)),
            change("docker.io/nextcloud", "34.0.4", moved(true)),
            change(
                "docker.io/nextcloud",
                "34.0.3",
                ChangeKind::Version {
                    old: None,
                    new: Some("34.0.3+1".to_owned()),
                },
            ),
            change(
                "docker.io/grafana/grafana",
                "13",
                ChangeKind::Added { new: digest("a") },
            ),
            change(
                "ghcr.io/immich-app/immich-server",
                "v3",
                ChangeKind::Verified {
                    digest: digest("v"),
                },
            ),
            change(
                "quay.io/prometheus/prometheus",
                "v3.1.0",
                ChangeKind::Platforms {
                    added: vec!["linux/arm64".parse().unwrap()],
                    removed: vec!["linux/386".parse().unwrap()],
                },
            ),
            change(
                "registry.example/a/b",
                "1",
                ChangeKind::Removed { old: digest("r") },
            ),
        ],
        kept: 57,
        gone: vec![Gone {
            image: image("docker.io/nextcloud"),
            tag: tag("12"),
            pinned: true,
        }],
        ambiguous: vec![Ambiguous {
            image: image("docker.io/nextcloud"),
            tag: tag("34"),
            platform: "linux/arm64".parse().unwrap(),
        }],
        missing_platforms: vec![MissingPlatform {
            image: image("docker.io/nextcloud"),
            platform: "linux/arm/v7".parse().unwrap(),
            pins: 2,
        }],
        problems: problems(),
        quotas: [(
            "docker.io".to_owned(),
            Quota {
                remaining: 76,
                limit: Some(100),
                window: 21600,
            },
        )]
        .into(),
        decisions: BTreeMap::new(),
    }
}

/// The text without colour, as in a pipe.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn on_a_terminal() {
    let text = terminal::render(&report(), "digests.json written");
    assert!(
        text.contains("\u{1b}[36mmoved\u{1b}[0m"),
        "there is colour: {text:?}"
    );
    assert_snapshot!(plain(&text));
}

#[test]
fn as_markdown() {
    assert_snapshot!(markdown::render(&report(), "`digests.json` written"));
}

#[test]
fn as_json() {
    assert_snapshot!(json::render(&report(), "digests.json", Outcome::Written));
}

#[test]
fn a_refresh_without_changes() {
    let report = Report {
        kept: 240,
        ..Report::default()
    };
    let line = "0 added, 0 moved, 0 removed, 240 kept: digests.json is up to date\n";
    assert_eq!(
        terminal::render(&report, "digests.json is up to date"),
        line
    );
    assert_eq!(
        markdown::render(&report, "`digests.json` is up to date"),
        "**0 added, 0 moved, 0 removed, 240 kept**: `digests.json` is up to date\n"
    );
}

#[test]
fn why_each_tag_was_taken_or_left() {
    let decisions = [
        (
            "34",
            Decision::Request(RequestReason::Newest {
                precision: Precision::Major,
                keep: 3,
            }),
        ),
        ("latest", Decision::Request(RequestReason::Listed)),
        (
            "9",
            Decision::Skip(SkipReason::Unsatisfied {
                precision: Precision::Major,
                requirement: std::sync::Arc::new(">=33".parse().unwrap()),
            }),
        ),
        ("33.0.1", Decision::Keep(KeepReason::Full)),
        ("35.0.0-rc1", Decision::Skip(SkipReason::Prerelease)),
    ];
    let decisions = decisions.map(|(name, decision)| (tag(name), decision));
    let report = Report {
        decisions: [(image("docker.io/nextcloud"), decisions.into())].into(),
        ..Report::default()
    };
    assert_snapshot!(plain(&terminal::render(
        &report,
        "digests.json is up to date"
    )));
}

#[test]
fn a_very_long_report_still_fits_a_pull_request() {
    let changes = (0..10_000).map(|n| Change {
        image: image("docker.io/grafana/grafana"),
        tag: tag(&format!("1.0.{n}")),
        kind: ChangeKind::Added { new: digest("new") },
    });
    let report = Report {
        changes: changes.collect(),
        gone: report().gone,
        ..Report::default()
    };
    let text = markdown::render(&report, "`digests.json` written");
    assert!(text.len() < 65_536, "{}", text.len());
    assert!(
        text.contains("<details><summary>10000 added</summary>"),
        "{text}"
    );
    assert!(text.contains("\nand 9"), "{text}");
    assert_eq!(
        text.matches("<details>").count(),
        text.matches("</details>").count()
    );
}

/// Text from a registry stays within its cell. It is not rendered as markup, a mention, a
/// link or an escape sequence of the terminal.
#[test]
fn failures_of_one_registry_for_one_reason_are_one_line() {
    let down = |name: &str| {
        let image = image(name);
        let cause = Box::new(Cause::Timeout {
            after: Duration::from_secs(9),
        });
        let error = RegistryError {
            image: image.clone(),
            cause,
        };
        (image, Problem::Image(error))
    };
    let names = ["a", "b", "c", "d", "e"].map(|name| format!("r.example/{name}"));
    let mut report = Report {
        problems: names.iter().map(|name| down(name)).collect(),
        ..Report::default()
    };
    report.problems.push(down("ghcr.io/owner/app"));
    let text = terminal::render(&report, "written");
    let line = "r.example          timed out after 9 s waiting for r.example; try again later, or allow more \
                time with --deadline: r.example/a, r.example/b, r.example/c and 2 more; --verbose names them\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("  ghcr.io/owner/app  timed out"), "{text}");
    assert!(text.contains("6 failed"), "{text}");
    assert_eq!(text.lines().count(), 3);
    assert!(markdown::render(&report, "written").contains("| `r.example` |"));
    report.explain = true;
    assert_eq!(terminal::render(&report, "written").lines().count(), 7);
}

#[test]
fn text_from_a_registry_is_escaped() {
    let error = RegistryError {
        image: image("r.example/a"),
        cause: Box::new(Cause::Malformed {
            content: Content::TagList,
            reason: "https://evil.example/\u{1b}[31m|`x``y` @you <script> #1\n| a |".to_owned(),
        }),
    };
    let report = Report {
        problems: vec![(image("r.example/a"), Problem::Image(error))],
        ..Report::default()
    };
    let markdown = markdown::render(&report, "x");
    let row = markdown.lines().find(|line| line.contains("evil")).unwrap();
    let cells = row.replace("\\|", "");
    assert_eq!(cells.matches('|').count(), 3, "{row}");
    assert!(row.contains("| ```the registry sent a tag list"), "{row}");
    assert!(row.ends_with("``` |"), "{row}");
    let terminal = plain(&terminal::render(&report, "x"));
    for text in [&terminal, &markdown] {
        assert!(!text.contains('\u{1b}'));
        assert!(text.contains("\\u{1b}"), "{text}");
    }
    assert_eq!(terminal.lines().count(), 2);
}
