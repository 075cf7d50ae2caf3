//! `builtins.ociHash`: the library as a Nix plugin. C++ (`cpp/`) takes arguments
//! apart and throws errors; this module answers. Its tests need no Nix: only `bridge`
//! does.

#![cfg_attr(
    not(feature = "plugin"),
    allow(dead_code, reason = "the bridge uses what no test does")
)]

mod answer;
#[cfg(feature = "plugin")]
#[allow(
    unsafe_code,
    unreachable_pub,
    clippy::unnecessary_box_returns,
    reason = "cxx generates the code; the unsafe parts of our own say why they are sound"
)]
mod bridge;
mod error;
mod resolve;
mod tables;
#[cfg(test)]
mod tests;
