//! BUILD: the words of `docker buildx build` beside the Dockerfile: where the
//! result goes, and what its steps have.

use promises::{Registry, Wants, kitchen::Kitchen};
use std::fs;

#[test]
fn results_are_named_in_files_and_pushed() {
    let kitchen = Kitchen::new();
    let registry = Registry::start(&kitchen.engine, "127.0.0.1", 5000, Wants::Nothing);
    let name = registry.name("pushed:1");
    let (iid, metadata) = (kitchen.out("iid"), kitchen.out("metadata.json"));
    let dockerfile = "FROM busybox\nRUN echo x > /x\n";
    let output = format!("type=image,name={name},push=true");
    let words = ["--iidfile", &iid, "--metadata-file", &metadata, "--output", &output];
    kitchen.builds(dockerfile, &words);
    let id = fs::read_to_string(&iid).expect("written");
    let own = kitchen.engine.says(&["image", "inspect", "--format", "{{.Id}}", &name]);
    assert_eq!(id, own);
    let told = fs::read_to_string(&metadata).expect("written");
    assert!(told.contains(&format!("\"containerimage.config.digest\": \"{id}\"")), "{told}");
    kitchen.engine.says(&["rmi", "-f", &name]);
    kitchen.engine.says(&["pull", &name]);
    assert_eq!(kitchen.holds(&name, "/x"), "x");
    // What is asked for by default beside the image does not fail.
    for words in [&["--provenance=false"][..], &["--sbom=false"]] {
        kitchen.builds(dockerfile, words);
    }
    for (words, said) in [
        (&["--output", "type=oci,dest=/tmp/x.tar"][..], "not supported"),
        (&["--output", "type=docker,dest=/tmp/x.tar"], "not supported"),
        (&["--cache-to", "type=registry,ref=x"], "not supported"),
        (&["--sbom=true"], "not supported"),
    ] {
        let refused = kitchen.fails(dockerfile, words);
        assert!(refused.contains(said), "{words:?}: {refused}");
    }
    drop(registry);
    kitchen.engine.leaves_nothing();
}

#[test]
fn steps_have_the_limits_hosts_and_networks_of_their_build() {
    let kitchen = Kitchen::new();
    let dockerfile = "FROM busybox\nRUN ulimit -n > /n; grep -c 10.1.2.3 /etc/hosts > /h; \
                      df -k /dev/shm | tail -1 > /s; ip route | wc -l > /r; cat /proc/self/cgroup > /c\n";
    let words = [
        "-t",
        "made",
        "--ulimit",
        "nofile=77:88",
        "--add-host",
        "h:10.1.2.3",
        "--shm-size",
        "2m",
        "--network",
        "none",
    ];
    kitchen.builds(dockerfile, &words);
    let holds = |path| kitchen.holds("made", path);
    assert_eq!((holds("/n"), holds("/h"), holds("/r")), ("77".into(), "1".into(), "0".into()));
    assert!(holds("/s").contains(" 2048 "), "{}", holds("/s"));
    let insecure = "# syntax=docker/dockerfile:1-labs\nFROM busybox\n\
                    RUN --security=insecure mount -t tmpfs x /tmp && grep CapEff /proc/self/status > /caps\n";
    let refused = kitchen.fails(insecure, &[]);
    assert!(refused.contains("security.insecure"), "{refused}");
    kitchen.builds(insecure, &["-t", "made", "--allow", "security.insecure"]);
    let caps = holds("/caps");
    assert!(!caps.contains("00000000a80425fb"), "{caps}");
    let host = "FROM busybox\nRUN --network=host ip -o link show lo > /lo\n";
    kitchen.builds(host, &["-t", "made", "--allow", "network.host"]);
    assert!(holds("/lo").contains("lo"));
    kitchen.engine.leaves_nothing();
}

#[test]
fn a_step_sees_a_stage_without_a_copy_of_it() {
    let kitchen = Kitchen::new();
    let dockerfile = "FROM busybox AS tools\nRUN mkdir /one && echo alone > /one/f && ln -s one /way\n\
                      RUN mkdir /two && echo low > /two/f\nRUN echo high > /two/g\n\
                      FROM busybox\nRUN mkdir /out\n\
                      RUN --mount=from=tools,source=/one,target=/m cat /m/f > /out/a; ! touch /m/x; \
                      grep ' /m ' /proc/self/mountinfo | cut -d' ' -f4 > /out/from\n\
                      RUN --mount=from=tools,source=/one/f,target=/f cat /f > /out/b\n\
                      RUN --mount=from=tools,source=way,target=/m cat /m/f > /out/c; stat -c '%u %g' /m/f >> /out/c\n\
                      RUN --mount=from=tools,source=/two,target=/m ls /m > /out/d\n\
                      RUN --mount=from=tools,source=/one,target=/m,rw echo own > /m/f; cat /m/f > /out/e\n\
                      RUN --mount=from=tools,source=/one,target=/m cat /m/f > /out/f\n";
    kitchen.builds(dockerfile, &["-t", "made"]);
    let script = "cd /out; cat a b c d e f; cat from";
    let said = kitchen.engine.says(&["run", "--rm", "made", "sh", "-c", script]);
    let (said, from) = said.rsplit_once('\n').expect("lines");
    assert_eq!(said, "alone\nalone\nalone\n0 0\nf\ng\nown\nalone");
    assert!(from.contains("/layers/") && from.ends_with("/root/one"), "it is a copy: {from}");
    kitchen.engine.leaves_nothing();
}
