//! The builder's view of a client: where it says how it goes, and where it
//! asks for what only the client has.
//!
//! The builder's threads call; the answers come over the session, whose
//! tasks run elsewhere.

use crate::context::{DEFINITION, Gathered, Source};
use crate::grpc::{Code, Status};
use crate::journal::Journal;
use crate::proto::{
    BytesMessage, CheckAgentRequest, CredentialsRequest, CredentialsResponse, Empty,
    GetSecretRequest, GetSecretResponse,
};
use crate::session::Session;
use dockerfile::{Lines, Warning};
use engine::{BuildClient, BuildSaid, Cancel, Credentials, StagePlan};
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CHECK: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
/// How often is looked whether a question is called off.
const PAUSE: Duration = Duration::from_millis(200);
/// As Docker's CLI stores what belongs to Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

/// One build's client.
pub struct Client {
    session: Session,
    journal: Arc<Journal>,
    cancel: Cancel,
    source: Source,
    handle: Handle,
    vertexes: Mutex<HashMap<(usize, usize), String>>,
}

impl Client {
    /// For a build that begins now, in an asynchronous task.
    pub fn new(
        session: Session,
        journal: Arc<Journal>,
        cancel: Cancel,
        gathered: &Gathered,
    ) -> Self {
        let (source, handle) = (gathered.source(), Handle::current());
        Self { session, journal, cancel, source, handle, vertexes: Mutex::default() }
    }

    /// The vertex of a step, if it is one that is shown.
    fn vertex(&self, stage: usize, step: usize) -> Option<String> {
        let vertexes = self.vertexes.lock().unwrap_or_else(PoisonError::into_inner);
        vertexes.get(&(stage, step)).cloned()
    }

    /// Announces all steps that make files; the others take no time.
    fn plan(&self, stages: &[StagePlan]) {
        let mut vertexes = self.vertexes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: HashMap<usize, String> = HashMap::new();
        for (at, stage) in stages.iter().enumerate() {
            let bases: Vec<&str> =
                stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
            let shown: Vec<usize> = (0..stage.steps.len())
                .filter(|step| shown(&stage.steps[*step].text, &bases))
                .collect();
            let name = match (&stage.name, stages.len()) {
                (Some(name), _) => format!("{name} "),
                (None, 1) => String::new(),
                (None, _) => format!("stage-{} ", stage.index),
            };
            let mut inputs: Vec<String> =
                stage.needs.iter().filter_map(|need| last.get(need).cloned()).collect();
            for (number, step) in shown.iter().enumerate() {
                let id = format!("sha256:{:031x}1{:032x}", at + 1, step + 1);
                let text = displayed(&stage.steps[*step].text);
                let title = format!("[{name}{}/{}] {text}", number + 1, shown.len());
                self.journal.announce(&id, &title, &inputs);
                inputs = vec![id.clone()];
                last.insert(stage.index, id.clone());
                vertexes.insert((at, *step), id);
            }
        }
    }

    /// Asks the client, who may never answer, until the build is called off.
    fn ask<T>(&self, question: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        self.handle.block_on(answered(question, || self.cancel.is_over()))
    }
}

/// The answer, unless it is called off before.
async fn answered<T>(
    question: impl Future<Output = Result<T, Status>>,
    is_off: impl Fn() -> bool,
) -> Result<T, Status> {
    let mut question = std::pin::pin!(question);
    loop {
        match timeout(PAUSE, &mut question).await {
            Ok(answer) => return answer,
            Err(_) if is_off() => {
                return Err(Status::new(Code::Cancelled, "the build was called off"));
            }
            Err(_) => {}
        }
    }
}

/// Whether a step is one of those that Docker shows.
fn shown(text: &str, stages: &[&str]) -> bool {
    let mut words = text.split_whitespace();
    match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
        "RUN" | "COPY" | "ADD" | "WORKDIR" => true,
        "FROM" => {
            let base = words.find(|word| !word.starts_with("--")).unwrap_or_default();
            base != "scratch" && !stages.iter().any(|stage| stage.eq_ignore_ascii_case(base))
        }
        _ => false,
    }
}

/// `FROM x AS y` without the name that stands before it already.
fn displayed(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [from, rest @ .., word, _]
            if from.eq_ignore_ascii_case("from") && word.eq_ignore_ascii_case("as") =>
        {
            format!("FROM {}", rest.join(" "))
        }
        _ => text.to_owned(),
    }
}

/// What a client keeps by a name, if it has it.
pub async fn secret(session: &Session, id: &str) -> Result<Option<Vec<u8>>, Status> {
    if !session.answers(SECRET) {
        return Ok(None);
    }
    let request = GetSecretRequest { id: id.into() };
    match session.channel.unary(SECRET, &request).await {
        Ok(GetSecretResponse { data }) => Ok(Some(data)),
        Err(status) if status.code == Code::NotFound as i32 => Ok(None),
        Err(status) => Err(status),
    }
}

/// Who a client is to a registry, unless the build is over before it says so.
/// Waits: for a thread.
pub fn credentials(
    session: &Session,
    handle: &Handle,
    cancel: &Cancel,
    registry: &str,
) -> Credentials {
    if !session.answers(CREDENTIALS) {
        return Credentials::default();
    }
    let host = if registry == "docker.io" { HUB } else { registry };
    let request = CredentialsRequest { host: host.into() };
    let question = session.channel.unary(CREDENTIALS, &request);
    match handle.block_on(answered(question, || cancel.is_over())) {
        Ok(CredentialsResponse { username, secret }) if username.is_empty() => Credentials {
            identitytoken: secret,
            serveraddress: host.into(),
            ..Credentials::default()
        },
        Ok(CredentialsResponse { username, secret }) => Credentials {
            username,
            password: secret,
            serveraddress: host.into(),
            ..Credentials::default()
        },
        Err(error) => {
            // Whoever needs them is refused by the registry, in words.
            tracing::debug!(registry, %error, "a build client has no credentials");
            Credentials::default()
        }
    }
}

impl BuildClient for Client {
    fn said(&self, said: BuildSaid) {
        let journal = &self.journal;
        match said {
            BuildSaid::Plan { stages, .. } => self.plan(&stages),
            BuildSaid::Began { stage, step } => {
                if let Some(id) = self.vertex(stage, step) {
                    journal.start(&id);
                }
            }
            BuildSaid::Cached { stage, step } => {
                if let Some(id) = self.vertex(stage, step) {
                    journal.cached(&id);
                }
            }
            BuildSaid::Pull { stage, step, said } => {
                if let Some(id) = self.vertex(stage, step) {
                    let part = match &said.id {
                        Some(of) => format!("{} {of}", said.status),
                        None => said.status.clone(),
                    };
                    let bytes = said.bytes.unwrap_or_default();
                    journal.progress(
                        &id,
                        &part,
                        bytes,
                        said.bytes.is_none_or(|(now, all)| now >= all),
                    );
                }
            }
            BuildSaid::Output { stage, step, stderr, bytes } => {
                if let Some(id) = self.vertex(stage, step) {
                    journal.log(&id, if stderr { 2 } else { 1 }, &bytes);
                }
            }
            BuildSaid::Ended { stage, step, .. } => {
                if let Some(id) = self.vertex(stage, step) {
                    journal.finish(&id, None);
                }
            }
            BuildSaid::Failed { stage, step, message } => {
                if let Some(id) = self.vertex(stage, step) {
                    journal.finish(&id, Some(&message));
                }
            }
            BuildSaid::Warning { text } => {
                let warning = Warning { rule: "Build", text, lines: Lines { first: 1, last: 1 } };
                journal.warn(DEFINITION, &warning, self.source.info());
            }
            BuildSaid::Triggers { .. }
            | BuildSaid::Running { .. }
            | BuildSaid::Removed { .. }
            | BuildSaid::StageEnded { .. }
            | BuildSaid::Tagged { .. } => {}
        }
    }

    fn credentials(&self, registry: &str) -> Credentials {
        credentials(&self.session, &self.handle, &self.cancel, registry)
    }

    fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, String> {
        self.ask(secret(&self.session, id)).map_err(|status| status.message)
    }

    fn ssh(&self, id: &str) -> Result<Option<StdStream>, String> {
        if !self.session.answers(FORWARD) {
            return Ok(None);
        }
        let request = CheckAgentRequest { id: id.into() };
        let known: Result<Empty, Status> = self.ask(self.session.channel.unary(CHECK, &request));
        if let Err(status) = known {
            // Its words are those of a client that has no such agent.
            tracing::debug!(id, error = %status, "a build client has no ssh agent of that name");
            return Ok(None);
        }
        let pair = || -> io::Result<(StdStream, StdStream)> {
            let (ours, theirs) = StdStream::pair()?;
            ours.set_nonblocking(true)?;
            Ok((ours, theirs))
        };
        let (ours, theirs) = pair().map_err(|error| error.to_string())?;
        let (session, id) = (self.session.clone(), id.to_owned());
        self.handle.spawn(async move {
            if let Err(error) = forward(&session, &id, ours).await {
                tracing::debug!(id, %error, "an ssh agent's connection broke off");
            }
        });
        Ok(Some(theirs))
    }
}

/// One connection to the client's agent.
async fn forward(session: &Session, id: &str, stream: StdStream) -> Result<(), Status> {
    let broken = |error: io::Error| Status::new(Code::Unavailable, error.to_string());
    let stream = UnixStream::from_std(stream).map_err(broken)?;
    let (mut read, mut write) = stream.into_split();
    let mut call = session.channel.open(FORWARD, &[("buildkit.ssh.id", id)]).await?;
    let up = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = read.read(&mut buffer).await.map_err(broken)?;
            if length == 0 {
                return call.outgoing.finish();
            }
            let data = bytes::Bytes::copy_from_slice(&buffer[..length]);
            call.outgoing.send(&BytesMessage { data }).await?;
        }
    };
    let down = async {
        // An agent answers when it has been asked.
        let mut incoming = call.answer.begin().await?;
        while let Some(message) = incoming.next::<BytesMessage>().await? {
            write.write_all(&message.data).await.map_err(broken)?;
        }
        write.shutdown().await.map_err(broken)
    };
    tokio::try_join!(up, down).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_that_nobody_answers_ends_with_its_build() {
        let asked = std::sync::atomic::AtomicU32::new(0);
        let off = || asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0;
        let answer = answered(std::future::pending::<Result<(), Status>>(), off).await;
        assert!(answer.is_err_and(|status| status.code == Code::Cancelled as i32));
        assert!(answered(async { Ok(7) }, || true).await.is_ok_and(|answer| answer == 7));
    }

    #[tokio::test]
    async fn who_a_client_is_need_not_be_known_of_a_build_that_is_over() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(crate::grpc::server::serve(far, move |call| {
            let asked = asked.clone();
            async move {
                let _ = asked.send(());
                // The call stays open, and without an answer.
                std::future::pending::<()>().await;
                drop(call);
            }
        }));
        let sessions = Arc::new(crate::session::Sessions::default());
        let serving = Arc::clone(&sessions);
        let (id, methods) = ("s".to_owned(), vec![CREDENTIALS.to_owned()]);
        let client = crate::session::Introduction { id, methods, ..Default::default() };
        tokio::spawn(async move { serving.serve(client, near, std::future::pending()).await });
        let session = sessions.get("s").await.expect("it came");
        let (cancel, handle) = (Cancel::default(), Handle::current());
        let asking = {
            let cancel = cancel.clone();
            tokio::task::spawn_blocking(move || credentials(&session, &handle, &cancel, "r"))
        };
        asks.recv().await.expect("the question");
        cancel.cancel();
        let answer = timeout(Duration::from_mins(1), asking).await.expect("it ends with the build");
        assert!(answer.expect("no panic").is_nobody());
    }

    #[test]
    fn steps_that_make_no_files_are_not_shown() {
        assert!(shown("RUN x", &[]) && shown("from debian", &[]));
        assert!(!shown("FROM scratch", &[]) && !shown("ENV a=b", &[]));
        assert!(!shown("FROM --platform=x Build", &["build"]));
    }

    #[test]
    fn a_stage_is_named_once() {
        assert_eq!(displayed("FROM debian AS x"), "FROM debian");
        assert_eq!(displayed("FROM debian"), "FROM debian");
        assert_eq!(displayed("RUN a  as x"), "RUN a  as x");
    }
}
