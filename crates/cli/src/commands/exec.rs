//! `exec`: another program in a running container.

use super::run::follow_size;
use crate::{
    client::{Client, escape},
    error::{Error, Outcome},
    request,
    streams::{self, End},
    terminal,
    words::Exec,
};
use hyper::Method;
use serde_json::{Value, json};

/// Makes the session, starts it and ends with its exit code.
pub async fn exec(client: &Client, words: Exec) -> Outcome {
    if words.tty && words.interactive && !words.detach && !terminal::is_input() {
        return Err(Error::Unfit("the input device is not a TTY".into()));
    }
    let attached = !words.detach;
    let body = json!({
        "AttachStdin": attached && words.interactive,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Tty": words.tty,
        "DetachKeys": words.detach_keys.clone().unwrap_or_default(),
        "Env": request::environment(&words.env_file, &words.env)?,
        "User": words.user,
        "WorkingDir": words.workdir,
        "Privileged": words.privileged,
        "Cmd": words.command,
    });
    let made: Value =
        client.post(&format!("/containers/{}/exec", escape(&words.name)), &body).await?;
    let id = made["Id"].as_str().unwrap_or_default().to_owned();
    let mut start = json!({ "Detach": words.detach, "Tty": words.tty });
    if let Some((width, height)) = terminal::size().filter(|_| words.tty) {
        // From its first moment on: it cannot be resized before it is there.
        start["ConsoleSize"] = json!([height, width]);
    }
    let start = start.to_string();
    let path = format!("/exec/{id}/start");
    if words.detach {
        client.open(Method::POST, &path, start).await?;
        return Ok(0);
    }
    let io = client.hijack(&path, start).await.map_err(Error::starting)?;
    let raw = (words.tty && words.interactive).then(terminal::Raw::on).flatten();
    let resizing = words.tty.then(|| follow_size(client, format!("/exec/{id}/resize")));
    let end =
        Box::pin(streams::pump(io, words.tty, words.interactive, words.detach_keys.as_deref()))
            .await;
    drop(raw);
    if let Some(task) = resizing {
        task.abort();
    }
    if end? == End::Detached {
        eprintln!("read escape sequence");
        return Ok(1);
    }
    let ended: Value = client.get(&format!("/exec/{id}/json")).await?;
    Ok(u8::try_from(ended["ExitCode"].as_i64().unwrap_or(0)).unwrap_or(u8::MAX))
}
