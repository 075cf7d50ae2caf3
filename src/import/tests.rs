use super::*;
use proptest::prelude::*;

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// `12 reference` for each reference, `12 text: reason` for each skipped text.
fn lines(imported: &Imported) -> (Vec<String>, Vec<String>) {
    let found = imported.found.iter();
    let skipped = imported.skipped.iter();
    (
        found
            .map(|found| format!("{} {}", found.line, found.reference))
            .collect(),
        skipped
            .map(|skipped| format!("{} {}: {}", skipped.line, skipped.text, skipped.reason))
            .collect(),
    )
}

#[test]
fn a_lone_carriage_return_ends_a_line_of_yaml() {
    // YAML 1.2.2, section 5.4 "Line Break Characters".
    let text =
        "services:\n  x:\r    image: docker.io/redis:8\r\n  y:\n    image: docker.io/caddy:2\n";
    let imported = parse(text, Path::new("compose.yaml")).unwrap();
    let found = lines(&imported).0;
    assert_eq!(found, ["3 docker.io/redis:8", "5 docker.io/caddy:2"]);
}

#[test]
fn compose_files() {
    let text = format!(
        r#"
x-common: &common
  image: docker.io/redis:8
  restart: always
x-name: &named docker.io/caddy:2
services:
  immich:
    image: ghcr.io/immich-app/immich-server:${{IMMICH_VERSION:-release}}
    volumes:
      - image:/data
  nextcloud:
    <<: *common
    image: "nextcloud:34@{DIGEST}"
  built:
    image: docker.io/mine:1
    build: .
  variable:
    image: ${{REGISTRY}}/mine:1
  nested:
    image: ${{IMAGE:-${{REGISTRY:-quay.io}}/a:1}}${{UNSET:+-debug}}
  alias:
    image: *named
  bad:
    image: Not An Image
  none:
    image:
volumes:
  image: {{}}
"#
    );
    let imported = yaml::parse(&text).unwrap();
    let (found, skipped) = lines(&imported);
    assert_eq!(
        found,
        [
            "3 docker.io/redis:8".to_owned(),
            "8 ghcr.io/immich-app/immich-server:release".to_owned(),
            format!("13 docker.io/nextcloud:34@{DIGEST}"),
            "20 quay.io/a:1".to_owned(),
            "22 docker.io/caddy:2".to_owned(),
        ]
    );
    assert_eq!(
        skipped[..2],
        [
            "15 docker.io/mine:1: it is built from sources, not pulled",
            "18 ${REGISTRY}/mine:1: the variable 'REGISTRY' has no value here"
        ]
    );
    assert!(
        skipped[2].starts_with("24 Not An Image: invalid image reference"),
        "{skipped:?}"
    );
    assert_eq!(skipped.len(), 3);
}

#[test]
fn services_that_inherit_a_build_are_not_pulled() {
    let text = r"
x-local: &local { image: 'local-app', build: . }
x-build: &build
  build: { context: . }
x-common: &common { restart: always }
services:
  anchored: *local
  merged: { <<: *build, image: 'mine/merged:1' }
  both: { <<: [*common, *build], image: 'mine/both:1' }
  inline: { <<: { build: . }, image: 'mine/inline:1' }
  inlines: { <<: [*common, { build: . }], image: 'mine/inlines:1' }
  base: &base { build: ., image: 'mine/base:1' }
  of_base: { <<: *base, image: 'mine/of-base:1' }
  short: { image: 'mine/short:1', extends: base }
  long: { image: 'mine/long:1', extends: { service: short } }
  pulled: { <<: *common, image: 'docker.io/caddy:2' }
";
    let imported = yaml::parse(text).unwrap();
    let (found, skipped) = lines(&imported);
    assert_eq!(found, ["16 docker.io/caddy:2"]);
    assert_eq!(skipped.len(), 9, "{skipped:?}");
    let reason = "it is built from sources, not pulled";
    assert!(
        skipped.iter().all(|line| line.ends_with(reason)),
        "{skipped:?}"
    );
}

#[test]
fn an_alias_of_a_long_text_takes_no_memory() {
    let long = "a".repeat(2000);
    let text = format!("x-long: &long {long}\nservices: {{ a: {{ image: *long }} }}\n");
    let imported = yaml::parse(&text).unwrap();
    let (found, skipped) = lines(&imported);
    assert!(found.is_empty() && skipped.is_empty());
}

#[test]
fn kubernetes_manifests() {
    let text = r"
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers:
        - name: init
          image: busybox:1.37
      containers:
        - image: quay.io/keycloak/keycloak:26.7
          name: app
      volumes:
        - name: models
          image: { reference: 'ghcr.io/a/models:v1', pullPolicy: Always }
---
---
apiVersion: batch/v1
kind: CronJob
spec: { jobTemplate: { spec: { template: { spec: { containers: [ { image: 'a.io/b' } ] } } } } }
---
kind: not a manifest
image: nothing
---
apiVersion: v1
kind: ConfigMap
data: { image: background }
---
apiVersion: example.org/v1
kind: Custom
spec: { image: 'a.io/c:1', other: { image: background } }
";
    let (found, skipped) = lines(&yaml::parse(text).unwrap());
    assert_eq!(
        found,
        [
            "9 docker.io/busybox:1.37",
            "11 quay.io/keycloak/keycloak:26.7",
            "15 ghcr.io/a/models:v1",
            "20 a.io/b",
            "31 a.io/c:1"
        ]
    );
    assert_eq!(
        skipped,
        ["31 background: it has neither tag nor digest, and may be something else"]
    );
}

#[test]
fn refuses_other_yaml() {
    for text in [
        "",
        "a: b",
        "- image: x",
        "[1, 2",
        "\tx: y",
        "services",
        &"[".repeat(100_000),
    ] {
        assert!(yaml::parse(text).is_err(), "{text:.20}");
    }
    // Aliases to collections are not expanded, so this file takes no extra memory.
    let bomb = (1..40).fold("a0: &a0 [x]\nservices: {}\n".to_owned(), |text, n| {
        let before = format!("*a{}, ", n - 1);
        format!(
            "{text}a{n}: &a{n} [{}]\n",
            before.repeat(9).trim_end_matches(", ")
        )
    });
    assert!(yaml::parse(&bomb).is_ok());
}

#[test]
fn dockerfiles() {
    let text = format!(
        r#"# syntax=docker/dockerfile:1
ARG ALPINE=3.22
ARG NAME=debian
ARG BASE="${{NAME}}"
FROM --platform=$BUILDPLATFORM golang:1.26-alpine AS build
FROM alpine:${{ALPINE}} AS Runtime
FROM ${{BASE}}:${{DEBIAN:-trixie}}
FROM ${{UNKNOWN}}/x
FROM scratch
FROM runtime
COPY --from=build /a /a
COPY --from=0 /a /a
COPY \
  --chown=1 \
  --from=ghcr.io/astral-sh/uv@{DIGEST} /uv /bin/
RUN --mount=type=bind,from=docker.io/busybox:1,target=/x true
RUN <<EOT
FROM inside:1
EOT
ONBUILD COPY --from=busybox:2 /a /a
RUN echo $((1<<8)) <<NOEND && cat<<EOF >/x
FROM hidden:1
EOF
ARG DEBIAN=12
FROM "debian:${{DEBIAN:-sid}}" AS shift
RUN --mount=type=bind,"from=${{TOOL}}",target=/x true
ARG TOOL=a.io/tool:1
RUN --mount=type=bind,"from=${{TOOL}}",target=/x true
"#
    );
    let (found, skipped) = lines(&dockerfile::parse(&text));
    assert_eq!(
        found,
        [
            "5 docker.io/golang:1.26-alpine".to_owned(),
            "6 docker.io/alpine:3.22".to_owned(),
            "7 docker.io/debian:trixie".to_owned(),
            format!("13 ghcr.io/astral-sh/uv@{DIGEST}"),
            "16 docker.io/busybox:1".to_owned(),
            "20 docker.io/busybox:2".to_owned(),
            "25 docker.io/debian:sid".to_owned(),
            "28 a.io/tool:1".to_owned(),
        ]
    );
    assert_eq!(
        skipped,
        [
            "8 ${UNKNOWN}/x: the variable 'UNKNOWN' has no value here",
            "26 ${TOOL}: the variable 'TOOL' has no value here"
        ]
    );
}

#[test]
fn nix_files() {
    let text = format!(
        r#"{{ config, ... }}:
let version = "34"; in
{{
  # image = "commented:1";
  virtualisation.oci-containers.containers = {{
    nextcloud.image = "docker.io/nextcloud:34@{DIGEST}";
    caddy = {{ image = "caddy:2"; imageFile = "no"; }};
    other = {{ "image" = "nextcloud:${{version}}"; }};
    text.description = "image = \"quoted:1\"";
    long.image = ''ghcr.io/a/b:1'';
    call.image = builtins.ociHash "docker.io/caddy:2";
    stylix.image = "wallpaper.png";
    default.image = lib.mkDefault "caddy:2.11";
    computed.image = "a" + "b";
    set.image = {{ name = "a"; }};
  }};
}}
"#
    );
    let (found, skipped) = lines(&nix::parse(&text).unwrap());
    assert_eq!(
        found,
        [
            format!("6 docker.io/nextcloud:34@{DIGEST}"),
            "7 docker.io/caddy:2".to_owned(),
            "10 ghcr.io/a/b:1".to_owned(),
            "13 docker.io/caddy:2.11".to_owned(),
        ]
    );
    assert_eq!(
        skipped,
        [
            "8 \" nextcloud: ${ version } \": it is not a literal string",
            "11 builtins . ociHash \" docker.io/caddy:2 \": ociHash pins it already",
            "12 wallpaper.png: it has neither tag nor digest, and may be something else",
            "14 \" a \" + \" b \": it is not a literal string",
            "15 { name = \" a \": it is not a literal string"
        ]
    );
    for part in ["{ image = ", "{ image = \"", "image", "= \"a\";"] {
        assert!(nix::parse(part).unwrap().found.is_empty(), "{part}");
    }
    for deep in ["[", "(", "{a=", "\"${", "!", "a:", "-"] {
        let _ = nix::parse(&deep.repeat(100_000));
    }
}

#[test]
fn the_files_of_the_first_nix_oci_hashes() {
    let other = DIGEST.replace('b', "c");
    let text = format!(
        r#"{{
  "docker.io/nextcloud": {{
    "29": {{
      "linux/amd64": "docker.io/nextcloud:29@{DIGEST}",
      "linux/arm64": "docker.io/nextcloud:29@{DIGEST}"
    }},
    "30": {{
      "linux/amd64": "docker.io/nextcloud:30@{DIGEST}",
      "linux/arm64": "docker.io/nextcloud:30@{other}"
    }},
    "31": {{ "linux/amd64": "docker.io/other:31@{DIGEST}" }}
  }}
}}"#
    );
    let (found, skipped) = lines(&seed::parse(&text, "it").unwrap());
    assert_eq!(found, [format!("4 docker.io/nextcloud:29@{DIGEST}")]);
    assert!(
        skipped[0].starts_with("8 docker.io/nextcloud:30: its platforms have different"),
        "{skipped:?}"
    );
    assert!(
        skipped[1].contains("it is not a reference to docker.io/nextcloud:31"),
        "{skipped:?}"
    );

    let entry = r#"{ "image": "docker.io/nextcloud", "initialMajor": ["30"] }"#;
    let imported = seed::parse(&format!("[{entry}]"), "it").unwrap();
    assert_eq!(
        imported.entries,
        [("docker.io/nextcloud".parse().unwrap(), entry.to_owned())]
    );

    let own = include_str!("../../digests.json");
    let pins = own.matches("\"digest\": ").count();
    assert_eq!(seed::parse(own, "it").unwrap().found.len(), pins);
    for other in [
        "",
        "{",
        "[{}]",
        "{\"a\": 1}",
        "1",
        "{\"version\": 3, \"images\": {}}",
    ] {
        assert!(seed::parse(other, "it").is_err(), "{other}");
    }
}

#[test]
fn the_file_name_determines_the_format() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("compose.yaml", "services: { a: { image: a } }"),
        (
            "docker-compose.override.YML",
            "services: { a: { image: a } }",
        ),
        ("Dockerfile", "FROM a"),
        ("Containerfile.dev", "FROM a"),
        ("app.dockerfile", "FROM a"),
        ("configuration.nix", "{ image = \"a:1\"; }"),
        ("bom.dockerfile", "\u{feff}FROM a"),
        (
            "compose.json",
            "{ \"version\": \"3\", \"services\": { \"a\": { \"image\": \"a\" } } }",
        ),
        (
            "pod.json",
            "{ \"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": { \"containers\": [{ \"image\": \"a\" }] } }",
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let found = lines(&read(&path).unwrap()).0;
        assert!(found[0].starts_with("1 docker.io/a"), "{name}: {found:?}");
    }
    for name in ["notes.txt", "missing.nix"] {
        let error = read(&folder.path().join(name)).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let path = folder.path().join("binary.nix");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("not UTF-8"));
}

proptest! {
    #[test]
    fn every_reference_occurs_in_the_text(
        text in "[ -~\n]{0,80}",
        likely in "(FROM|image:|image = ) ?\"?[a-z]{1,6}(\\.io)?/[a-z]{1,6}(:[0-9.]{1,4})?\"?;?\n{0,2}",
        any: String,
    ) {
        for text in [text, likely, any] {
            let lines = text.lines().count();
            let all = [
                yaml::parse(&text).ok(),
                nix::parse(&text).ok(),
                seed::parse(&text, "it").ok(),
                Some(dockerfile::parse(&text)),
            ];
            for imported in all.into_iter().flatten() {
                for found in imported.found {
                    prop_assert!((1..=lines).contains(&found.line), "{:?}", found);
                    let tag = found.reference.tag.map(|tag| tag.to_string());
                    prop_assert!(text.contains(&tag.unwrap_or_default()));
                }
                for skipped in imported.skipped {
                    prop_assert!((1..=lines).contains(&skipped.line), "{:?}", skipped);
                    prop_assert!(!skipped.text.chars().any(char::is_control));
                }
            }
        }
    }
}

#[test]
fn other_operators_of_variables_are_no_plain_ones() {
    let of = |image: &str| {
        let imported = dockerfile::parse(&format!("ARG V=1.2\nARG E=\nFROM {image}\n"));
        match (imported.found.first(), imported.skipped.first()) {
            (Some(found), None) => found.reference.to_string(),
            (_, skipped) => skipped.unwrap().reason.clone(),
        }
    };
    assert_eq!(of("r.io/a:${V:=3}"), "r.io/a:1.2");
    assert_eq!(of("r.io/a:${E:=3}"), "r.io/a:3");
    assert_eq!(of("r.io/a:${N=3}"), "r.io/a:3");
    assert_eq!(of("r.io/a:${V:?}"), "r.io/a:1.2");
    assert_eq!(
        of("r.io/a:${E:?none}"),
        "the variable 'E' has no value here"
    );
    for operator in ["#1.", "%.2", "/1/3", ":", ":1:2", "^^"] {
        let reason = of(&format!("r.io/a:${{V{operator}}}"));
        assert_eq!(
            reason,
            format!("the operator '{operator}' is not supported")
        );
    }
    // Only `COPY --from` counts stages.
    assert_eq!(of("3"), "docker.io/3");
}

#[test]
fn the_size_of_expanded_variables_is_limited() {
    let mut text = "ARG A0=aaaaaaaaaaaaaaaa\n".to_owned();
    for n in 0..16 {
        let value = format!("$A{n}").repeat(8);
        text.push_str(&format!("ARG A{}={value}\n", n + 1));
    }
    text.push_str("FROM registry.example/$A16\n");
    let imported = dockerfile::parse(&text);
    assert!(imported.found.is_empty());
    assert!(
        imported.skipped[0].reason.contains("has no value here"),
        "{:?}",
        imported.skipped
    );
    // The total size of many variables is limited too.
    let many: String = (0..200_000).map(|n| format!("ARG B{n}=$A1$A1\n")).collect();
    let imported = dockerfile::parse(&format!(
        "ARG A1={}\n{many}FROM $B199999\n",
        "b".repeat(500)
    ));
    assert_eq!(imported.skipped.len(), 1);
}

#[test]
fn a_large_table_is_read_in_linear_time() {
    let digest = "a".repeat(64);
    let tags = (0..100_000)
        .map(|n| format!("\"{n}\": {{ \"linux/amd64\": \"docker.io/a:{n}@sha256:{digest}\" }}"));
    let text = format!(
        "{{ \"docker.io/a\": {{\n{}\n}} }}",
        tags.collect::<Vec<_>>().join(",\n")
    );
    let imported = seed::parse(&text, "digests.json").unwrap();
    let line_of = |tag: &str| {
        let found = imported.found.iter().find(|found| {
            found
                .reference
                .tag
                .as_ref()
                .is_some_and(|of| of.as_str() == tag)
        });
        found.unwrap().line
    };
    assert_eq!((line_of("0"), line_of("99999")), (2, 100_001));
}
