//! Which request goes to which handler: the table of all endpoints.
//!
//! In a pattern `{x}` stands for one segment of a path and `{x...}` for one
//! or more (names of images have slashes). The first line that fits counts.
//! What this engine does not carry has a line too, and says so; what no line
//! knows is answered with 404.

use crate::answer::Outcome;
use crate::call::Call;
use crate::{
    archive, audit, build, containers, events, exec, images, networks, refused, registries, stats,
    streams, system, transfer, upgrade, upkeep, volumes,
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

/// One line of the table.
struct Route {
    method: Method,
    pattern: &'static str,
    handler: Handler,
}

const fn get(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::GET, pattern, handler }
}

const fn head(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::HEAD, pattern, handler }
}

const fn post(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::POST, pattern, handler }
}

const fn put(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::PUT, pattern, handler }
}

const fn delete(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::DELETE, pattern, handler }
}

static ROUTES: &[Route] = &[
    // The engine itself.
    get("/_ping", Calls(system::ping)),
    head("/_ping", Calls(system::ping)),
    get("/version", Calls(system::version)),
    get("/info", Calls(system::info)),
    get("/system/df", Calls(system::df)),
    get("/events", Streams(|call| Box::pin(events::follow(call)))),
    post("/grpc", Calls(upgrade::grpc)),
    post("/session", Calls(upgrade::session)),
    get("/plugins", Calls(system::plugins)),
    get("/cofferdam/audit", Calls(audit::all)),
    post("/cofferdam/check", Calls(upkeep::check)),
    post("/cofferdam/collect", Calls(upkeep::collect)),
    post("/cofferdam/images/{name...}/pin", Calls(upkeep::pin)),
    post("/cofferdam/images/{name...}/unpin", Calls(upkeep::unpin)),
    // Containers.
    get("/containers/json", Calls(containers::list)),
    post("/containers/create", Calls(containers::create)),
    post("/containers/prune", Calls(containers::prune)),
    get("/containers/{id}/json", Calls(containers::inspect)),
    get("/containers/{id}/top", Calls(containers::top)),
    get("/containers/{id}/changes", Calls(containers::changes)),
    get("/containers/{id}/audit", Calls(audit::one)),
    get("/containers/{id}/logs", Streams(|call| Box::pin(streams::logs(call)))),
    get("/containers/{id}/stats", Streams(|call| Box::pin(stats::follow(call)))),
    get("/containers/{id}/export", Streams(|call| Box::pin(archive::export(call)))),
    get("/containers/{id}/attach/ws", Streams(|call| Box::pin(streams::attach_framed(call)))),
    post("/containers/{id}/start", Calls(containers::start)),
    post("/containers/{id}/stop", Calls(containers::stop)),
    post("/containers/{id}/restart", Calls(containers::restart)),
    post("/containers/{id}/kill", Calls(containers::kill)),
    post("/containers/{id}/pause", Calls(containers::pause)),
    post("/containers/{id}/unpause", Calls(containers::unpause)),
    post("/containers/{id}/rename", Calls(containers::rename)),
    post("/containers/{id}/update", Calls(containers::update)),
    post("/containers/{id}/resize", Calls(containers::resize)),
    post("/containers/{id}/wait", Streams(|call| Box::pin(streams::wait(call)))),
    post("/containers/{id}/attach", Streams(|call| Box::pin(streams::attach(call)))),
    head("/containers/{id}/archive", Calls(archive::stat)),
    get("/containers/{id}/archive", Streams(|call| Box::pin(archive::get(call)))),
    put("/containers/{id}/archive", Streams(|call| Box::pin(archive::put(call)))),
    get("/containers/{id}/checkpoints", Calls(refused::checkpoints)),
    post("/containers/{id}/checkpoints", Calls(refused::checkpoints)),
    delete("/containers/{id}/checkpoints/{checkpoint}", Calls(refused::checkpoints)),
    // A link is named CONTAINER/ALIAS.
    delete("/containers/{id...}", Calls(containers::remove)),
    post("/commit", Calls(images::commit)),
    // Other programs in containers.
    post("/containers/{id}/exec", Calls(exec::create)),
    get("/exec/{id}/json", Calls(exec::inspect)),
    post("/exec/{id}/start", Streams(|call| Box::pin(exec::start(call)))),
    post("/exec/{id}/resize", Calls(exec::resize)),
    // Images.
    get("/images/json", Calls(images::list)),
    get("/images/search", Calls(registries::search)),
    get("/images/get", Streams(|call| Box::pin(transfer::save_many(call)))),
    get("/images/{name...}/get", Streams(|call| Box::pin(transfer::save_one(call)))),
    get("/images/{name...}/json", Calls(images::inspect)),
    get("/images/{name...}/history", Calls(images::history)),
    post("/images/create", Streams(|call| Box::pin(transfer::create(call)))),
    post("/images/load", Streams(|call| Box::pin(transfer::load(call)))),
    post("/images/prune", Calls(images::prune)),
    post("/images/{name...}/tag", Calls(images::tag)),
    post("/images/{name...}/push", Streams(|call| Box::pin(registries::push(call)))),
    delete("/images/{name...}", Calls(images::remove)),
    post("/auth", Calls(registries::login)),
    get("/distribution/{name...}/json", Calls(registries::look_up)),
    get("/cofferdam/root/{name...}", Streams(|call| Box::pin(transfer::root(call)))),
    get("/cofferdam/manifest/{name...}", Calls(registries::manifest)),
    get("/cofferdam/referrers/{name...}", Calls(registries::referrers)),
    // Building them.
    post("/build", Streams(|call| Box::pin(build::build(call)))),
    post("/build/cancel", Calls(build::cancel)),
    post("/build/prune", Calls(build::prune)),
    // Volumes.
    get("/volumes", Calls(volumes::list)),
    post("/volumes/create", Calls(volumes::create)),
    post("/volumes/prune", Calls(volumes::prune)),
    get("/volumes/{name}", Calls(volumes::inspect)),
    put("/volumes/{name}", Calls(refused::cluster_volumes)),
    delete("/volumes/{name}", Calls(volumes::remove)),
    // Networks.
    get("/networks", Calls(networks::list)),
    get("/networks/", Calls(networks::list)),
    get("/networks/{id}", Calls(networks::inspect)),
    post("/networks/create", Calls(networks::create)),
    post("/networks/prune", Calls(networks::prune)),
    post("/networks/{id}/update", Calls(networks::update)),
    post("/networks/{id}/connect", Calls(networks::connect)),
    post("/networks/{id}/disconnect", Calls(networks::disconnect)),
    delete("/networks/{id}", Calls(networks::remove)),
    // Not carried.
    get("/plugins/{name...}/json", Calls(refused::plugin)),
    get("/plugins/privileges", Calls(refused::plugins)),
    post("/plugins/{rest...}", Calls(refused::plugins)),
    delete("/plugins/{name...}", Calls(refused::plugins)),
    // A swarm, of which this is never a part.
    post("/swarm/init", Calls(refused::swarm)),
    post("/swarm/join", Calls(refused::swarm)),
    get("/swarm", Calls(refused::no_manager)),
    get("/swarm/{rest...}", Calls(refused::no_manager)),
    post("/swarm/{rest...}", Calls(refused::no_manager)),
    get("/nodes", Calls(refused::no_manager)),
    get("/nodes/{rest...}", Calls(refused::no_manager)),
    post("/nodes/{rest...}", Calls(refused::no_manager)),
    delete("/nodes/{rest...}", Calls(refused::no_manager)),
    get("/services", Calls(refused::no_manager)),
    get("/services/{rest...}", Calls(refused::no_manager)),
    post("/services/{rest...}", Calls(refused::no_manager)),
    delete("/services/{rest...}", Calls(refused::no_manager)),
    get("/tasks", Calls(refused::no_manager)),
    get("/tasks/{rest...}", Calls(refused::no_manager)),
    get("/secrets", Calls(refused::no_manager)),
    get("/secrets/{rest...}", Calls(refused::no_manager)),
    post("/secrets/{rest...}", Calls(refused::no_manager)),
    delete("/secrets/{rest...}", Calls(refused::no_manager)),
    get("/configs", Calls(refused::no_manager)),
    get("/configs/{rest...}", Calls(refused::no_manager)),
    post("/configs/{rest...}", Calls(refused::no_manager)),
    delete("/configs/{rest...}", Calls(refused::no_manager)),
];

/// The handler for a path without its version, and what stood at the
/// pattern's braces.
pub fn find(method: &Method, path: &str) -> Option<(Handler, Vec<String>)> {
    ROUTES
        .iter()
        .filter(|route| route.method == method)
        .find_map(|route| matches(route.pattern, path).map(|params| (route.handler, params)))
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

    fn params(method: &Method, path: &str) -> Option<Vec<String>> {
        find(method, path).map(|(_, params)| params)
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

    #[test]
    fn a_literal_stands_before_a_name_that_would_swallow_it() {
        for route in ROUTES {
            if !route.pattern.contains('{') {
                let (_, params) = find(&route.method, route.pattern).expect("itself");
                assert!(params.is_empty(), "{} is taken for a name", route.pattern);
            }
        }
    }
}
