//! Real programs of Debian's: servers, setuid programs, a package manager.
//!
//! The root file system is made once by `cargo xtask test` (mmdebstrap) and
//! imported here.

use promises::{Cli, Engine, until};

fn debian() -> Engine {
    let engine = Engine::with(&[]);
    let tar =
        std::env::var("COFFERDAM_DEBIAN").expect("run `cargo xtask test`, which makes the root");
    engine.says_as(Cli::Docker, &["import", &tar, "debian"]);
    engine
}

#[test]
fn nginx_and_postgresql_serve_from_volumes_on_published_ports() {
    let engine = debian();
    // PostgreSQL asks where its client is from: not from its own loopback.
    let wire = engine.host().neighbour();
    for (cli, port) in [(Cli::Docker, "18080:80"), (Cli::Cofferdam, "18081:80")] {
        let site = engine.scratch().join(format!("site-{cli:?}"));
        std::fs::create_dir(&site).expect("scratch");
        std::fs::write(site.join("index.html"), "served by nginx").expect("scratch");
        let mount = format!("{}:/var/www/html:ro", site.display());
        let name = format!("web-{cli:?}").to_lowercase();
        engine.says_as(
            cli,
            &[
                "run",
                "-d",
                "--name",
                &name,
                "-p",
                port,
                "-v",
                &mount,
                "debian",
                "nginx",
                "-g",
                "daemon off;",
            ],
        );
        let url = format!("http://127.0.0.1:{}/", port.split(':').next().expect("one"));
        until("nginx", || {
            engine.host().sh(&format!("curl -sf -m 2 {url}")).stdout == b"served by nginx"
        });
    }
    let script = "pg_dropcluster 15 main 2>/dev/null; chown postgres /var/lib/postgresql && pg_createcluster 15 main -- --no-sync >/dev/null && \
        echo 'host all all 0.0.0.0/0 trust' >> /etc/postgresql/15/main/pg_hba.conf && \
        exec su postgres -c \"/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main \
        -c config_file=/etc/postgresql/15/main/postgresql.conf -c listen_addresses='*'\"";
    for (cli, port) in [(Cli::Docker, "15432"), (Cli::Cofferdam, "15433")] {
        let name = format!("db-{cli:?}").to_lowercase();
        let (publish, volume) = (format!("{port}:5432"), format!("{name}:/var/lib/postgresql"));
        let words = ["run", "-d", "--name", &name, "-p", &publish, "-v", &volume];
        engine.says_as(cli, &[&words[..], &["debian", "sh", "-c", script]].concat());
        let inside = |text: &str| {
            engine.run_as(cli, &["exec", "-u", "postgres", &name, "psql", "-tAc", text])
        };
        until("PostgreSQL", || inside("select 1").out == "1");
        let sql = "create table t (n int); insert into t select generate_series(1, 1000)";
        assert_eq!(inside(sql).code, 0);
        // From the host, through the published port.
        let asked = engine
            .host()
            .says(&format!("psql -h 192.0.2.1 -p {port} -U postgres -tAc 'select sum(n) from t'"));
        assert_eq!(asked, "500500", "{cli:?}");
        engine.says_as(cli, &["rm", "-f", &name]);
    }
    drop(wire);
    engine.leaves_nothing();
}

#[test]
fn setuid_programs_ping_threads_and_a_package_manager_work() {
    let engine = debian();
    let run = |script: &str| engine.run(&["run", "--rm", "debian", "sh", "-ec", script]);
    let su = run("useradd -m someone && su someone -c 'id -un'");
    assert_eq!(su.out, "someone", "{su:?}");
    let ping =
        run("useradd -m someone && su someone -c 'ping -c1 127.0.0.1' | grep -c '1 received'");
    assert_eq!(ping.out, "1", "{ping:?}");
    let threads = run(
        "python3 -c 'import threading as t; l=[]; a=[t.Thread(target=lambda i=i: l.append(i)) for i in range(64)]; [x.start() for x in a]; [x.join() for x in a]; print(len(l))'",
    );
    assert_eq!(threads.out, "64", "{threads:?}");
    let script = "const { Worker, isMainThread, parentPort } = require('worker_threads'); \
        if (isMainThread) { let n = 0; for (let i = 0; i < 8; i++) new Worker('/t.js').on('message', m => { n += m; if (n == 8) console.log('all'); }); } \
        else parentPort.postMessage(1);";
    let node = run(&format!("cat > /t.js <<'EOS'\n{script}\nEOS\nnode /t.js"));
    assert_eq!(node.out, "all", "{node:?}");
    let sshd = run(
        "mkdir -p /run/sshd && ssh-keygen -A >/dev/null && /usr/sbin/sshd && ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | cut -d' ' -f2",
    );
    assert_eq!(sshd.out, "ssh-ed25519", "{sshd:?}");
    let package = "mkdir -p /p/DEBIAN /p/usr/bin && printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: p\\n' > /p/DEBIAN/control \
        && printf '#!/bin/sh\\nadduser --system --quiet pkguser\\n' > /p/DEBIAN/postinst && chmod 755 /p/DEBIAN/postinst \
        && printf '#!/bin/sh\\necho installed\\n' > /p/usr/bin/p && chmod 755 /p/usr/bin/p && dpkg-deb -b /p /p.deb >/dev/null \
        && apt-get install -y -qq /p.deb >/dev/null 2>&1 && p";
    let apt = run(package);
    assert_eq!(apt.out.lines().last(), Some("installed"), "{apt:?}");
    engine.leaves_nothing();
}
