//! Our CLI beside the unmodified Docker CLI on the same engine: the same
//! formats, columns and exit codes.

use promises::{Cli, Engine, until};

const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

/// Both say the same, which is returned.
fn same(engine: &Engine, words: &[&str]) -> String {
    let [docker, ours] = BOTH.map(|cli| engine.says_as(cli, words));
    assert_eq!(ours, docker, "{words:?}");
    ours
}

/// Both fail with this exit code.
fn fail(engine: &Engine, code: i32, words: &[&str]) {
    for cli in BOTH {
        let ran = engine.run_as(cli, words);
        assert_eq!(ran.code, code, "{cli:?} {words:?}: {ran:?}");
        if cli == Cli::Cofferdam {
            let lines: Vec<&str> = ran.err.lines().collect();
            assert!(lines.first().is_some_and(|line| line.starts_with("error: ")), "{ran:?}");
            assert!(lines.len() <= 3, "the house's form: {ran:?}");
        }
    }
}

/// An engine with a container of every trait that lists show.
fn furnished() -> Engine {
    let engine = Engine::new();
    let words = "run -d --name web -l k=v,w -l l=m -p 8080:80 -p 127.0.0.1:8081:81/udp -p 9000-9002:9000-9002 \
                 --expose 99 -v data:/data busybox sleep 1000";
    engine.says(&words.split_whitespace().collect::<Vec<_>>());
    engine.run(&["run", "--name", "done", "busybox", "sh", "-c", "echo one; exit 3"]);
    until("its end", || engine.inspect("done", "{{.State.Running}}") == "false");
    engine
}

#[test]
fn lists_are_dockers() {
    let engine = furnished();
    for words in [
        &["ps", "-a", "--format", "table {{.Names}}\\t{{.Image}}\\t{{.Command}}\\t{{.Ports}}"][..],
        &["ps", "--format", "{{.ID}} {{.Labels}} {{.Label \"k\"}} {{.Label \"none\"}} {{.Size}}"],
        &[
            "ps",
            "--format",
            "{{.CreatedAt}} {{.Mounts}} {{.Networks}} {{.LocalVolumes}} {{.State}}",
        ],
        &["ps", "-aq", "--no-trunc"],
        &["ps", "-l", "--format", "{{.Names}}"],
        &["ps", "-n", "1", "-a", "--format", "{{.Names}}"],
        &["ps", "-n", "-1", "--format", "{{.Names}}"],
        &["images", "--format", "{{.Repository}} {{.Tag}} {{.ID}} {{.Digest}} {{.Size}}"],
        &["images", "--format", "{{.Containers}} {{.SharedSize}} {{.UniqueSize}} {{.VirtualSize}}"],
        &["images", "--format", "{{.CreatedAt}}", "--no-trunc"],
        &["history", "busybox", "--format", "{{.ID}} {{.CreatedAt}} {{.Size}} {{.Comment}}"],
        &[
            "volume",
            "ls",
            "--format",
            "{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Links}}",
        ],
        &[
            "volume",
            "ls",
            "--format",
            "table {{.Name}}\\t{{.Availability}}\\t{{.Group}}\\t{{.Status}}",
        ],
        &["network", "ls", "--format", "{{.ID}} {{.Name}} {{.IPv4}} {{.IPv6}} {{.Internal}}"],
        &["network", "ls", "--format", "{{.CreatedAt}} {{.Labels}}", "-f", "name=bridge"],
        &["system", "df"],
        &["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Reclaimable}}"],
        &["stats", "--no-stream", "--format", "{{.Container}} {{.Name}} {{.PIDs}}", "web"],
        &["port", "web"],
        &["port", "web", "81/udp"],
        &["diff", "web"],
        &["top", "web", "-o", "pid,user,comm"],
        &["version", "-f", "{{.Server.APIVersion}} {{.Server.Version}} {{.Server.MinAPIVersion}}"],
        &["info", "-f", "{{.ID}} {{.NCPU}} {{.Driver}} {{.Swarm.LocalNodeState}} {{.CPUCfsQuota}}"],
    ] {
        assert_ne!(same(&engine, words), "", "{words:?}");
    }
}

#[test]
fn inspect_is_dockers() {
    let engine = furnished();
    let id = engine.inspect("web", "{{.Id}}");
    for words in [
        &["inspect", "-f", "{{if .State.Health}}has{{else}}has none{{end}}", "web"][..],
        &["inspect", "-f", "{{range $p, $b := .NetworkSettings.Ports}}{{$p}} {{end}}", "web"],
        &[
            "inspect",
            "-f",
            "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}",
            "web",
        ],
        &["inspect", "-f", "{{.Id}}", &id[..6]],
        &["inspect", "--size", "-f", "{{.SizeRootFs}}", "web"],
        &["inspect", "--type", "volume", "data"],
        &["inspect", "--type", "network", "bridge"],
        &["inspect", "busybox"],
        &["volume", "inspect", "data"],
        &["image", "inspect", "busybox", "-f", "{{.Id}} {{len .RootFS.Layers}}"],
    ] {
        assert_ne!(same(&engine, words), "", "{words:?}");
    }
    let whole = engine.says(&["inspect", "web"]);
    assert!(whole.starts_with("[\n    {\n        \"Id\": "), "fields in Docker's order: {whole}");
}

#[test]
fn mistakes_have_dockers_exit_codes() {
    let engine = furnished();
    for (code, words) in [
        (125, &["run", "--nonesuch", "busybox"][..]),
        (125, &["ps", "-az"]),
        (125, &["run", "--name"]),
        (125, &["run", "--rm=maybe", "busybox"]),
        (125, &["run", "--stop-timeout", "x", "busybox"]),
        (125, &["run", "--cpus", "-1", "busybox", "true"]),
        (125, &["run", "--env-file", "/nonesuch", "busybox"]),
        (125, &["run", "--dns", "bogus", "busybox"]),
        (125, &["run", "-a", "bogus", "busybox"]),
        (125, &["run", "--rm", "--restart", "always", "busybox"]),
        (125, &["run", "--pull", "bogus", "busybox"]),
        (125, &["run", "--network", "nonesuch", "busybox", "true"]),
        (125, &["run", "--name", "web", "busybox", "true"]),
        (126, &["run", "--rm", "busybox", "/etc/passwd"]),
        (127, &["run", "--rm", "busybox", "nonesuch"]),
        (125, &["ps", "--filter", "nonesense"]),
        (1, &["ps", "--filter", "zzz=1"]),
        (1, &["ps", "foo"]),
        (1, &["exec", "web"]),
        (1, &["exec", "-u", "nosuch", "web", "true"]),
        (1, &["tag", "busybox"]),
        (1, &["nonesuch"]),
        (1, &["volume", "nonesuch"]),
        (1, &["inspect", "nonesuch"]),
        (1, &["inspect", "-f", "{{.Nope}}", "web"]),
        (1, &["ps", "--format", "{{.Nope}}"]),
        (1, &["logs", "--since", "bogus", "web"]),
        (1, &["run", "-it", "--rm", "busybox", "true"]),
        (1, &["rm", "web"]),
        (1, &["update", "web"]),
        (1, &["cp", "web:/etc", "web:/tmp"]),
        (1, &["cp", "web:/etc/passwd", "/nonesuch/dir/file"]),
        (1, &["exec", "-d", "web", "nonesuch"]),
    ] {
        fail(&engine, code, words);
    }
    for words in [&["rm", "-f", "nonesuch"][..], &["rmi", "-f", "nonesuch"]] {
        for cli in BOTH {
            let ran = engine.run_as(cli, words);
            assert!(ran.code == 0 && ran.err.contains("No such"), "{cli:?} {words:?}: {ran:?}");
        }
    }
}

#[test]
fn a_container_counts_its_own_users() {
    let engine = furnished();
    for words in [&["top", "web"][..], &["top", "web", "aux"]] {
        let top = engine.says_as(Cli::Docker, words);
        let row = top.lines().nth(1).expect("a process");
        assert!(row.starts_with("root ") && row.ends_with("sleep 1000"), "{words:?}: {top}");
    }
}
