//! The registry client over a fake network. Time is tokio's: it passes only while all
//! tasks wait.

mod api;
mod auth;
pub(crate) mod fake;
mod layers;
mod sharing;
mod throttle;
