//! `moby.buildkit.v1.frontend.LLBBridge`: the client drives the build itself.

use crate::client::Client;
use crate::context;
use crate::control::worker;
use crate::desk::{Build, Desk};
use crate::grpc::server::Call;
use crate::grpc::{Code, Status};
use crate::input;
use crate::options::Options;
use crate::proto::{
    BridgeSolveRequest, BridgeSolveResponse, BuildResult, Cap, Empty, PongResponse, Ref,
    ReturnRequest, SolveRequest,
};
use engine::{BuildClient, Engine};
use std::collections::HashMap;
use std::sync::Arc;

/// What the bridge can do. Clients ask only what stands here.
const FRONTEND: [&str; 11] = [
    "solve.base",
    "solve.inlinereturn",
    "return",
    "returnmap",
    "proto.refarray",
    "gateway.solve.evaluate",
    "gateway.evaluate",
    "frontend.caps",
    "frontend.inputs",
    "importcaches",
    "reference.output",
];
/// What of low-level definitions is understood: none is built, but an empty
/// list would mean all that was known when lists were invented.
/// Several results of one build are no matter of definitions, but are asked
/// for here.
const DEFINITIONS: [&str; 4] = ["platform", "constraints", "meta.description", "exporter.multiple"];

/// Answers a call, or gives it back.
pub async fn answer(desk: Arc<Desk>, mut call: Call, method: &str) -> Result<(), Call> {
    match method {
        "Ping" => {
            let pong = pong(&desk.engine);
            call.unary(async { Ok(pong) }).await;
        }
        "Solve" => {
            let build = build_of(&desk, &call).await;
            match call.incoming.only::<BridgeSolveRequest>().await {
                Ok(request) => {
                    call.unary(async move { solve(&desk, &build?, request).await }).await;
                }
                Err(status) => call.unary(async move { Err::<Empty, _>(status) }).await,
            }
        }
        "Return" => {
            let build = build_of(&desk, &call).await;
            match call.incoming.only::<ReturnRequest>().await {
                Ok(request) => {
                    call.unary(async move {
                        build?.returned.send_replace(Some(returned(request)));
                        Ok(Empty {})
                    })
                    .await;
                }
                Err(status) => call.unary(async move { Err::<Empty, _>(status) }).await,
            }
        }
        // The build is done when there is a result.
        "Evaluate" => call.unary(async { Ok(Empty {}) }).await,
        _ => return Err(call),
    }
    Ok(())
}

async fn build_of(desk: &Desk, call: &Call) -> Result<Arc<Build>, Status> {
    let missing = || Status::new(Code::InvalidArgument, "the call names no build");
    desk.build(call.header("buildkit-controlapi-buildid").ok_or_else(missing)?).await
}

fn pong(engine: &Engine) -> PongResponse {
    let caps =
        |ids: &[&str]| ids.iter().map(|id| Cap { id: (*id).to_owned(), enabled: true }).collect();
    PongResponse {
        frontend_caps: caps(&FRONTEND),
        llb_caps: caps(&DEFINITIONS),
        workers: vec![worker(engine)],
    }
}

/// The result that the client settles on.
fn returned(request: ReturnRequest) -> Result<Option<String>, Status> {
    if let Some(error) = request.error {
        return Err(error.into());
    }
    let result = request.result.unwrap_or_default();
    let mut names: Vec<String> = result
        .reference
        .into_iter()
        .chain(result.references.unwrap_or_default().refs.into_values())
        .map(|reference| reference.id)
        .filter(|id| !id.is_empty())
        .collect();
    match (names.pop(), names.is_empty()) {
        (name, true) => Ok(name),
        _ => Err(Status::new(Code::Unimplemented, "images of several platforms are not carried")),
    }
}

async fn solve(
    desk: &Arc<Desk>,
    build_: &Arc<Build>,
    request: BridgeSolveRequest,
) -> Result<BridgeSolveResponse, Status> {
    let asked = build_.asked().await?;
    if request.frontend.is_empty() {
        let empty = request.definition.is_none_or(|definition| definition.def.is_empty());
        return if empty {
            Ok(BridgeSolveResponse { result: Some(BuildResult::default()) })
        } else {
            Err(no_definitions())
        };
    }
    if request.options.contains_key("requestid") {
        let result = asked_about(desk, build_, &asked, &request).await?;
        return Ok(BridgeSolveResponse { result: Some(result) });
    }
    is_dockerfile(&request.frontend)?;
    let mut options = Options::read(&asked, &request.options)?;
    input::resolve(&mut options.contexts, &request.inputs)?;
    let id = build_by(desk, build_, &asked, options).await?;
    // The client may have another build begin with it.
    let definition = Some(input::definition(&id));
    let reference = Some(Ref { id: build_.keep(&id), definition });
    let result = BuildResult { reference, ..BuildResult::default() };
    Ok(BridgeSolveResponse { result: Some(result) })
}

/// Definitions of one's own are another builder's language.
pub fn no_definitions() -> Status {
    Status::new(
        Code::Unimplemented,
        "low-level build definitions are not carried: only Dockerfiles are built (dockerfile.v0)",
    )
}

/// Answers a question about the Dockerfile: nothing is built.
async fn asked_about(
    desk: &Arc<Desk>,
    build: &Build,
    asked: &SolveRequest,
    request: &BridgeSolveRequest,
) -> Result<BuildResult, Status> {
    is_dockerfile(&request.frontend)?;
    let options = Options::read(asked, &request.options)?;
    let session = desk.sessions.get(&asked.session).await?;
    let told = (&build.journal, &build.cancel);
    let (text, file) = context::definition(desk, &session, told, &options).await?;
    let metadata = options.request.map(|request| request.answer(&text, &file));
    Ok(BuildResult { metadata: metadata.unwrap_or_default(), ..BuildResult::default() })
}

fn is_dockerfile(frontend: &str) -> Result<(), Status> {
    if frontend == "dockerfile.v0" {
        return Ok(());
    }
    let words = format!("frontend {frontend} is not carried: only dockerfile.v0 is");
    Err(Status::new(Code::Unimplemented, words))
}

/// Builds; gives the image's id.
pub async fn build(
    desk: &Arc<Desk>,
    build: &Arc<Build>,
    asked: &SolveRequest,
    frontend: &str,
    attrs: &HashMap<String, String>,
) -> Result<String, Status> {
    is_dockerfile(frontend)?;
    let options = Options::read(asked, attrs)?;
    if options.request.is_some() {
        let words = "questions about a Dockerfile are answered to who builds through the bridge";
        return Err(Status::new(Code::Unimplemented, words));
    }
    build_by(desk, build, asked, options).await
}

async fn build_by(
    desk: &Arc<Desk>,
    build: &Arc<Build>,
    asked: &SolveRequest,
    options: Options,
) -> Result<String, Status> {
    let session = desk.sessions.get(&asked.session).await?;
    // Dropped with its call, the build is called off.
    let call_off = CallOff(Some(Arc::clone(build)));
    let told = (&build.journal, &build.cancel);
    let gathered = match context::gather(desk, &session, told, &options).await {
        Ok(gathered) => gathered,
        Err(status) => {
            call_off.not_needed();
            return Err(status);
        }
    };
    let (engine, cancel) = (desk.engine.clone(), build.cancel.clone());
    let client = Client::new(session, Arc::clone(&build.journal), cancel.clone(), &gathered);
    let source = gathered.source();
    let built = tokio::task::spawn_blocking(move || {
        let client: Arc<dyn BuildClient> = Arc::new(client);
        // The rooms go when the build has ended.
        engine.build(&gathered.wish, &gathered.room, &client, &cancel)
    });
    let built = built.await;
    call_off.not_needed();
    let fault = |_| Status::new(Code::Internal, "the build met a fault in the engine: see its log");
    match built.map_err(fault)? {
        Ok(built) => Ok(built.id),
        Err(error) => Err(source.failure(&error.message, error.line)),
    }
}

/// Calls a build off unless it has ended.
struct CallOff(Option<Arc<Build>>);

impl CallOff {
    fn not_needed(mut self) {
        self.0 = None;
    }
}

impl Drop for CallOff {
    fn drop(&mut self) {
        if let Some(build) = self.0.take() {
            tokio::task::spawn_blocking(move || build.cancel.cancel());
        }
    }
}
