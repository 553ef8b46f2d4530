//! Our own extension: what the machine lacks, what that costs, and how it is
//! mended. `GET /cofferdam/doctor`.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use engine::Severity;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    check: &'static str,
    /// `ok`, `less`, `refusing`.
    state: &'static str,
    found: String,
    cost: &'static str,
    remedy: &'static str,
}

/// All that was looked at, in the order of looking.
pub fn examine(call: &Call) -> Outcome {
    let rows = call.engine.doctor().into_iter().map(|symptom| Row {
        check: symptom.check,
        state: match symptom.severity {
            Severity::Fine => "ok",
            Severity::Less => "less",
            Severity::Refusing => "refusing",
        },
        found: symptom.found,
        cost: symptom.cost,
        remedy: symptom.remedy,
    });
    Ok(Answer::json(&rows.collect::<Vec<_>>()))
}
