//! A refresh: images.json, the old table and the registries in, a new table
//! and a report out.

mod choose;
mod complete;
mod decision;
mod plan;
mod report;
mod run;
mod scope;

#[cfg(test)]
mod tests;

pub use decision::{Decision, Kept, Left, Taken};
pub use plan::{Plan, plan};
pub use report::{Ambiguous, Change, ChangeKind, Gone, Lacking, Problem, Report};
pub use run::{Options, Progress, refresh};
pub use scope::{Scope, Shard, ShardError};
