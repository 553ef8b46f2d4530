//! What goes on as it goes on: stats and events.

use super::filters;
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    request,
    show::{self, Listing, binary_size, plain, short, size},
    words::{Events, Stats},
};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use template::Template;

/// A moment as people write it, in seconds since the epoch: RFC 3339, a
/// number, or a duration back from now.
///
/// # Errors
/// If it is none of these.
pub fn moment(text: &str) -> Outcome<String> {
    if text.is_empty() || text.parse::<f64>().is_ok() {
        return Ok(text.to_owned());
    }
    let whole = |t: jiff::Timestamp| format!("{}.{:09}", t.as_second(), t.subsec_nanosecond());
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(whole(at));
    }
    // Without a zone, as `2026-01-31T12:00:00`, the time is UTC.
    if let Ok(at) = format!("{text}Z").parse::<jiff::Timestamp>() {
        return Ok(whole(at));
    }
    let back = request::duration(text).map_err(|_| {
        Error::Unfit(format!("invalid time {text:?}: RFC 3339 or a duration such as 10m is wanted"))
    })?;
    let at = jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_nanos(back));
    at.map(whole).map_err(|error| Error::Unfit(error.to_string()))
}

/// `events`
pub async fn events(client: &Client, words: Events) -> Outcome {
    let template =
        words.format.as_deref().filter(|f| *f != "json").map(Template::new).transpose()?;
    let asked = query(&[
        ("since", &moment(&words.since)?),
        ("until", &moment(&words.until)?),
        ("filters", &filters(&words.filter)?),
    ]);
    let mut body = client.open(Method::GET, &format!("/events{asked}"), "").await?.into_body();
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        rest.extend_from_slice(
            frame.map_err(Error::Broken)?.data_ref().map_or(&[][..], |bytes| bytes),
        );
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let event: Value =
                serde_json::from_slice(&line).map_err(|e| Error::Answer("events".into(), e))?;
            let text = match (&template, words.format.as_deref()) {
                (Some(template), _) => template.fill(&event)?,
                (None, Some(_)) => event.to_string(),
                (None, None) => one(&event),
            };
            show::print(&format!("{text}\n"))?;
        }
    }
    Ok(0)
}

/// `TIME TYPE ACTION ID (KEY=VALUE, …)`.
fn one(event: &Value) -> String {
    let at = event["timeNano"].as_i64().unwrap_or(0);
    let at =
        jiff::Timestamp::from_nanosecond(at.into()).map(|t| format!("{t:.9}")).unwrap_or_default();
    let actor = &event["Actor"];
    let attributes = actor["Attributes"].as_object().into_iter().flatten();
    let attributes: Vec<String> =
        attributes.map(|(key, value)| format!("{key}={}", plain(value))).collect();
    let attributes =
        if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    format!(
        "{at} {} {} {}{attributes}",
        plain(&event["Type"]),
        plain(&event["Action"]),
        plain(&actor["ID"])
    )
}

/// `stats`
pub async fn stats(client: &Client, words: Stats) -> Outcome {
    loop {
        let names = if words.names.is_empty() {
            running(client, words.all).await?
        } else {
            words.names.clone()
        };
        let mut asked = tokio::task::JoinSet::new();
        for (place, name) in names.into_iter().enumerate() {
            let client = client.clone();
            asked.spawn(async move {
                let path = format!("/containers/{}/stats?stream=0", escape(&name));
                (place, name, client.get::<Value>(&path).await)
            });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(place, ..)| *place);
        let mut rows = Vec::new();
        for (_, name, answer) in answers {
            match answer {
                Ok(stats) => rows.push(row(&stats, &name, words.no_trunc)),
                // One that has gone since is no failure of a list of all.
                Err(Error::Engine { status: 404, .. }) if words.names.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let columns = [
            ("CONTAINER ID", "ID"),
            ("NAME", "Name"),
            ("CPU %", "CPUPerc"),
            ("MEM USAGE / LIMIT", "MemUsage"),
            ("MEM %", "MemPerc"),
            ("NET I/O", "NetIO"),
            ("BLOCK I/O", "BlockIO"),
            ("PIDS", "PIDs"),
        ];
        let text = Listing { columns: &columns, more: &[], rows }.text(words.format.as_deref())?;
        if words.no_stream {
            show::print(&text)?;
            return Ok(0);
        }
        // Home, each line cleared to its end, the rest of the screen cleared.
        show::print(&format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")))?;
    }
}

async fn running(client: &Client, all: bool) -> Outcome<Vec<String>> {
    let path = if all { "/containers/json?all=1" } else { "/containers/json" };
    let containers: Vec<Value> = client.get(path).await?;
    Ok(containers.iter().map(|container| plain(&container["Id"])).collect())
}

#[expect(clippy::cast_precision_loss, reason = "for people: two decimals are shown")]
fn row(stats: &Value, asked: &str, whole: bool) -> Value {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let (now, before) = (&stats["cpu_stats"], &stats["precpu_stats"]);
    let used = number(&now["cpu_usage"]["total_usage"])
        .saturating_sub(number(&before["cpu_usage"]["total_usage"]));
    let system =
        number(&now["system_cpu_usage"]).saturating_sub(number(&before["system_cpu_usage"]));
    let cpus = number(&now["online_cpus"]).max(1);
    let cpu = if system > 0 { used as f64 / system as f64 * cpus as f64 * 100.0 } else { 0.0 };
    let memory = &stats["memory_stats"];
    let cache = memory["stats"]["total_inactive_file"]
        .as_u64()
        .or(memory["stats"]["inactive_file"].as_u64())
        .unwrap_or(0);
    let (usage, limit) = (number(&memory["usage"]).saturating_sub(cache), number(&memory["limit"]));
    let share = if limit > 0 { usage as f64 / limit as f64 * 100.0 } else { 0.0 };
    let networks = || stats["networks"].as_object().into_iter().flatten();
    let moved = |key: &str| networks().map(|(_, network)| number(&network[key])).sum::<u64>();
    let blocks = stats["blkio_stats"]["io_service_bytes_recursive"].as_array();
    let block = |op: &str| {
        let rows = blocks.into_iter().flatten();
        rows.filter(|row| row["op"].as_str().is_some_and(|o| o.eq_ignore_ascii_case(op)))
            .map(|row| number(&row["value"]))
            .sum::<u64>()
    };
    let id = plain(&stats["id"]);
    json!({
        "ID": if whole { &id } else { short(&id) },
        "Container": if asked == id { short(&id) } else { asked },
        "Name": plain(&stats["name"]).trim_start_matches('/'),
        "CPUPerc": format!("{cpu:.2}%"),
        "MemUsage": format!("{} / {}", binary_size(usage), binary_size(limit)),
        "MemPerc": format!("{share:.2}%"),
        "NetIO": format!("{} / {}", size(moved("rx_bytes")), size(moved("tx_bytes"))),
        "BlockIO": format!("{} / {}", size(block("read")), size(block("write"))),
        "PIDs": plain(&stats["pids_stats"]["current"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_spelling() {
        assert_eq!(moment("1700000000.5").expect("valid"), "1700000000.5");
        assert_eq!(moment("2023-11-14T22:13:20Z").expect("valid"), "1700000000.000000000");
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn an_event_is_one_line() {
        let event = json!({"Type": "container", "Action": "start", "timeNano": 1_700_000_000_000_000_000_i64,
            "Actor": {"ID": "ab", "Attributes": {"image": "busybox", "name": "x"}}});
        assert_eq!(
            one(&event),
            "2023-11-14T22:13:20.000000000Z container start ab (image=busybox, name=x)"
        );
    }
}
