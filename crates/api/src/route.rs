//! Which request goes to which handler: the table of all endpoints.
//!
//! In a pattern `{x}` stands for one segment of a path and `{x...}` for one
//! or more (names of images have slashes). The first line that fits counts.
//! What this engine does not carry has a line too, and says so; what no line
//! knows is answered with 404. Each line says how far a scoped socket reaches
//! it (`scope`).

use crate::answer::Outcome;
use crate::call::Call;
use crate::scope::{Reach, Right};
use crate::{
    archive, audit, build, containers, doctor, events, exec, images, metrics, networks, refused,
    registries, sockets, stats, streams, system, transfer, upgrade, upkeep, volumes, why,
};
use hyper::Method;
use std::future::Future;
use std::pin::Pin;

/// How a request is worked on.
#[derive(Clone, Copy)]
pub enum Handler {
    /// By a blocking call on a thread of its own, with the body read before.
    Calls(fn(&Call) -> Outcome),
    /// By a task that talks with the client as it goes.
    Streams(fn(Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

use Handler::{Calls, Streams};
use Reach::{Always, Container, Lists, Never, Seen, Session};

/// One line of the table.
struct Route {
    method: Method,
    pattern: &'static str,
    reach: Reach,
    handler: Handler,
}

const fn get(pattern: &'static str, reach: Reach, handler: Handler) -> Route {
    Route { method: Method::GET, pattern, reach, handler }
}

const fn head(pattern: &'static str, reach: Reach, handler: Handler) -> Route {
    Route { method: Method::HEAD, pattern, reach, handler }
}

const fn post(pattern: &'static str, reach: Reach, handler: Handler) -> Route {
    Route { method: Method::POST, pattern, reach, handler }
}

const fn put(pattern: &'static str, reach: Reach, handler: Handler) -> Route {
    Route { method: Method::PUT, pattern, reach, handler }
}

const fn delete(pattern: &'static str, reach: Reach, handler: Handler) -> Route {
    Route { method: Method::DELETE, pattern, reach, handler }
}

static ROUTES: &[Route] = &[
    // The engine itself.
    get("/_ping", Always, Calls(system::ping)),
    head("/_ping", Always, Calls(system::ping)),
    get("/version", Always, Calls(system::version)),
    get("/info", Never, Calls(system::info)),
    get("/system/df", Never, Calls(system::df)),
    get("/events", Lists(Right::Read), Streams(|call| Box::pin(events::follow(call)))),
    post("/grpc", Never, Calls(upgrade::grpc)),
    post("/session", Never, Calls(upgrade::session)),
    get("/plugins", Never, Calls(system::plugins)),
    // Sockets for those who may do less.
    get("/cofferdam/sockets", Never, Calls(sockets::list)),
    post("/cofferdam/sockets/create", Never, Calls(sockets::create)),
    get("/cofferdam/sockets/{name}", Never, Calls(sockets::inspect)),
    get("/cofferdam/sockets/{name}/log", Never, Calls(sockets::log)),
    delete("/cofferdam/sockets/{name}", Never, Calls(sockets::remove)),
    get("/cofferdam/metrics", Lists(Right::Read), Calls(metrics::scrape)),
    get("/cofferdam/audit", Never, Calls(audit::all)),
    get("/cofferdam/doctor", Never, Calls(doctor::examine)),
    post("/cofferdam/check", Never, Calls(upkeep::check)),
    post("/cofferdam/collect", Never, Calls(upkeep::collect)),
    post("/cofferdam/migrate", Never, Calls(upkeep::migrate)),
    post("/cofferdam/images/{name...}/pin", Never, Calls(upkeep::pin)),
    post("/cofferdam/images/{name...}/unpin", Never, Calls(upkeep::unpin)),
    // Containers.
    get("/containers/json", Lists(Right::Read), Calls(containers::list)),
    post("/containers/create", Never, Calls(containers::create)),
    post("/containers/prune", Never, Calls(containers::prune)),
    get("/containers/{id}/json", Seen, Calls(containers::inspect)),
    get("/containers/{id}/top", Container(Right::Read), Calls(containers::top)),
    get("/containers/{id}/changes", Container(Right::Files), Calls(containers::changes)),
    get("/containers/{id}/audit", Container(Right::Read), Calls(audit::one)),
    get("/containers/{id}/why", Never, Streams(|call| Box::pin(why::why(call)))),
    get("/containers/{id}/filter", Never, Calls(why::filter)),
    get(
        "/containers/{id}/logs",
        Container(Right::Logs),
        Streams(|call| Box::pin(streams::logs(call))),
    ),
    get(
        "/containers/{id}/stats",
        Container(Right::Read),
        Streams(|call| Box::pin(stats::follow(call))),
    ),
    get(
        "/containers/{id}/export",
        Container(Right::Files),
        Streams(|call| Box::pin(archive::export(call))),
    ),
    get(
        "/containers/{id}/attach/ws",
        Container(Right::Attach),
        Streams(|call| Box::pin(streams::attach_framed(call))),
    ),
    post("/containers/{id}/start", Container(Right::Start), Calls(containers::start)),
    post("/containers/{id}/stop", Container(Right::Stop), Calls(containers::stop)),
    post("/containers/{id}/restart", Container(Right::Restart), Calls(containers::restart)),
    post("/containers/{id}/kill", Container(Right::Kill), Calls(containers::kill)),
    post("/containers/{id}/pause", Container(Right::Pause), Calls(containers::pause)),
    post("/containers/{id}/unpause", Container(Right::Pause), Calls(containers::unpause)),
    post("/containers/{id}/rename", Never, Calls(containers::rename)),
    post("/containers/{id}/update", Never, Calls(containers::update)),
    post("/containers/{id}/resize", Container(Right::Attach), Calls(containers::resize)),
    post("/containers/{id}/wait", Seen, Streams(|call| Box::pin(streams::wait(call)))),
    post(
        "/containers/{id}/attach",
        Container(Right::Attach),
        Streams(|call| Box::pin(streams::attach(call))),
    ),
    head("/containers/{id}/archive", Container(Right::Files), Calls(archive::stat)),
    get(
        "/containers/{id}/archive",
        Container(Right::Files),
        Streams(|call| Box::pin(archive::get(call))),
    ),
    put("/containers/{id}/archive", Never, Streams(|call| Box::pin(archive::put(call)))),
    get("/containers/{id}/checkpoints", Never, Calls(refused::checkpoints)),
    post("/containers/{id}/checkpoints", Never, Calls(refused::checkpoints)),
    delete("/containers/{id}/checkpoints/{checkpoint}", Never, Calls(refused::checkpoints)),
    // A link is named CONTAINER/ALIAS.
    delete("/containers/{id...}", Never, Calls(containers::remove)),
    post("/commit", Never, Calls(images::commit)),
    // Other programs in containers.
    post("/containers/{id}/exec", Container(Right::Exec), Calls(exec::create)),
    get("/exec/{id}/json", Session(Right::Exec), Calls(exec::inspect)),
    post("/exec/{id}/start", Session(Right::Exec), Streams(|call| Box::pin(exec::start(call)))),
    post("/exec/{id}/resize", Session(Right::Exec), Calls(exec::resize)),
    // Images.
    get("/images/json", Never, Calls(images::list)),
    get("/images/search", Never, Calls(registries::search)),
    get("/images/get", Never, Streams(|call| Box::pin(transfer::save_many(call)))),
    get("/images/{name...}/get", Never, Streams(|call| Box::pin(transfer::save_one(call)))),
    get("/images/{name...}/json", Never, Calls(images::inspect)),
    get("/images/{name...}/history", Never, Calls(images::history)),
    post("/images/create", Never, Streams(|call| Box::pin(transfer::create(call)))),
    post("/images/load", Never, Streams(|call| Box::pin(transfer::load(call)))),
    post("/images/prune", Never, Calls(images::prune)),
    post("/images/{name...}/tag", Never, Calls(images::tag)),
    post("/images/{name...}/push", Never, Streams(|call| Box::pin(registries::push(call)))),
    delete("/images/{name...}", Never, Calls(images::remove)),
    post("/auth", Never, Calls(registries::login)),
    get("/distribution/{name...}/json", Never, Calls(registries::look_up)),
    get("/cofferdam/root/{name...}", Never, Streams(|call| Box::pin(transfer::root(call)))),
    get("/cofferdam/manifest/{name...}", Never, Calls(registries::manifest)),
    get("/cofferdam/referrers/{name...}", Never, Calls(registries::referrers)),
    // Building them.
    post("/build", Never, Streams(|call| Box::pin(build::build(call)))),
    post("/build/cancel", Never, Calls(build::cancel)),
    post("/build/prune", Never, Calls(build::prune)),
    // Volumes.
    get("/volumes", Never, Calls(volumes::list)),
    post("/volumes/create", Never, Calls(volumes::create)),
    post("/volumes/prune", Never, Calls(volumes::prune)),
    get("/volumes/{name}", Never, Calls(volumes::inspect)),
    put("/volumes/{name}", Never, Calls(refused::cluster_volumes)),
    delete("/volumes/{name}", Never, Calls(volumes::remove)),
    get("/cofferdam/volumes/{name}/export", Never, Streams(|call| Box::pin(volumes::export(call)))),
    post(
        "/cofferdam/volumes/{name}/import",
        Never,
        Streams(|call| Box::pin(volumes::import(call))),
    ),
    // Networks.
    get("/networks", Never, Calls(networks::list)),
    get("/networks/", Never, Calls(networks::list)),
    get("/networks/{id}", Never, Calls(networks::inspect)),
    post("/networks/create", Never, Calls(networks::create)),
    post("/networks/prune", Never, Calls(networks::prune)),
    post("/networks/{id}/update", Never, Calls(networks::update)),
    post("/networks/{id}/connect", Never, Calls(networks::connect)),
    post("/networks/{id}/disconnect", Never, Calls(networks::disconnect)),
    delete("/networks/{id}", Never, Calls(networks::remove)),
    // Plugins, of which there are none.
    get("/plugins/privileges", Never, Calls(refused::plugins)),
    get("/plugins/{name...}/json", Never, Calls(refused::plugin)),
    post("/plugins/pull", Never, Calls(refused::plugins)),
    post("/plugins/create", Never, Calls(refused::plugins)),
    post("/plugins/{name...}/enable", Never, Calls(refused::plugin)),
    post("/plugins/{name...}/disable", Never, Calls(refused::plugin)),
    post("/plugins/{name...}/upgrade", Never, Calls(refused::tagged_plugin)),
    post("/plugins/{name...}/push", Never, Calls(refused::plugin)),
    post("/plugins/{name...}/set", Never, Calls(refused::told_plugin)),
    delete("/plugins/{name...}", Never, Calls(refused::plugin)),
    // A swarm, of which this is never a part.
    post("/swarm/init", Never, Calls(refused::swarm)),
    post("/swarm/join", Never, Calls(refused::swarm)),
    get("/swarm", Never, Calls(refused::no_manager)),
    post("/swarm/leave", Never, Calls(refused::no_member)),
    post("/swarm/update", Never, Calls(|call| refused::version(call, "swarm"))),
    get("/swarm/unlockkey", Never, Calls(refused::no_manager)),
    post("/swarm/unlock", Never, Calls(refused::told_no_manager)),
    get("/nodes", Never, Calls(refused::list)),
    get("/nodes/{id}", Never, Calls(refused::no_manager)),
    delete("/nodes/{id}", Never, Calls(refused::no_manager)),
    post("/nodes/{id}/update", Never, Calls(|call| refused::version(call, "node"))),
    get("/services", Never, Calls(refused::list)),
    post("/services/create", Never, Calls(refused::told_no_manager)),
    get("/services/{id}", Never, Calls(refused::service)),
    delete("/services/{id}", Never, Calls(refused::no_manager)),
    post("/services/{id}/update", Never, Calls(|call| refused::version(call, "service"))),
    get("/services/{id}/logs", Never, Calls(refused::logs)),
    get("/tasks", Never, Calls(refused::list)),
    get("/tasks/{id}", Never, Calls(refused::no_manager)),
    get("/tasks/{id}/logs", Never, Calls(refused::logs)),
    get("/secrets", Never, Calls(refused::list)),
    post("/secrets/create", Never, Calls(refused::told_no_manager)),
    get("/secrets/{id}", Never, Calls(refused::no_manager)),
    delete("/secrets/{id}", Never, Calls(refused::no_manager)),
    post("/secrets/{id}/update", Never, Calls(|call| refused::bare_version(call, "secret"))),
    get("/configs", Never, Calls(refused::list)),
    post("/configs/create", Never, Calls(refused::told_no_manager)),
    get("/configs/{id}", Never, Calls(refused::no_manager)),
    delete("/configs/{id}", Never, Calls(refused::no_manager)),
    post("/configs/{id}/update", Never, Calls(|call| refused::bare_version(call, "config"))),
];

/// A line that fits.
pub struct Found {
    /// Who works on the request.
    pub handler: Handler,
    /// How far scoped sockets reach it.
    pub reach: Reach,
    /// What stood at the pattern's braces.
    pub params: Vec<String>,
}

/// The line for a path without its version.
pub fn find(method: &Method, path: &str) -> Option<Found> {
    ROUTES.iter().filter(|route| route.method == method).find_map(|route| {
        let params = matches(route.pattern, path)?;
        Some(Found { handler: route.handler, reach: route.reach, params })
    })
}

fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let mut pattern = pattern.strip_prefix('/')?.split('/').peekable();
    let mut path: Vec<&str> = path.strip_prefix('/')?.split('/').rev().collect();
    while let Some(part) = pattern.next() {
        if !part.starts_with('{') {
            if path.pop() != Some(part) {
                return None;
            }
            continue;
        }
        let mut taken = path.pop()?.to_owned();
        if part.ends_with("...}") {
            let after = pattern.clone().count();
            while path.len() > after {
                taken = format!("{taken}/{}", path.pop()?);
            }
        }
        if taken.is_empty() {
            return None;
        }
        params.push(taken);
    }
    path.is_empty().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn params(method: &Method, path: &str) -> Option<Vec<String>> {
        find(method, path).map(|found| found.params)
    }

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn a_name_of_an_image_may_have_slashes() {
        assert_eq!(params(&Method::GET, "/images/quay.io/a/b:1/json"), words(&["quay.io/a/b:1"]));
        assert_eq!(params(&Method::DELETE, "/images/a/b@sha256:0"), words(&["a/b@sha256:0"]));
        assert_eq!(matches("/images/{name...}/json", "/images/json/json"), words(&["json"]));
    }

    #[test]
    fn a_container_is_one_segment() {
        assert_eq!(params(&Method::GET, "/containers/web/json"), words(&["web"]));
        assert_eq!(params(&Method::GET, "/containers/a/b/json"), None);
        assert_eq!(params(&Method::GET, "/containers//json"), None);
        assert_eq!(params(&Method::GET, "/containers/json"), words(&[]));
    }

    #[test]
    fn what_no_line_knows_has_no_handler() {
        for path in ["/", "", "/nonesuch", "/grpc/x", "/containers/json/", "//_ping"] {
            assert!(params(&Method::GET, path).is_none(), "{path}");
        }
        assert!(params(&Method::DELETE, "/_ping").is_none());
        assert!(params(&Method::GET, "/grpc").is_none());
    }

    /// What the page of the API names, as the table has it.
    fn documented() -> BTreeSet<String> {
        let page = include_str!("../../../docs/API.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        rows.map(str::to_owned).collect()
    }

    #[test]
    fn the_page_of_the_api_names_every_operation_and_no_other() {
        let plain = |route: &Route| {
            let path = route.pattern.replace("...}", "}");
            let path = path.strip_suffix('/').unwrap_or(&path);
            format!("{} {path}", route.method)
        };
        let ours: BTreeSet<String> = ROUTES.iter().map(plain).collect();
        let page = documented();
        let missing: Vec<_> = ours.difference(&page).collect();
        let made_up: Vec<_> = page.difference(&ours).collect();
        assert!(missing.is_empty() && made_up.is_empty(), "{missing:?} {made_up:?}");
    }

    #[test]
    fn scoped_sockets_reach_nothing_but_this() {
        let reached = ROUTES.iter().filter(|route| !matches!(route.reach, Never));
        let reached: Vec<String> =
            reached.map(|r| format!("{} {} {:?}", r.method, r.pattern, r.reach)).collect();
        assert_eq!(
            reached,
            [
                "GET /_ping Always",
                "HEAD /_ping Always",
                "GET /version Always",
                "GET /events Lists(Read)",
                "GET /cofferdam/metrics Lists(Read)",
                "GET /containers/json Lists(Read)",
                "GET /containers/{id}/json Seen",
                "GET /containers/{id}/top Container(Read)",
                "GET /containers/{id}/changes Container(Files)",
                "GET /containers/{id}/audit Container(Read)",
                "GET /containers/{id}/logs Container(Logs)",
                "GET /containers/{id}/stats Container(Read)",
                "GET /containers/{id}/export Container(Files)",
                "GET /containers/{id}/attach/ws Container(Attach)",
                "POST /containers/{id}/start Container(Start)",
                "POST /containers/{id}/stop Container(Stop)",
                "POST /containers/{id}/restart Container(Restart)",
                "POST /containers/{id}/kill Container(Kill)",
                "POST /containers/{id}/pause Container(Pause)",
                "POST /containers/{id}/unpause Container(Pause)",
                "POST /containers/{id}/resize Container(Attach)",
                "POST /containers/{id}/wait Seen",
                "POST /containers/{id}/attach Container(Attach)",
                "HEAD /containers/{id}/archive Container(Files)",
                "GET /containers/{id}/archive Container(Files)",
                "POST /containers/{id}/exec Container(Exec)",
                "GET /exec/{id}/json Session(Exec)",
                "POST /exec/{id}/start Session(Exec)",
                "POST /exec/{id}/resize Session(Exec)",
            ],
            "whatever is reached anew has to be thought about here"
        );
    }

    #[test]
    fn a_literal_stands_before_a_name_that_would_swallow_it() {
        for route in ROUTES {
            if !route.pattern.contains('{') {
                let found = find(&route.method, route.pattern).expect("itself");
                assert!(found.params.is_empty(), "{} is taken for a name", route.pattern);
            }
        }
    }
}
