//! `system df`: what images, containers, volumes and the build cache take.

use super::{images, ps};
use crate::{
    client::Client,
    error::Outcome,
    show::{self, Listing, plain, total},
    words::SystemDf,
};
use serde_json::{Value, json};

/// `system df`
pub async fn df(client: &Client, words: SystemDf) -> Outcome {
    let df: Value = client.get("/system/df").await?;
    if words.verbose {
        return verbose(&df, words.format.as_deref());
    }
    let list = |key: &str| df[key].as_array().cloned().unwrap_or_default();
    let sum = |rows: &[Value], of: &dyn Fn(&Value) -> i64| {
        rows.iter().map(of).filter(|n| *n > 0).sum::<i64>()
    };
    let row = |kind: &str, count: usize, active: usize, bytes: i64, free: i64| {
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let free = u64::try_from(free).unwrap_or(0);
        let part = (free * 100)
            .checked_div(bytes)
            .map(|percent| format!(" ({percent}%)"))
            .unwrap_or_default();
        json!({"Type": kind, "TotalCount": count.to_string(), "Active": active.to_string(),
            "Size": total(bytes), "Reclaimable": total(free) + &part})
    };
    let (images, containers, volumes) = (list("Images"), list("Containers"), list("Volumes"));
    let busy: Vec<Value> = images
        .iter()
        .filter(|image| image["Containers"].as_i64().unwrap_or(0) > 0)
        .cloned()
        .collect();
    let layers = df["LayersSize"].as_i64().unwrap_or(0);
    let own = |image: &Value| {
        image["Size"].as_i64().unwrap_or(0) - image["SharedSize"].as_i64().unwrap_or(0).max(0)
    };
    let running = |container: &&Value| {
        matches!(container["State"].as_str(), Some("running" | "paused" | "restarting"))
    };
    let written = |container: &Value| container["SizeRw"].as_i64().unwrap_or(0);
    let stopped: Vec<Value> = containers.iter().filter(|c| !running(c)).cloned().collect();
    let refs = |volume: &Value| volume["UsageData"]["RefCount"].as_i64().unwrap_or(0);
    let bytes = |volume: &Value| volume["UsageData"]["Size"].as_i64().unwrap_or(0);
    let unused: Vec<Value> = volumes.iter().filter(|volume| refs(volume) <= 0).cloned().collect();
    // What images have counts with them.
    let cache = list("BuildCache");
    let size = |entry: &Value| entry["Size"].as_i64().unwrap_or(0);
    let alone: Vec<Value> = cache.iter().filter(|e| e["Shared"] != true).cloned().collect();
    let idle: Vec<Value> = alone.iter().filter(|e| e["InUse"] != true).cloned().collect();
    let active = cache.iter().filter(|entry| entry["InUse"] == true).count();
    let rows = vec![
        row("Images", images.len(), busy.len(), layers, layers - sum(&busy, &own)),
        row(
            "Containers",
            containers.len(),
            containers.iter().filter(running).count(),
            sum(&containers, &written),
            sum(&stopped, &written),
        ),
        row(
            "Local Volumes",
            volumes.len(),
            volumes.iter().filter(|v| refs(v) > 0).count(),
            sum(&volumes, &bytes),
            sum(&unused, &bytes),
        ),
        row("Build Cache", cache.len(), active, sum(&alone, &size), sum(&idle, &size)),
    ];
    let columns = [
        ("TYPE", "Type"),
        ("TOTAL", "TotalCount"),
        ("ACTIVE", "Active"),
        ("SIZE", "Size"),
        ("RECLAIMABLE", "Reclaimable"),
    ];
    let listing = Listing { columns: &columns, more: &[], rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}

/// Each object, in a table for each kind.
fn verbose(df: &Value, format: Option<&str>) -> Outcome {
    let list = |key: &str| df[key].as_array().into_iter().flatten();
    let images: Vec<Value> = list("Images").flat_map(of_image).collect();
    let containers: Vec<Value> = list("Containers").map(of_container).collect();
    let volumes: Vec<Value> = list("Volumes").map(of_volume).collect();
    let cache: Vec<Value> = list("BuildCache").map(of_cache).collect();
    if format.is_some() {
        let shown = |rows: Vec<Value>| rows.iter().map(template::shown).collect::<Value>();
        let all = json!({"Images": shown(images), "Containers": shown(containers),
            "Volumes": shown(volumes), "BuildCache": shown(cache)});
        show::print(&show::document(&all, format)?)?;
        return Ok(0);
    }
    let table = |title: &str, columns: &[(&str, &str)], rows: Vec<Value>| {
        let text = Listing { columns, more: &[], rows }.text(None)?;
        show::print(&format!("{title}:\n\n{text}\n"))
    };
    let image = [
        ("REPOSITORY", "Repository"),
        ("TAG", "Tag"),
        ("IMAGE ID", "ID"),
        ("CREATED", "CreatedSince"),
        ("SIZE", "Size"),
        ("SHARED SIZE", "SharedSize"),
        ("UNIQUE SIZE", "UniqueSize"),
        ("CONTAINERS", "Containers"),
    ];
    table("Images space usage", &image, images)?;
    let container = [
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("LOCAL VOLUMES", "LocalVolumes"),
        ("SIZE", "Size"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("NAMES", "Names"),
    ];
    let mut container = container.to_vec();
    if containers.iter().any(|row| row["Limit"] != "") {
        container.insert(5, ("OF ITS LIMIT", "Limit"));
    }
    table("Containers space usage", &container, containers)?;
    let volume = [("VOLUME NAME", "Name"), ("LINKS", "Links"), ("SIZE", "Size")];
    table("Local Volumes space usage", &volume, volumes)?;
    let own = |entry: &&Value| entry["Shared"] != true;
    let bytes = list("BuildCache").filter(own).filter_map(|entry| entry["Size"].as_u64());
    let entry = [
        ("CACHE ID", "ID"),
        ("CACHE TYPE", "CacheType"),
        ("SIZE", "Size"),
        ("CREATED", "CreatedSince"),
        ("LAST USED", "LastUsedSince"),
        ("USAGE", "UsageCount"),
        ("SHARED", "Shared"),
    ];
    table(&format!("Build cache usage: {}", total(bytes.sum())), &entry, cache)?;
    Ok(0)
}

fn of_cache(entry: &Value) -> Value {
    let since = |key: &str| {
        let time = plain(&entry[key]).parse::<jiff::Timestamp>();
        time.map(|time| show::ago(show::since(time.as_second()))).unwrap_or_default()
    };
    let id = plain(&entry["ID"]);
    json!({
        "ID": id.get(..12).unwrap_or(&id),
        "Parent": plain(&entry["Parents"][0]),
        "CacheType": entry["Type"],
        "Size": total(entry["Size"].as_u64().unwrap_or(0)),
        "CreatedSince": since("CreatedAt"),
        "LastUsedSince": since("LastUsedAt"),
        "UsageCount": plain(&entry["UsageCount"]),
        "InUse": plain(&entry["InUse"]),
        "Shared": plain(&entry["Shared"]),
        "Description": entry["Description"],
    })
}

/// A row for each name, with what is shared and what is not.
fn of_image(image: &Value) -> Vec<Value> {
    let bytes = image["Size"].as_u64().unwrap_or(0);
    let shared = image["SharedSize"].as_u64().unwrap_or(0);
    let mut rows = images::rows(image, false);
    for row in &mut rows {
        row["SharedSize"] = total(shared).into();
        row["UniqueSize"] = total(bytes.saturating_sub(shared)).into();
    }
    rows
}

/// Only what it wrote is its own.
fn of_container(container: &Value) -> Value {
    let mut container = container.clone();
    container["SizeRootFs"] = Value::Null;
    let mut row = ps::row(&container, false);
    let quota = &container["SizeQuota"];
    row["Limit"] = match (quota["Used"].as_u64(), quota["Limit"].as_u64()) {
        (Some(used), Some(limit)) => format!("{} of {}", total(used), total(limit)).into(),
        _ => "".into(),
    };
    row
}

fn of_volume(volume: &Value) -> Value {
    json!({
        "Name": volume["Name"],
        "Driver": volume["Driver"],
        "Scope": volume["Scope"],
        "Mountpoint": volume["Mountpoint"],
        "Links": plain(&volume["UsageData"]["RefCount"]),
        "Size": total(volume["UsageData"]["Size"].as_u64().unwrap_or(0)),
    })
}
