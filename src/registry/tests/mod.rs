//! A registry in this process that misbehaves on request, in the place of the
//! network. Time is tokio's, and stands still while anything is to be done.

mod access;
mod answers;
pub(crate) mod fake;
mod layers;
mod patience;
