//! BUILD: programs of Debian, built by Dockerfiles as people write them, and
//! run.

use promises::{
    Cli, Engine,
    kitchen::{Context, Kitchen},
    until,
};

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

#[test]
fn debian_programs_are_built_and_run_by_buildkits_door() {
    let kitchen = Kitchen::of(Engine::with(&[]));
    let tar = std::env::var("COFFERDAM_DEBIAN").expect("run `cargo xtask test`, which makes it");
    kitchen.engine.says(&["import", &tar, "debian"]);
    // A program in C, in stages, with a cache and without its compiler.
    kitchen.file(
        "src/main.c",
        "#include <stdio.h>\n#include \"own.h\"\nint main(void) { puts(OWN); return 0; }\n",
    );
    kitchen.file("src/own.h", "#define OWN \"in stages\"\n").file(".dockerignore", "*\n!src\n");
    let dockerfile = "FROM debian AS compiler\nWORKDIR /src\n\
                      RUN --mount=type=bind,source=src,target=. --mount=type=cache,target=/root/.cache \\\n\
                          tcc -c -o /root/.cache/main.o main.c && tcc -o /hello /root/.cache/main.o\n\
                      FROM debian AS checked\n\
                      RUN --mount=from=compiler,source=/hello,target=/bin/hello hello > /said && ! test -s /hello\n\
                      FROM debian\nCOPY --from=compiler /hello /hello\nCOPY --from=checked /said /said\n\
                      USER nobody\nENTRYPOINT [\"/hello\"]\n";
    kitchen.builds(dockerfile, &["-t", "hello"]);
    assert_eq!(kitchen.engine.says(&["run", "--rm", "hello"]), "in stages");
    // A server with its files from here-documents.
    let dockerfile = "FROM debian\nRUN adduser --system --group --no-create-home web && rm -f /var/www/html/*\n\
                      COPY --chown=web:web <<EOF /var/www/html/index.html\nbuilt here\nEOF\n\
                      RUN <<EOF\nset -e\nnginx -t\nstat -c %U /var/www/html/index.html\nEOF\n\
                      EXPOSE 80\nSTOPSIGNAL SIGQUIT\nCMD [\"nginx\", \"-g\", \"daemon off;\"]\n";
    let said = kitchen.builds(dockerfile, &["-t", "server"]);
    assert!(said.contains("test is successful") && said.contains(" web\n"), "{said}");
    kitchen.engine.says(&["run", "-d", "--name", "s", "server"]);
    let ask =
        "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -1 <&3";
    until("the server", || {
        kitchen.engine.run(&["exec", "s", "bash", "-c", ask]).out == "built here"
    });
    kitchen.engine.says(&["stop", "s"]);
    assert_eq!(kitchen.engine.inspect("s", "{{.State.ExitCode}}"), "0");
    // A data base as its own user, with its data in a volume.
    let dockerfile = "FROM debian\nENV PGDATA=/var/lib/data\n\
                      RUN ln -s /usr/lib/postgresql/*/bin /pg && install -d -m 700 -o postgres -g postgres $PGDATA\n\
                      COPY --chmod=755 <<'EOF' /entry\n#!/bin/sh\nset -e\n\
                      [ -s $PGDATA/PG_VERSION ] || /pg/initdb --no-sync -A trust -U postgres > /dev/null\n\
                      exec \"$@\" -c listen_addresses= -c unix_socket_directories=/tmp\nEOF\n\
                      VOLUME $PGDATA\nUSER postgres\nSTOPSIGNAL SIGINT\nENTRYPOINT [\"/entry\"]\nCMD [\"/pg/postgres\"]\n";
    kitchen.builds(dockerfile, &["-t", "base"]);
    kitchen.engine.says(&["run", "-d", "--name", "p", "base"]);
    let ask = |sql| {
        kitchen
            .engine
            .run(&["exec", "p", "/pg/psql", "-h", "/tmp", "-U", "postgres", "-Atc", sql])
            .out
    };
    until("the data base", || ask("select 6 * 7") == "42");
    ask("create table t as select 7 as n");
    kitchen.engine.says(&["restart", "p"]);
    until("its data again", || ask("select n from t") == "7");
    kitchen.engine.leaves_nothing();
}
