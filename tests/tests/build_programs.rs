//! BUILD: programs of Debian, built by Dockerfiles as people write them, and
//! run.

use promises::{Cli, Engine, kitchen::Context, until};

#[test]
fn build13_debian_programs_are_built_and_run() {
    let engine = Engine::with(&[]);
    let tar = std::env::var("COFFERDAM_DEBIAN").expect("run `cargo xtask test`, which makes it");
    engine.says_as(Cli::Docker, &["import", &tar, "debian"]);
    let context = Context::new(&engine, "c");
    context.file("main.c", "#include <stdio.h>\nint main(void) { puts(GREETING); return 0; }\n");
    context.file("hello.html", "built here\n");
    // A program in C, without its compiler.
    context.file(
        "Program",
        "FROM debian AS compiler
ARG GREETING=none
WORKDIR /src
COPY main.c .
RUN tcc -DGREETING=\"\\\"$GREETING\\\"\" -o /hello main.c
FROM debian
COPY --from=compiler /hello /hello
USER 1000
ENTRYPOINT [\"/hello\"]
",
    );
    let file = context.dir.join("Program").display().to_string();
    context.builds(Cli::Docker, &["-f", &file, "--build-arg", "GREETING=hi there", "-t", "hello"]);
    assert_eq!(engine.says(&["run", "--rm", "hello"]), "hi there");
    // A server, with a package installed and a user of its own.
    context.file(
        "Server",
        "FROM debian
RUN adduser --system --group --no-create-home web && rm -f /var/www/html/*
COPY --chown=web:web hello.html /var/www/html/index.html
RUN nginx -t 2>&1 | tail -1 && stat -c %U /var/www/html/index.html
EXPOSE 80
STOPSIGNAL SIGQUIT
HEALTHCHECK NONE
CMD [\"nginx\", \"-g\", \"daemon off;\"]
",
    );
    let file = context.dir.join("Server").display().to_string();
    let said = context.builds(Cli::Cofferdam, &["-f", &file, "-t", "server"]);
    assert!(said.contains("test is successful") && said.contains("\nweb\n"), "{said}");
    engine.says(&["run", "-d", "--name", "s", "server"]);
    let ask =
        "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -1 <&3";
    until("the server", || engine.run(&["exec", "s", "bash", "-c", ask]).out == "built here");
    engine.says(&["stop", "s"]);
    assert_eq!(engine.inspect("s", "{{.State.ExitCode}}"), "0");
    engine.leaves_nothing();
}
