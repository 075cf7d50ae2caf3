//! `builtins.ociHash`: the library as a Nix plugin. C++ (`cpp/`) takes arguments
//! apart and throws errors; this module answers.

mod answer;
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
