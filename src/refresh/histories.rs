//! Random histories of a registry: no digest gets in unless the policy holds, and every
//! digest with which it holds does.

use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::tests::{Clock, Recorded};
use super::{Options, Refusal, Services, State, Verifier, refresh};
use crate::images::{self, Claim, GITHUB_ISSUER, Signer, TrackedImage};
use crate::reference::{Digest, Tag};
use crate::registry::StoredSignature;
use crate::registry::tests::fake::{Answer, Fake, digest, image, index};
use crate::table::pending::Pending;

const IMAGE: &str = "r.example/app";
/// The last is a full version.
const TAGS: [&str; 3] = ["edge", "1", "1.0.0"];
const FULL: usize = 2;
const CONTENTS: usize = 4;
const HOUR: i64 = 3600;
const LONGEST_GAP: i64 = 36 * HOUR;
const MINIMUM: i64 = 72 * HOUR;
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Who has signed a content.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Signed {
    Nobody,
    Stranger,
    Index,
    OnePlatform,
    EveryPlatform,
    /// The registry does not say.
    Unknown,
}

impl Signed {
    fn is_enough(self) -> bool {
        matches!(self, Self::Index | Self::EveryPlatform)
    }
}

/// What a tag points to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    Content(usize),
    Nothing,
    Failure,
}

/// What the registry serves during one run.
#[derive(Debug, Clone)]
struct World {
    tags: [Target; TAGS.len()],
    signed: [Signed; CONTENTS],
}

/// What happens before a run, and how it runs.
#[derive(Debug, Clone)]
struct Step {
    hours: i64,
    moves: Vec<(usize, Target)>,
    signed: Option<(usize, Signed)>,
    is_overriding: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let hours = prop_oneof![6 => Just(24_i64), 2 => 0..100_i64, 1 => -100..0_i64, 1 => Just(9000)];
    let target = prop_oneof![
        8 => (0..CONTENTS).prop_map(Target::Content),
        1 => Just(Target::Nothing),
        1 => Just(Target::Failure),
    ];
    let moves = prop::collection::vec((0..TAGS.len(), target), 0..2);
    let signed = prop::sample::select(vec![
        Signed::Nobody,
        Signed::Stranger,
        Signed::Index,
        Signed::OnePlatform,
        Signed::EveryPlatform,
        Signed::Unknown,
    ]);
    let signed = prop::option::weighted(0.3, (0..CONTENTS, signed));
    let step = (hours, moves, signed, prop::bool::weighted(0.05));
    step.prop_map(|(hours, moves, signed, is_overriding)| Step {
        hours,
        moves,
        signed,
        is_overriding,
    })
}

fn platforms(content: usize) -> [String; 2] {
    ["amd64", "arm64"].map(|architecture| format!("{content} {architecture}"))
}

fn content(at: usize) -> String {
    let [amd64, arm64] = platforms(at).map(|text| digest(&text));
    index(&[("linux/amd64", &amd64), ("linux/arm64", &arm64)])
}

/// The signature of a digest, as the registry of these tests stores it.
fn signature(signer: &str, digest: &Digest) -> String {
    format!("{signer} {digest}")
}

fn artifact(signature: &str) -> String {
    let layer = serde_json::json!({ "mediaType": BUNDLE, "digest": digest(signature).to_string(), "size": 1 });
    let config =
        serde_json::json!({ "mediaType": "m", "digest": digest("{}").to_string(), "size": 2 });
    serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    })
    .to_string()
}

impl World {
    fn answer(&self, method: &str, at: &str) -> Answer {
        let path = at.trim_start_matches("/v2/app/");
        if path == "tags/list" {
            let tags = TAGS.iter().zip(self.tags);
            let listed = tags.filter(|(_, target)| *target != Target::Nothing);
            let listed: Vec<&str> = listed.map(|(tag, _)| *tag).collect();
            return Answer::tags(&listed);
        }
        let end = path.rsplit('/').next().unwrap_or_default();
        if let Some(tag) = TAGS.iter().position(|tag| *tag == end) {
            return match self.tags[tag] {
                Target::Content(at) => Answer::digest(&content(at)),
                Target::Nothing => Answer::status(404),
                Target::Failure => Answer::status(500),
            };
        }
        if path.starts_with("referrers/") {
            return self.referrers(end);
        }
        let mut bodies = (0..CONTENTS).flat_map(|at| {
            let index = content(at);
            let [amd64, arm64] = platforms(at).map(|text| digest(&text));
            let signed = [digest(&index), amd64, arm64];
            let signatures = signed
                .iter()
                .flat_map(|of| ["owner/repo", "evil/repo"].map(|signer| signature(signer, of)));
            let signatures = signatures.flat_map(|text| [artifact(&text), text]);
            signatures.chain([index]).collect::<Vec<_>>()
        });
        let body = bodies.find(|body| digest(body).to_string() == end);
        assert!(method == "GET" || body.is_none(), "{method} {at}");
        body.map_or(Answer::status(404), Answer::body)
    }

    fn referrers(&self, of: &str) -> Answer {
        let mut signers = Vec::new();
        for (at, signed) in self.signed.iter().enumerate() {
            let is_index = digest(&content(at)).to_string() == of;
            let mut platforms = platforms(at).into_iter();
            let platform = platforms.position(|text| digest(&text).to_string() == of);
            match (signed, is_index, platform) {
                (Signed::Unknown, true, _) => return Answer::status(500),
                (Signed::Stranger, true, _) => signers.push("evil/repo"),
                (Signed::Index, true, _)
                | (Signed::OnePlatform, _, Some(0))
                | (Signed::EveryPlatform, _, Some(_)) => signers.push("owner/repo"),
                _ => {}
            }
        }
        let of: Digest = of.parse().unwrap();
        let manifests = signers.iter().map(|signer| {
            let body = artifact(&signature(signer, &of));
            serde_json::json!({
                "mediaType": MANIFEST, "artifactType": BUNDLE, "digest": digest(&body).to_string(), "size": 1,
            })
        });
        let manifests: Vec<_> = manifests.collect();
        Answer::body(serde_json::json!({ "schemaVersion": 2, "manifests": manifests }).to_string())
    }
}

/// Reads the signatures of [`signature`].
struct Reader;

impl Verifier for Reader {
    fn signer(
        &self,
        digest: &Digest,
        stored: &StoredSignature,
    ) -> Result<(Signer, Claim), Refusal> {
        let StoredSignature::Bundle(text) = stored else {
            return Err(Refusal::WithKey);
        };
        let text = String::from_utf8(text.clone()).unwrap();
        let (repository, of) = text.split_once(' ').unwrap();
        if of != digest.to_string() {
            return Err(Refusal::OtherDigest);
        }
        let signer = Signer {
            issuer: GITHUB_ISSUER.to_owned(),
            identity: "a workflow".to_owned(),
            is_email: false,
            repository: Some(format!("https://github.com/{repository}")),
        };
        Ok((signer, Claim::Signature))
    }

    fn verify_key(&self, _: &Path, _: &Digest, _: &StoredSignature) -> Result<(), Refusal> {
        Err(Refusal::WithKey)
    }
}

/// One run of the past.
struct Run {
    time: i64,
    world: World,
}

/// An upper bound of the age of a content, in seconds. The age counts back to the last run
/// in which no tag pointed to it; for a full version, to the last run in which this tag did
/// not. A failed request counts as seen.
fn longest_age(runs: &[Run], tag: usize, at: usize) -> i64 {
    let may_have_seen = |run: &&Run| {
        let tags = match tag {
            FULL => &run.world.tags[FULL..],
            _ => &run.world.tags[..],
        };
        tags.iter()
            .any(|target| matches!(target, Target::Failure) || *target == Target::Content(at))
    };
    let span: Vec<&Run> = runs.iter().rev().take_while(may_have_seen).collect();
    let gaps = span.windows(2).map(|runs| runs[0].time - runs[1].time);
    gaps.map(|gap| gap.clamp(0, LONGEST_GAP)).sum()
}

/// A project whose runs follow a registry that changes.
struct Project {
    tracked: [TrackedImage; 1],
    state: State,
    world: Arc<Mutex<World>>,
    fake: Fake,
    runs: Vec<Run>,
    time: i64,
}

impl Project {
    fn new(repushed: &str) -> Self {
        let entry = serde_json::json!([{
            "image": IMAGE, "strategies": {}, "tags": TAGS, "minimumAge": "3d",
            "signedBy": { "github": "owner/repo" }, "repushed": repushed,
        }]);
        let tracked = images::parse(entry.to_string().as_bytes(), "images.json").unwrap();
        let world = World {
            tags: [Target::Nothing; TAGS.len()],
            signed: [Signed::Index; CONTENTS],
        };
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        let fake = Fake::new(move |request, _, _| {
            let world = shared.lock().unwrap();
            world.answer(request.method.as_str(), request.url.path())
        });
        Self {
            tracked: tracked.try_into().unwrap(),
            state: State::default(),
            world,
            fake,
            runs: Vec::new(),
            time: 1_800_000_000,
        }
    }

    fn apply(&mut self, step: &Step) {
        self.time += step.hours * HOUR;
        let mut world = self.world.lock().unwrap();
        for (tag, target) in &step.moves {
            world.tags[*tag] = *target;
        }
        if let Some((at, signed)) = step.signed {
            world.signed[at] = signed;
        }
    }

    fn pin(&self, tag: usize) -> Option<Digest> {
        let tag: Tag = TAGS[tag].parse().unwrap();
        let pin = self.state.table.images.get(&image(IMAGE))?.get(&tag)?;
        Some(pin.digest.clone())
    }

    /// Runs a refresh, and asserts that all that it pins may be.
    async fn run(&mut self, is_overriding: bool) {
        let world = self.world.lock().unwrap().clone();
        self.runs.push(Run {
            time: self.time,
            world: world.clone(),
        });
        let old = TAGS.iter().enumerate().map(|(tag, _)| self.pin(tag));
        let old: Vec<Option<Digest>> = old.collect();
        let options = Options {
            time: self.time.try_into().unwrap(),
            is_overriding,
            ..Options::default()
        };
        let services = Services {
            client: &self.fake.client(),
            recorder: &Recorded::default(),
            verifier: &Reader,
            progress: &Clock::start(),
        };
        let (new, _) = refresh(&self.tracked, &self.state, &options, &services).await;
        // What is pending is read back from its file.
        let pending = new.pending.to_json();
        self.state = State {
            table: new.table,
            pending: Pending::parse(pending.as_bytes(), "pending.json").unwrap(),
        };
        for (tag, before) in old.iter().enumerate() {
            let Some(pinned) = self.pin(tag) else {
                assert_eq!(*before, None, "a pin of {} is lost", TAGS[tag]);
                continue;
            };
            if before.as_ref() == Some(&pinned) {
                continue;
            }
            let at = (0..CONTENTS).find(|at| digest(&content(*at)) == pinned);
            let at = at.unwrap();
            assert!(world.tags.contains(&Target::Content(at)), "withdrawn: {at}");
            assert!(world.signed[at].is_enough(), "unsigned: {at}");
            if is_overriding {
                continue;
            }
            let is_held = self.tracked[0].repushed == images::Repushed::Hold;
            assert!(!(is_held && tag == FULL && before.is_some()), "re-pushed");
            let is_known = old.contains(&Some(pinned));
            let age = longest_age(&self.runs, tag, at);
            assert!(is_known || age >= MINIMUM, "{} is {age} s old", TAGS[tag]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_digest_gets_in_if_and_only_if_the_policy_holds(
        steps in prop::collection::vec(step(), 1..24),
        repushed in prop::sample::select(vec!["report", "expected", "hold"]),
    ) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut project = Project::new(repushed);
            for step in &steps {
                project.apply(step);
                project.run(step.is_overriding).await;
            }
            // Now the registry rests.
            let before = project.pin(FULL);
            *project.world.lock().unwrap() = World {
                tags: [Target::Content(0), Target::Content(1), Target::Content(2)],
                signed: [Signed::Index; CONTENTS],
            };
            for _ in 0..5 {
                project.time += 24 * HOUR;
                project.run(false).await;
            }
            for tag in 0..TAGS.len() {
                if tag == FULL && repushed == "hold" && before.is_some() {
                    assert_eq!(project.pin(tag), before);
                } else {
                    assert_eq!(project.pin(tag), Some(digest(&content(tag))));
                }
            }
        });
    }
}
