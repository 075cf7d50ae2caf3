//! Refreshes the table: reads images.json, the old table and the registries, and
//! returns a new table and a report.

mod admission;
mod backfill;
mod choose;
mod compare;
mod decision;
mod details;
mod fetch;
mod image;
mod inspect;
mod options;
mod plan;
mod record;
mod refreshed;
mod report;
mod run;
mod scope;
mod signing;
mod update;
mod verifier;
mod withdrawn;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

pub use admission::HoldReason;
pub use compare::compare;
pub use decision::{Decision, KeepReason, RequestReason, SkipReason};
pub use details::{Details, DetailsOf};
pub use options::{Options, Progress, Recorder, Services, State};
pub use plan::{Plan, plan};
pub use report::{
    Ambiguous, Change, ChangeKind, Gone, Held, MissingManifests, MissingPlatform, Problem, Report,
};
pub use run::refresh;
pub use scope::{Scope, Shard, ShardError};
pub use verifier::{Refusal, Unsigned, Verifier};
pub use withdrawn::{Withdrawn, withdrawn};
