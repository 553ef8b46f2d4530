//! `state`, `list` and `ps`: looking at containers.

use crate::{
    App, Given,
    container::{Container, Status},
    problem::{Doing, Problem},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _, os::unix::fs::MetadataExt, process::Command};

/// What `state` prints, and `list` in a row.
#[derive(Serialize)]
struct View<'a> {
    #[serde(rename = "ociVersion")]
    oci_version: &'a str,
    id: &'a str,
    pid: i32,
    status: &'static str,
    bundle: &'a str,
    rootfs: &'a str,
    created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    owner: String,
}

impl Container {
    fn view(&self, owner: String) -> Result<View<'_>, Problem> {
        let status = self.status()?;
        let record = &self.record;
        Ok(View {
            oci_version: &record.spec.oci_version,
            id: &record.id,
            pid: if status == Status::Stopped { 0 } else { record.init_process_pid },
            status: status.word(),
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: &record.created,
            annotations: &record.spec.annotations,
            owner,
        })
    }
}

/// `state`.
pub fn state(app: &App, given: &Given) -> Result<u8, Problem> {
    let container = Container::open(app, &given.arguments[0])?;
    let view = container.view(String::new())?;
    app.print(&serde_json::to_string_pretty(&view).expect("plain data"))
}

/// `list`.
pub fn list(app: &App, given: &Given) -> Result<u8, Problem> {
    let json = is_json(given)?;
    let containers = containers(app)?;
    if given.has("quiet") {
        let ids = containers.iter().map(|container| format!("{}\n", container.record.id));
        return app.print(&ids.collect::<String>());
    }
    let mut views = Vec::new();
    for container in &containers {
        match owner(container).and_then(|owner| container.view(owner)) {
            Ok(view) => views.push(view),
            // One that cannot be read hides no other.
            Err(problem) => app.log.error(&problem.line()),
        }
    }
    if json {
        let rows = serde_json::to_string(&views).expect("plain data");
        // As Go writes an empty list.
        return app.print(if views.is_empty() { "null\n".into() } else { rows + "\n" }.as_str());
    }
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = views.iter().map(|v| {
        let pid = v.pid.to_string();
        [v.id.into(), pid, v.status.into(), v.bundle.into(), v.created.into(), v.owner.clone()]
    });
    app.print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
}

/// Every container that has a record, in the order of their identifiers.
fn containers(app: &App) -> Result<Vec<Container>, Problem> {
    let entries = match std::fs::read_dir(&app.root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing("list", &app.root)?,
    };
    let mut containers = Vec::new();
    for entry in entries {
        let name = entry.doing("list", &app.root)?.file_name();
        match Container::open(app, &name.to_string_lossy()) {
            Ok(container) => containers.push(container),
            Err(Problem::Missing | Problem::BadId) => {}
            Err(problem) => app.log.error(&problem.line()),
        }
    }
    containers.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    Ok(containers)
}

/// The name of the user who made it; the number if the machine has no name.
fn owner(container: &Container) -> Result<String, Problem> {
    let uid = container.dir.metadata().doing("look at", &container.dir)?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    Ok(name.unwrap_or_else(|| format!("#{uid}")))
}

/// Columns at least twelve wide and three apart; the last is as it is.
fn table(rows: &[[String; 6]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "{cell:width$}");
        }
        let _ = writeln!(text, "{}", row[5]);
    }
    text
}

/// Whether `--format` says json.
fn is_json(given: &Given) -> Result<bool, Problem> {
    match given.last("format").unwrap_or("table") {
        "table" => Ok(false),
        "json" => Ok(true),
        _ => Err(Problem::BadFormat),
    }
}

/// `ps`.
pub fn ps(app: &App, given: &Given) -> Result<u8, Problem> {
    let json = is_json(given)?;
    let container = Container::open(app, &given.arguments[0])?;
    let pids = container.cgroup().pids()?;
    if json {
        let list =
            if pids.is_empty() { "null".into() } else { serde_json::json!(pids).to_string() };
        return app.print(&(list + "\n"));
    }
    let words = &given.arguments[1..];
    let args: Vec<&str> =
        if words.is_empty() { vec!["-ef"] } else { words.iter().map(String::as_str).collect() };
    let out = Command::new("ps").args(&args).output().doing("run", "ps")?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        return Err(Problem::BadConfig(format!("ps failed: {said}")));
    }
    let all = String::from_utf8_lossy(&out.stdout);
    app.print(
        &of_container(&all, &pids)
            .ok_or_else(|| Problem::BadConfig("couldn't find PID field in ps output".into()))?,
    )
}

/// The head line and those whose PID column is one of `pids`.
fn of_container(all: &str, pids: &[i32]) -> Option<String> {
    let mut lines = all.lines();
    let head = lines.next()?;
    let column = head.split_whitespace().position(|word| word == "PID")?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    let mut text = format!("{head}\n");
    for line in lines.filter(ours) {
        let _ = writeln!(text, "{line}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_as_wide_as_its_head() {
        let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
        assert_eq!(
            table(&[head]),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        );
    }

    #[test]
    fn only_lines_of_the_container_are_shown() {
        let all = "UID  PID CMD\nroot 7 one 8\nroot 8 two\nroot x three\n";
        assert_eq!(of_container(all, &[8]).as_deref(), Some("UID  PID CMD\nroot 8 two\n"));
        assert_eq!(of_container("UID CMD\n", &[8]), None);
    }
}
