//! `socket …`

use super::each;
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    request, show,
    show::{Listing, plain, short},
    words::{Inspect, Socket, SocketCreate, SocketLog, SocketLs},
};
use hyper::Method;
use serde_json::{Value, json};

/// Any word about scoped sockets.
pub async fn run(client: &Client, words: Socket) -> Outcome {
    match words {
        Socket::Create(words) => create(client, words).await,
        Socket::Ls(words) => list(client, words).await,
        Socket::Inspect(words) => inspect(client, words).await,
        Socket::Rm(words) => {
            each(&words.names, |name| async move {
                client.order(Method::DELETE, &place(&name)).await?;
                Ok(Some(name))
            })
            .await
        }
        Socket::Log(words) => log(client, words).await,
    }
}

fn place(name: &str) -> String {
    format!("/cofferdam/sockets/{}", escape(name))
}

async fn create(client: &Client, words: SocketCreate) -> Outcome {
    if let Some(label) = words.label.iter().find(|label| !label.contains('=')) {
        let text = format!("--label {label}: KEY=VALUE is wanted, and both have to fit");
        return Err(Error::Words(text));
    }
    let body = json!({
        "Name": words.name,
        "Allow": words.allow,
        "Labels": request::pairs(&words.label)?,
        "User": words.user,
        "Group": words.group,
    });
    let made: Value = client.post("/cofferdam/sockets/create", &body).await?;
    show::print(&format!("{}\n", plain(&made["Path"])))?;
    Ok(0)
}

/// Words of a list, or pairs of a map, on one line.
fn joined(value: &Value) -> String {
    let words: Vec<String> = match value {
        Value::Array(words) => words.iter().map(plain).collect(),
        Value::Object(pairs) => pairs.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect(),
        other => vec![plain(other)],
    };
    words.join(",")
}

async fn list(client: &Client, words: SocketLs) -> Outcome {
    let sockets: Vec<Value> = client.get("/cofferdam/sockets").await?;
    if words.quiet {
        let names: String = sockets.iter().map(|one| plain(&one["Name"]) + "\n").collect();
        show::print(&names)?;
        return Ok(0);
    }
    let row = |one: &Value| {
        json!({
            "Name": one["Name"],
            "Allow": joined(&one["Allow"]),
            "Labels": joined(&one["Labels"]),
            "Path": if one["Listening"] == true { plain(&one["Path"]) } else { "-".into() },
            "Owner": format!("{}:{}", one["Uid"], one["Gid"]),
            "CreatedAt": one["Created"],
        })
    };
    let columns = [("NAME", "Name"), ("ALLOW", "Allow"), ("LABELS", "Labels"), ("PATH", "Path")];
    let more = [("OWNER", "Owner"), ("CREATED AT", "CreatedAt")];
    let rows = sockets.iter().map(row).collect();
    show::print(&Listing { columns: &columns, more: &more, rows }.text(words.format.as_deref())?)?;
    Ok(0)
}

async fn inspect(client: &Client, words: Inspect) -> Outcome {
    let mut all = Vec::new();
    for name in &words.names {
        all.push(client.get::<Value>(&place(name)).await?);
    }
    let Some(format) = words.format.as_deref() else {
        show::print(&show::document(&json!(all), None)?)?;
        return Ok(0);
    };
    for one in &all {
        show::print(&show::document(one, Some(format))?)?;
    }
    Ok(0)
}

async fn log(client: &Client, words: SocketLog) -> Outcome {
    let tail = words.tail.map(|tail| tail.to_string()).unwrap_or_default();
    let path = format!("{}/log{}", place(&words.name), query(&[("tail", &tail)]));
    let text = client.text(&path).await?;
    if words.format.as_deref() == Some("json") {
        show::print(&text)?;
        return Ok(0);
    }
    let row = |line: &str| {
        let value: Value = serde_json::from_str(line)?;
        let container = plain(&value["Container"]);
        Ok(json!({
            "Time": value["Time"],
            "User": format!("{}:{}", value["Uid"], value["Gid"]),
            "Pid": value["Pid"].to_string(),
            "Operation": value["Operation"],
            "Container": if container.is_empty() { "-" } else { short(&container) },
            "Verdict": value["Verdict"],
            "Method": value["Method"],
            "Path": value["Path"],
            "Because": if value["Because"].is_null() { json!("") } else { value["Because"].clone() },
        }))
    };
    let rows: Result<Vec<Value>, serde_json::Error> = text.lines().map(row).collect();
    let rows = rows.map_err(|error| Error::Answer("socket log".into(), error))?;
    let columns = [
        ("TIME", "Time"),
        ("USER", "User"),
        ("PID", "Pid"),
        ("OPERATION", "Operation"),
        ("CONTAINER", "Container"),
        ("VERDICT", "Verdict"),
        ("METHOD", "Method"),
        ("PATH", "Path"),
    ];
    let listing = Listing { columns: &columns, more: &[("BECAUSE", "Because")], rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}
