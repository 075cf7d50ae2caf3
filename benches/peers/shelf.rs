//! 24 images of ten tags each, which refreshes are measured on.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use super::measure::{Run, run};
use super::support::Workspace;
use super::support::registry::Registry;

pub const IMAGES: usize = 24;
pub const TAGS: usize = 10;
/// The file of a registry's authority in a workspace, for a registry over TLS.
pub const AUTHORITY: &str = "authority.pem";

/// The repository with this number, of the name that a simulated registry gives it.
fn repository(number: usize) -> String {
    format!("org/app{number:06}")
}

/// The image with this number in a registry.
pub fn image(address: &str, number: usize) -> String {
    format!("{address}/{}", repository(number))
}

/// The tag with this number.
pub fn tag(number: usize) -> String {
    format!("1.{number}.0")
}

/// Pushes all images.
pub fn push(registry: &Registry) {
    for number in 0..IMAGES {
        let tags: Vec<(String, String)> = (0..TAGS)
            .map(|of| (tag(of), format!("{number} {of}")))
            .collect();
        let platforms = ["linux/amd64", "linux/arm64"];
        registry.push_many(&repository(number), &tags, &platforms);
    }
}

/// The images.json that tracks every tag.
pub fn images_json(address: &str) -> String {
    let images = (0..IMAGES).map(|number| {
        let all = json!({ "major-minor-patch": true });
        json!({ "image": image(address, number), "strategies": all, "keep": TAGS })
    });
    images.collect::<Value>().to_string()
}

/// Runs skopeo for every tag, 16 at once, as often as `rounds`. `flags` are those of
/// `skopeo inspect`, and the certificates that it trusts those of [`AUTHORITY`], if any.
pub fn skopeo(address: &str, workspace: &Workspace, flags: &[&str], rounds: usize) -> Vec<Run> {
    let mut references = String::new();
    for number in 0..IMAGES * TAGS {
        let (image, tag) = (image(address, number / TAGS), tag(number % TAGS));
        writeln!(references, "docker://{image}:{tag}").unwrap();
    }
    workspace.write("references", references);
    let run_all = |_| {
        let mut command = Command::new("xargs");
        command
            .args(["-a", "references", "-n", "1", "-P", "16"])
            .args(["skopeo", "inspect", "--raw"])
            .args(flags)
            .env("SSL_CERT_FILE", workspace.path(AUTHORITY))
            .current_dir(workspace.path(""));
        run(&mut command)
    };
    (0..rounds).map(run_all).collect()
}
