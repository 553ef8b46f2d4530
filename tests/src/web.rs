//! Containers that answer `hello` on port 80, and who reaches them.

use crate::{Engine, until};

/// Starts one, and waits until it answers.
///
/// # Panics
/// If it does not.
pub fn serve(engine: &Engine, name: &str, options: &[&str]) {
    let mut words = vec!["run", "-d", "--name", name];
    words.extend(options);
    let script = "mkdir -p /www && echo hello > /www/index.html && exec httpd -f -h /www";
    words.extend(["busybox", "sh", "-c", script]);
    engine.says(&words);
    until("the server", || {
        engine.run(&["exec", name, "wget", "-qO-", "http://127.0.0.1/"]).out == "hello"
    });
}

/// Can `name` fetch from there?
#[must_use]
pub fn reaches(engine: &Engine, name: &str, host: &str) -> bool {
    let url = format!("http://{host}/");
    engine.run(&["exec", name, "timeout", "3", "wget", "-qO-", &url]).out == "hello"
}

/// Its IPv4 address on a network.
#[must_use]
pub fn address(engine: &Engine, name: &str, network: &str) -> String {
    engine.inspect(name, &format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}"))
}

/// What a script says in a container.
#[must_use]
pub fn sh(engine: &Engine, name: &str, script: &str) -> String {
    engine.says(&["exec", name, "sh", "-c", script])
}
