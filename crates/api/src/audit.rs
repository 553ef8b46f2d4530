//! Our own extension: the confinement of containers, read from the kernel and
//! compared with what was decided. `GET /containers/{id}/audit` and, for all
//! that run, `GET /cofferdam/audit`.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use engine::{Container, Engine};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    id: String,
    name: String,
    image: String,
    rows: Vec<Row>,
    weakened: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    layer: String,
    expected: String,
    found: String,
    ok: bool,
}

/// One container.
pub fn one(call: &Call) -> Outcome {
    let container = call.engine.container(call.name())?;
    Ok(Answer::json(&report(&call.engine, &container)?))
}

/// All that run. One that ends meanwhile is left out.
pub fn all(call: &Call) -> Outcome {
    let mut reports = Vec::new();
    for container in call.engine.containers() {
        if !container.state.is_running() {
            continue;
        }
        match report(&call.engine, &container) {
            Ok(report) => reports.push(report),
            Err(error)
                if matches!(error.kind(), engine::Kind::NotFound | engine::Kind::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Answer::json(&reports))
}

fn report(engine: &Engine, container: &Container) -> Result<Report, engine::Error> {
    let audit = engine.audit(container.id.as_str())?;
    let row = |row: engine::Row| Row {
        layer: row.layer,
        expected: row.expected,
        found: row.found,
        ok: row.ok,
    };
    Ok(Report {
        id: container.id.to_string(),
        name: container.name.clone(),
        image: container.config.image.clone(),
        rows: audit.rows.into_iter().map(row).collect(),
        weakened: audit.weakened,
    })
}
