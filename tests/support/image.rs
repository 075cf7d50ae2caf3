//! Images of several layers, which run: `busybox` and some text.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::registry::Registry;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The media types of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Oci,
    Docker,
}

/// A layer of one file.
pub struct Layer {
    tar: Vec<u8>,
    compression: Compression,
}

impl Layer {
    pub fn new(path: &str, content: &[u8], compression: Compression) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
        let tar = run(
            Command::new("tar")
                .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0"])
                .args(["--numeric-owner", "--mode=0755", "-cf", "-", "-C"])
                .arg(folder.path())
                .arg(path),
            &[],
        );
        Self { tar, compression }
    }

    /// The layer with a static busybox.
    pub fn busybox(compression: Compression) -> Self {
        let path = run(Command::new("sh").args(["-c", "command -v busybox"]), &[]);
        let path = String::from_utf8(path).unwrap();
        let program = std::fs::read(Path::new(path.trim())).unwrap();
        Self::new("bin/busybox", &program, compression)
    }

    fn blob(&self) -> Vec<u8> {
        match self.compression {
            Compression::None => self.tar.clone(),
            Compression::Gzip => run(Command::new("gzip").args(["-n", "-c"]), &self.tar),
            Compression::Zstd => run(Command::new("zstd").args(["-q", "-c"]), &self.tar),
        }
    }

    fn media_type(&self, format: Format) -> &'static str {
        match (format, self.compression) {
            (Format::Docker, Compression::None) => "application/vnd.docker.image.rootfs.diff.tar",
            (Format::Docker, _) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Format::Oci, Compression::None) => "application/vnd.oci.image.layer.v1.tar",
            (Format::Oci, Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Format::Oci, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run 'make test-tools'"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

pub fn digest(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Pushes an image for linux/amd64 that runs `command`, and an index of it as `tag`.
/// Returns the digest of its manifest.
pub fn push(
    registry: &Registry,
    (repository, tag): (&str, &str),
    format: Format,
    layers: &[Layer],
    command: &[&str],
) -> String {
    let descriptor = |media_type: &str, content: &[u8]| {
        registry.push_blob(repository, content, &digest(content));
        json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
    };
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(&layer.tar)).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": command },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let (config_type, manifest_type, index_type) = match format {
        Format::Oci => (
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.index.v1+json",
        ),
        Format::Docker => (
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ),
    };
    let blobs = layers
        .iter()
        .map(|layer| descriptor(layer.media_type(format), &layer.blob()));
    let blobs: Vec<Value> = blobs.collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type,
        "config": descriptor(config_type, config.to_string().as_bytes()), "layers": blobs,
    });
    let manifest = manifest.to_string();
    let manifest_digest = digest(manifest.as_bytes());
    registry.push_manifest(repository, &manifest_digest, &manifest);
    let index = json!({
        "schemaVersion": 2, "mediaType": index_type,
        "manifests": [{
            "mediaType": manifest_type, "digest": manifest_digest, "size": manifest.len(),
            "platform": { "os": "linux", "architecture": "amd64" },
        }],
    });
    registry.push_manifest(repository, tag, &index.to_string());
    manifest_digest
}
