//! Another program in a running container: register, start, inspect.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use crate::containers::size_of_terminal;
use crate::detach::Keys;
use crate::error::Error;
use crate::hijack::{Ended, Hijack, Input, Program};
use crate::streams::{blocking, head};
use engine::{Engine, Exec, ExecWish, State};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use spec::Id;
use spec::docker::null_is_default;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own words")]
struct Wish {
    #[serde(deserialize_with = "null_is_default")]
    attach_stdin: bool,
    #[serde(deserialize_with = "null_is_default")]
    attach_stdout: bool,
    #[serde(deserialize_with = "null_is_default")]
    attach_stderr: bool,
    #[serde(deserialize_with = "null_is_default")]
    tty: bool,
    #[serde(deserialize_with = "null_is_default")]
    privileged: bool,
    #[serde(deserialize_with = "null_is_default")]
    detach_keys: String,
    #[serde(deserialize_with = "null_is_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    user: String,
    #[serde(deserialize_with = "null_is_default")]
    working_dir: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreatedBody {
    id: String,
}

/// `POST /containers/{id}/exec`.
pub fn create(call: &Call) -> Outcome {
    let wish: Wish = call.json()?.unwrap_or_default();
    if wish.cmd.is_empty() {
        return Err(Error::bad("No exec command specified"));
    }
    if !wish.detach_keys.is_empty() {
        Keys::parse(&wish.detach_keys)?;
    }
    if let (true, Some(gate)) = (wish.privileged, &call.gate) {
        let words = "exec with more rights than the container has";
        let path = format!("/containers/{}/exec", call.name());
        return Err(gate.refuse(call.who, &hyper::Method::POST, &path, words));
    }
    let wish = ExecWish {
        cmd: wish.cmd,
        env: wish.env,
        user: wish.user,
        working_dir: wish.working_dir,
        tty: wish.tty,
        privileged: wish.privileged,
        attach_stdin: wish.attach_stdin,
        attach_stdout: wish.attach_stdout,
        attach_stderr: wish.attach_stderr,
        detach_keys: wish.detach_keys,
    };
    let id = call.engine.exec_create(call.name(), wish)?;
    Ok(Answer::created(&CreatedBody { id: id.to_string() }))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct How {
    #[serde(deserialize_with = "null_is_default")]
    detach: bool,
    #[serde(deserialize_with = "null_is_default")]
    tty: bool,
    /// Height and width.
    console_size: Option<[u16; 2]>,
}

/// `POST /exec/{id}/start`.
pub async fn start(mut call: Call) -> Outcome {
    call.read_body().await?;
    let how: How = call.json()?.unwrap_or_default();
    if how.detach {
        return blocking(move || {
            call.engine.exec_start(call.name(), true, how.tty, None)?;
            Ok(Answer::status(StatusCode::OK))
        })
        .await;
    }
    blocking(move || Ok(Answer::Hijack(Box::new(hijack(&call, &how)?)))).await
}

fn hijack(call: &Call, how: &How) -> Result<Hijack, Error> {
    let exec = call.engine.exec(call.name())?;
    can_start(&call.engine, &exec)?;
    let wish = &exec.wish;
    let keys = match &*wish.detach_keys {
        "" => Keys::default(),
        keys => Keys::parse(keys)?,
    };
    // The session's terminal may be asked for in either request; how its
    // output is written is for the second alone to say.
    let (raw, terminal) = (how.tty, how.tty || wish.tty);
    // A terminal has no half-close: its program reads on when a client leaves.
    let input =
        wish.attach_stdin.then(|| Input { close: !terminal, keys: terminal.then_some(keys) });
    let (engine, id) = (call.engine.clone(), exec.id.clone());
    let ended: Ended = Box::new(move |exit| engine.exec_ended(&id, exit.as_ref()));
    let (engine, id, tty) = (call.engine.clone(), exec.id.clone(), how.tty);
    let size = how.console_size.map(|[height, width]| (height, width));
    let program = if exec.running || exec.code.is_some() {
        Program::Start(Box::new(move || Err(format!("exec command {id} has already run"))))
    } else {
        Program::Start(Box::new(move || {
            engine.exec_start(id.as_str(), false, tty, size).map_err(|e| Error::from(e).to_string())
        }))
    };
    let head = head(call, raw);
    Ok(Hijack { head, replay: None, program, input, raw, framed: false, ended: Some(ended) })
}

/// What can be said by a status is, before the connection is taken over.
fn can_start(engine: &Engine, exec: &Exec) -> Result<(), Error> {
    let id = &exec.container;
    let conflict = |text| Err(Error::new(StatusCode::CONFLICT, text));
    match engine.container(id.as_str())?.state {
        State::Running { .. } => Ok(()),
        State::Paused { .. } => {
            conflict(format!("container {id} is paused, unpause the container before exec"))
        }
        _ => conflict(format!("container {id} is not running")),
    }
}

/// `POST /exec/{id}/resize`.
pub fn resize(call: &Call) -> Outcome {
    let (height, width) = size_of_terminal(call)?;
    call.engine.exec_resize(call.name(), height, width)?;
    Ok(Answer::status(StatusCode::OK))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the API's own words")]
struct Inspected<'a> {
    #[serde(rename = "ID")]
    id: &'a Id,
    running: bool,
    exit_code: Option<u8>,
    process_config: Process<'a>,
    open_stdin: bool,
    open_stderr: bool,
    open_stdout: bool,
    can_remove: bool,
    #[serde(rename = "ContainerID")]
    container_id: &'a Id,
    detach_keys: &'a str,
    pid: i32,
}

#[derive(Serialize)]
struct Process<'a> {
    tty: bool,
    entrypoint: &'a str,
    arguments: &'a [String],
    privileged: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
}

/// `GET /exec/{id}/json`.
pub fn inspect(call: &Call) -> Outcome {
    let exec = call.engine.exec(call.name())?;
    let wish = &exec.wish;
    let (entrypoint, arguments) =
        wish.cmd.split_first().map_or(("", [].as_slice()), |(first, rest)| (first, rest));
    Ok(Answer::json(&Inspected {
        id: &exec.id,
        running: exec.running,
        exit_code: exec.code,
        process_config: Process {
            tty: wish.tty,
            entrypoint,
            arguments,
            privileged: wish.privileged,
            user: &wish.user,
        },
        open_stdin: wish.attach_stdin,
        open_stderr: wish.attach_stderr,
        open_stdout: wish.attach_stdout,
        can_remove: false,
        container_id: &exec.container,
        detach_keys: &wish.detach_keys,
        pid: exec.pid,
    }))
}
