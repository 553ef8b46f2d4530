//! A real terminal: prompt, size, keys and the exit code, driven by tmux.

use promises::{Cli, Engine, until};

/// A tmux server of the test's own.
struct Terminal<'a> {
    engine: &'a Engine,
    socket: String,
}

impl<'a> Terminal<'a> {
    fn run(engine: &'a Engine, cli: Cli, words: &[&str]) -> Self {
        // One server each: the last one may still be ending.
        let socket = engine.scratch().join(format!("tmux-{cli:?}-{}", words[0]));
        let socket = socket.display().to_string();
        let terminal = Self { engine, socket };
        let command = engine.command(cli, words);
        let words: Vec<String> =
            command.get_args().map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let envs: Vec<String> = command
            .get_envs()
            .filter_map(|(key, value)| {
                Some(format!("{}='{}'", key.to_string_lossy(), value?.to_string_lossy()))
            })
            .collect();
        let shell =
            format!("env {} nsenter {}; echo code $?; exec cat", envs.join(" "), words.join(" "));
        let mut start = std::process::Command::new("tmux");
        start.args([
            "-S",
            &terminal.socket,
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            &shell,
        ]);
        assert!(start.status().expect("tmux starts").success());
        terminal
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = std::process::Command::new("tmux");
        let out = command.args(["-S", &self.socket]).args(words).output().expect("tmux starts");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn shows(&self, text: &str) {
        let what = format!("{text:?} on the screen of\n{}", self.engine.logged());
        until(&what, || self.tmux(&["capture-pane", "-p"]).contains(text));
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("screen: {}", self.tmux(&["capture-pane", "-p"]));
        }
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn an_interactive_shell_behaves_like_one() {
    let engine = Engine::new();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let terminal =
            Terminal::run(&engine, cli, &["run", "-it", "--name", "shell", "busybox", "sh"]);
        terminal.shows("/ #");
        terminal.keys(&["stty size", "Enter"]);
        terminal.shows("24 80");
        terminal.tmux(&["resize-window", "-x", "100", "-y", "30"]);
        until("the new size", || {
            terminal.keys(&["stty size", "Enter"]);
            terminal.tmux(&["capture-pane", "-p"]).contains("30 100")
        });
        terminal.keys(&["sleep 1000", "Enter"]);
        until("the program to have the terminal", || {
            engine.says(&["top", "shell"]).contains("sleep 1000")
        });
        terminal.keys(&["C-c"]);
        terminal.keys(&["echo after=$?", "Enter"]);
        terminal.shows("after=130");
        terminal.keys(&["C-p", "C-q"]);
        terminal.shows("code 0");
        assert_eq!(engine.inspect("shell", "{{.State.Running}}"), "true", "{cli:?} detached");
        drop(terminal);
        let terminal = Terminal::run(&engine, cli, &["attach", "shell"]);
        terminal.keys(&["exit 7", "Enter"]);
        terminal.shows("code 7");
        drop(terminal);
        engine.says(&["rm", "shell"]);
    }
}
