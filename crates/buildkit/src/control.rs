//! `moby.buildkit.v1.Control`.

use crate::bridge;
use crate::desk::Desk;
use crate::export;
use crate::filter::Filter;
use crate::grpc::server::{Call, end};
use crate::grpc::{Code, Status};
use crate::proto::{
    BytesMessage, DiskUsageResponse, Empty, InfoResponse, ListWorkersResponse, Platform,
    PruneRequest, SolveRequest, SolveResponse, StatusRequest, StatusResponse, Timestamp,
    UsageRecord, Version, WorkerRecord,
};
use crate::session::Introduction;
use engine::{CacheEntry, CacheKeep, Engine};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes of a session on their way.
const PIPE: usize = 64 << 10;

/// Answers a call, or gives it back.
pub async fn answer(desk: Arc<Desk>, mut call: Call, method: &str) -> Result<(), Call> {
    match method {
        "Info" => {
            call.unary(async { Ok(InfoResponse { version: Some(version()) }) }).await;
        }
        "ListWorkers" => {
            let record = vec![worker(&desk.engine)];
            call.unary(async move { Ok(ListWorkersResponse { record }) }).await;
        }
        "Solve" => match call.incoming.only::<SolveRequest>().await {
            Ok(request) => call.unary(solve(desk, request)).await,
            Err(status) => refuse(&mut call, &status),
        },
        "Session" => session(&desk, call).await,
        "Status" => match call.incoming.only::<StatusRequest>().await {
            Ok(request) => follow(&desk, call, &request.reference).await,
            Err(status) => refuse(&mut call, &status),
        },
        "ListenBuildHistory" | "UpdateBuildHistory" => {
            let words = "a history of builds is not kept by this engine: \
                         what a build says is all there is of it";
            refuse(&mut call, &Status::new(Code::Unimplemented, words));
        }
        "DiskUsage" => match call.incoming.only::<Empty>().await {
            Ok(_) => call.unary(disk_usage(desk)).await,
            Err(status) => refuse(&mut call, &status),
        },
        "Prune" => match call.incoming.only::<PruneRequest>().await {
            Ok(request) => prune(desk, call, request).await,
            Err(status) => refuse(&mut call, &status),
        },
        _ => return Err(call),
    }
    Ok(())
}

/// A session inside a call: the bytes of its connection, message by message.
async fn session(desk: &Desk, mut call: Call) {
    let client = Introduction::of(&call.headers);
    if client.id.is_empty() {
        let words = "the session has no X-Docker-Expose-Session-Uuid";
        return refuse(&mut call, &Status::new(Code::InvalidArgument, words));
    }
    let Ok(mut outgoing) = call.begin() else { return };
    let (near, far) = tokio::io::duplex(PIPE);
    let (mut read, mut write) = tokio::io::split(near);
    let up = async {
        while let Some(message) = call.incoming.next::<BytesMessage>().await? {
            if write.write_all(&message.data).await.is_err() {
                break;
            }
        }
        // The other half of the pipe is in this task, and alive.
        let _ = write.shutdown().await;
        std::future::pending::<Result<(), Status>>().await
    };
    let down = async {
        let mut buffer = vec![0; PIPE / 2];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            let data = bytes::Bytes::copy_from_slice(&buffer[..length]);
            outgoing.send(&BytesMessage { data }).await?;
        }
        Ok::<(), Status>(())
    };
    let served = desk.sessions.serve(client, far, std::future::pending());
    let ended = tokio::select! {
        ended = served => ended,
        ended = up => ended,
        ended = down => ended,
    };
    // A client that has left needs no end.
    let _ = end(outgoing, ended);
}

fn refuse(call: &mut Call, status: &Status) {
    // A client that has left needs no answer.
    let _ = call.fail(status);
}

/// The one worker: this engine.
pub fn worker(engine: &Engine) -> WorkerRecord {
    let label = |name: &str| format!("org.mobyproject.buildkit.worker.moby{name}");
    let mut labels = HashMap::from([(label(""), "true".into())]);
    // Clients put it into the steps' files themselves.
    if let Some(gateway) = engine.host_gateway() {
        labels.insert(label(".host-gateway-ip"), gateway.to_string());
    }
    WorkerRecord {
        id: "cofferdam".into(),
        labels,
        platforms: vec![Platform {
            architecture: architecture().into(),
            os: "linux".into(),
            variant: String::new(),
        }],
        version: Some(version()),
    }
}

/// This machine's, in the words of images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn version() -> Version {
    Version {
        package: "cofferdam".into(),
        number: concat!("v", env!("CARGO_PKG_VERSION")).into(),
        revision: String::new(),
    }
}

/// One build, from what was asked to what is exported.
async fn solve(desk: Arc<Desk>, request: SolveRequest) -> Result<SolveResponse, Status> {
    let (build, _ending) = desk.begin(request)?;
    let request = build.asked().await?;
    if request.definition.as_ref().is_some_and(|definition| !definition.def.is_empty()) {
        return Err(bridge::no_definitions());
    }
    let id = if request.frontend.is_empty() {
        // The client drives the frontend itself, through the bridge.
        let mut returned = build.returned.subscribe();
        let returned = returned.wait_for(Option::is_some).await;
        let returned = returned.ok().and_then(|returned| returned.clone());
        match returned.unwrap_or(Ok(None))? {
            Some(name) => Some(build.result(&name)?),
            None => None,
        }
    } else {
        let attrs = &request.frontend_attrs;
        Some(bridge::build(&desk, &build, &request, &request.frontend, attrs).await?)
    };
    let exporter_response = match id {
        Some(id) => export::export(&desk, &build, &request, &id).await?,
        None => HashMap::new(),
    };
    Ok(SolveResponse { exporter_response })
}

/// How a build goes, from its beginning.
async fn follow(desk: &Desk, mut call: Call, reference: &str) {
    let follower = match desk.follow(reference) {
        Ok(follower) => follower,
        Err(status) => return refuse(&mut call, &status),
    };
    // Clients wait for the head of the answer before they go on.
    let Ok(mut outgoing) = call.begin() else { return };
    let build = &follower.build;
    if let Err(status) = build.asked().await {
        let _ = end(outgoing, Err(status));
        return;
    }
    let mut heard = 0;
    while let Some(entries) = build.journal.follow(heard).await {
        heard += entries.len();
        for entry in together(entries) {
            // Who does not listen any more needs no end either.
            if outgoing.send(&entry).await.is_err() {
                return;
            }
        }
    }
    let _ = end(outgoing, Ok(()));
}

/// Entries that were written at once are said at once, a bounded number in
/// one message.
fn together(entries: Vec<StatusResponse>) -> Vec<StatusResponse> {
    let mut all: Vec<StatusResponse> = Vec::new();
    for (at, entry) in entries.into_iter().enumerate() {
        match all.last_mut() {
            Some(last) if at % 64 != 0 => {
                last.vertexes.extend(entry.vertexes);
                last.statuses.extend(entry.statuses);
                last.logs.extend(entry.logs);
                last.warnings.extend(entry.warnings);
            }
            _ => all.push(entry),
        }
    }
    all
}

async fn disk_usage(desk: Arc<Desk>) -> Result<DiskUsageResponse, Status> {
    let entries = blocking(move || desk.engine.build_cache()).await?;
    Ok(DiskUsageResponse { record: entries.into_iter().map(record).collect() })
}

fn record(entry: CacheEntry) -> UsageRecord {
    let time = |nanos: u64| {
        Some(Timestamp {
            seconds: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
            nanos: i32::try_from(nanos % 1_000_000_000).unwrap_or_default(),
        })
    };
    UsageRecord {
        id: entry.id,
        mutable: false,
        in_use: entry.in_use,
        size: i64::try_from(entry.size).unwrap_or(i64::MAX),
        created: time(entry.created),
        last_used: time(entry.used),
        usage_count: i64::try_from(entry.uses).unwrap_or(i64::MAX),
        description: entry.description,
        record_type: entry.kind.into(),
        shared: entry.shared,
        parents: Some(entry.parent).into_iter().filter(|parent| !parent.is_empty()).collect(),
    }
}

async fn prune(desk: Arc<Desk>, mut call: Call, request: PruneRequest) {
    // Clients say an empty filter for none.
    let filters = request.filter.iter().filter(|filter| !filter.is_empty());
    let filters = match filters.map(|filter| Filter::parse(filter)).collect::<Result<Vec<_>, _>>() {
        Ok(filters) => filters,
        Err(status) => return refuse(&mut call, &status),
    };
    let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
    let keep = CacheKeep {
        reserved: bytes(request.reserved_space),
        most: bytes(request.max_used_space),
        free: bytes(request.min_free_space),
    };
    let before = (request.keep_duration > 0).then(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        now.saturating_sub(bytes(request.keep_duration))
    });
    let removed = blocking(move || {
        let all = desk.engine.build_cache()?;
        let chosen = |entry: &CacheEntry| {
            before.is_none_or(|before| entry.used < before)
                && (filters.is_empty() || filters.iter().any(|filter| filter.fits(entry)))
        };
        let pruned = desk.engine.prune_build_cache(&chosen, request.all, keep)?;
        Ok(all.into_iter().filter(move |entry| pruned.removed.contains(&entry.id)))
    });
    match removed.await {
        Ok(removed) => {
            let Ok(mut outgoing) = call.begin() else { return };
            for entry in removed {
                if outgoing.send(&record(entry)).await.is_err() {
                    return;
                }
            }
            let _ = end(outgoing, Ok(()));
        }
        Err(status) => refuse(&mut call, &status),
    }
}

/// A call into the engine, on a thread of its own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, engine::Error> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| {
            Status::new(Code::Internal, "this call met a fault in the engine: see its log")
        })?
        .map_err(|error| Status::new(Code::Unknown, error.to_string()))
}
