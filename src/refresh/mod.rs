//! A refresh: images.json, the old table and the registries in, a new table
//! and a report out.

mod plan;
mod report;
mod run;

pub use plan::{Plan, plan};
pub use report::{Change, ChangeKind, Gone, Lacking, Problem, Report};
pub use run::{Progress, refresh};
