//! `why`: what was denied to a container, and what would allow it.

use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    request,
    show::{self, plain},
    streams,
    words::Why,
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Method, Response, body::Incoming};
use serde_json::{Value, json};

/// Prints each kind of denial with its option. The exit code is that of the
/// program, if one was run.
pub async fn why(client: &Client, words: Why) -> Outcome {
    let container = format!("/containers/{}", escape(&words.name));
    if !words.allow.is_empty() {
        let path = format!("{container}/filter{}", query(&[("allow", &words.allow.join(","))]));
        let profile: Value = client.get(&path).await?;
        show::print(&show::indented(&profile))?;
        return Ok(0);
    }
    let seconds = words.duration.as_deref().map(seconds).transpose()?;
    let seconds = seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
    let (report, code) = if words.command.is_empty() {
        let start = if words.start { "1" } else { "" };
        let asked = query(&[("seconds", &seconds), ("start", start)]);
        let path = format!("{container}/why{asked}");
        (read(client.open(Method::GET, &path, Bytes::new()).await?, &path).await?, 0)
    } else {
        run(client, &container, &words.command, &seconds).await?
    };
    let text = match words.format.as_deref() {
        Some(format) => show::document(&report, Some(format))?,
        None => text(&report),
    };
    show::print(&text)?;
    Ok(code)
}

/// Runs a program in the container and looks at it meanwhile. What it says
/// goes to the standard error, beside the report.
async fn run(
    client: &Client,
    container: &str,
    command: &[String],
    seconds: &str,
) -> Outcome<(Value, u8)> {
    let body = json!({ "AttachStdout": true, "AttachStderr": true, "Cmd": command });
    let made: Value = client.post(&format!("{container}/exec"), &body).await?;
    let id = made["Id"].as_str().unwrap_or_default().to_owned();
    let path = format!("{container}/why{}", query(&[("exec", &id), ("seconds", seconds)]));
    // With its head the answer says that the look has begun.
    let answer = client.open(Method::GET, &path, Bytes::new()).await?;
    let start = json!({ "Detach": false, "Tty": false }).to_string();
    let io = client.hijack(&format!("/exec/{id}/start"), start).await.map_err(Error::starting)?;
    Box::pin(streams::pump_to_error(io)).await?;
    let report = read(answer, &path).await?;
    let ended: Value = client.get(&format!("/exec/{id}/json")).await?;
    let code = u8::try_from(ended["ExitCode"].as_i64().unwrap_or(0)).unwrap_or(u8::MAX);
    Ok((report, code))
}

async fn read(answer: Response<Incoming>, path: &str) -> Outcome<Value> {
    let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| Error::Answer(path.into(), error))
}

/// Whole ones; a part of one counts as one.
fn seconds(text: &str) -> Outcome<i64> {
    const SECOND: i64 = 1_000_000_000;
    let nanos = request::duration(text)?;
    Ok(nanos / SECOND + i64::from(nanos % SECOND > 0))
}

fn text(report: &Value) -> String {
    let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    let mut text = String::new();
    for denial in list("Denials") {
        let path = denial["Path"].as_str().map(|path| format!(" {path}")).unwrap_or_default();
        let count = denial["Count"].as_u64().unwrap_or(1);
        let times = if count > 1 { format!(", {count} times") } else { String::new() };
        text.push_str(&format!(
            "{}: {}{path} of {}: {}{times}\n  because: {}\n",
            plain(&denial["Layer"]),
            plain(&denial["Call"]),
            plain(&denial["Program"]),
            plain(&denial["Error"]),
            plain(&denial["Why"]),
        ));
        if let Some(option) = denial["Option"].as_str() {
            text.push_str(&format!("  allowed by: {option}\n"));
        }
    }
    if report["Watched"] == true && text.is_empty() {
        text.push_str("nothing was denied\n");
    }
    for record in list("Records") {
        text.push_str(&format!(
            "{}: {} of {}, written down by the kernel at {}\n",
            plain(&record["Layer"]),
            plain(&record["What"]),
            plain(&record["Program"]),
            plain(&record["Time"]),
        ));
    }
    if let Some(lost) = report["Lost"].as_u64().filter(|lost| *lost > 0) {
        text.push_str(&format!("{lost} more were denied than there was room for\n"));
    }
    for note in list("Notes") {
        text.push_str(&format!("note: {}\n", plain(&note)));
    }
    if report["Watched"] != true {
        if list("Records").is_empty() {
            text.push_str("the kernel has written down nothing of it\n");
        }
        let name = plain(&report["Name"]);
        text.push_str(&format!(
            "hint: it writes down little: to see all, `cofferdam why {name} COMMAND`, \
             `cofferdam why --for 30s {name}`, or `cofferdam why --start {name}`\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_from_the_layer_to_the_option() {
        let report = json!({
            "Name": "web", "Watched": true, "Records": [], "Lost": 2, "Notes": ["n"],
            "Denials": [{"Layer": "capability", "Call": "chown", "Error": "EPERM", "Path": "/a",
                "Program": "sh", "Count": 3, "Why": "w", "Option": "--cap-add CHOWN"},
                {"Layer": "unknown", "Call": "kill", "Error": "EPERM", "Path": null,
                "Program": "sh", "Count": 1, "Why": "v", "Option": null}],
        });
        let expected = "capability: chown /a of sh: EPERM, 3 times\n  because: w\n  \
                        allowed by: --cap-add CHOWN\n\
                        unknown: kill of sh: EPERM\n  because: v\n\
                        2 more were denied than there was room for\nnote: n\n";
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn a_part_of_a_second_is_looked_at_for_one() {
        assert_eq!(seconds("200ms").expect("a duration"), 1);
        assert_eq!(seconds("1m1s").expect("a duration"), 61);
    }
}
