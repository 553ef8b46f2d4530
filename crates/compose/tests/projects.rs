//! Whole projects, from files that are in memory: what they come to, and how
//! what is wrong is told.

use compose::{Asked, Condition, Form, Project, Variables};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

/// Files by path, below /p.
fn load(files: &[(&str, &str)], change: impl FnOnce(&mut Asked)) -> Result<Project, String> {
    let kept: BTreeMap<PathBuf, String> =
        files.iter().map(|(path, text)| (Path::new("/p").join(path), (*text).to_owned())).collect();
    let read = |path: &Path| kept.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into());
    let first = files.first().map_or("compose.yaml", |(path, _)| path);
    let mut asked = Asked {
        files: vec![Path::new("/p").join(first)],
        directory: "/p".into(),
        variables: [("HOME".to_owned(), "/h".to_owned())].into(),
        home: Some("/h".into()),
        ..Asked::default()
    };
    change(&mut asked);
    compose::load(&asked, &read).map_err(|error| error.to_string())
}

fn one(text: &str) -> Project {
    load(&[("compose.yaml", text)], |_| {}).expect("valid")
}

fn told(text: &str) -> String {
    load(&[("compose.yaml", text)], |_| {}).expect_err("refused")
}

fn json(project: &Project) -> serde_json::Value {
    let all: BTreeSet<String> = project.services.keys().cloned().collect();
    serde_json::from_str(&project.config(Form::Json, &all)).expect("JSON")
}

/// What Compose 2.26.1 prints for `config --hash`.
#[test]
fn hashes_are_those_of_compose() {
    let text = r#"
services:
  web:
    image: busybox:1
    command: sh -c "echo '<a> & $$b'"
    ports: ["8080:80", "127.0.0.1:90-91:90-91/udp", {target: 70, mode: host}]
    environment: {A: 1, B: yes, C: "", D: 1.50}
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {test: wget x, interval: 90s, retries: 0}
    deploy: {replicas: 2, resources: {limits: {cpus: "0.50", memory: 64M}}}
    labels: [a=b, c]
    networks: {back: {aliases: [w], priority: 3}, front: }
    volumes: ["data:/data:ro", /tmp]
    ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}
    blkio_config: {weight: 300, device_read_bps: [{path: /dev/sda, rate: 1mb}]}
    sysctls: {net.core.somaxconn: 1024}
    stop_grace_period: 1m30s
    init: false
    mem_swappiness: 10
    extra_hosts: {h: 1.2.3.4}
  db: {image: db, shm_size: 64m, tmpfs: /run, cap_add: [NET_ADMIN]}
networks: {back: {}, front: {}}
volumes: {data: {}}
"#;
    let project = one(text);
    assert_eq!(
        project.hash("db"),
        "1f4deeee092e7f1a4fe73f35af3db0883459dc7a99025932e856d22740355c8f"
    );
    // Profiles count as well.
    let profiled = text.replace("    init: false\n", "    init: false\n    profiles: [p]\n");
    let project = load(&[("compose.yaml", &profiled)], |asked| asked.profiles.push("p".into()))
        .expect("valid");
    assert_eq!(
        project.hash("web"),
        "1cdbdc4aaf8d8af851b92ff9abc01f9f07a479246d8ee3cdb82ba358b98722bf"
    );
}

#[test]
fn what_goes_without_saying_is_said() {
    let project = one(
        "services: {a: {image: x, build: ., volumes: [d:/d], links: [b]}, b: {image: y, network_mode: none}}\nvolumes: {d: }\n",
    );
    assert_eq!(project.name, "p");
    assert_eq!(project.networks["default"].name, "p_default");
    assert_eq!(project.volumes["d"].name, "p_d");
    let a = &project.services["a"];
    assert_eq!(a.build.as_ref().and_then(|b| b.dockerfile.as_deref()), Some("Dockerfile"));
    assert_eq!(a.build.as_ref().map(|b| b.context.as_str()), Some("/p"));
    assert_eq!(a.depends_on["b"].condition, Condition::ServiceStarted);
    assert!(a.depends_on["b"].restart && a.networks.contains_key("default"));
    assert!(project.services["b"].networks.is_empty());
}

#[test]
fn a_project_is_named_from_outside_in_its_files_or_by_its_directory() {
    let named = |files: &[(&str, &str)], name: Option<&str>, directory: &str| {
        load(files, |asked| {
            asked.name = name.map(str::to_owned);
            asked.directory = directory.into();
        })
        .map(|project| project.name)
    };
    let plain = [("c.yaml", "services: {}\n")];
    let said = [("c.yaml", "name: ${HOME:+said}\nservices: {}\n")];
    assert_eq!(named(&plain, None, "/x/_My App.1").as_deref(), Ok("myapp1"));
    assert_eq!(named(&said, None, "/x/y").as_deref(), Ok("said"));
    assert_eq!(named(&said, Some("other"), "/x/y").as_deref(), Ok("other"));
    assert!(named(&plain, Some("Other"), "/x/y").expect_err("refused").contains("lowercase"));
    let wrong = [("c.yaml", "services: {}\nname: A b\n")];
    assert!(named(&wrong, None, "/x/y").expect_err("refused").starts_with("/p/c.yaml:2:7: "));
}

#[test]
fn every_mistake_has_its_place() {
    for (text, words) in [
        (
            "services:\n  a:\n    image: x\n    comand: y\n",
            "4:5: unknown attribute services.a.comand: did you mean command?",
        ),
        ("services:\n  a: {image: [x]}\n", "2:14: services.a.image must be a string, not a list"),
        (
            "services:\n  a: {command: x}\n",
            "2:3: service \"a\" has neither an image nor a build context specified",
        ),
        (
            "services:\n  a: {image: x, networks: [n]}\n",
            "2:28: service \"a\" refers to undefined network n",
        ),
        (
            "services:\n  a: {image: x, volumes: [\"v:/v\"]}\n",
            "2:27: service \"a\" refers to undefined volume v",
        ),
        (
            "services:\n  a: {image: x, secrets: [s]}\n",
            "2:27: service \"a\" refers to undefined secret s",
        ),
        (
            "services:\n  a: {image: x, depends_on: [b]}\n",
            "2:30: service \"a\" depends on undefined service \"b\"",
        ),
        (
            "services:\n  a: {image: x, gpus: all}\n",
            "2:23: services.a.gpus is not carried: device requests are not built yet",
        ),
        (
            "services:\n  a: {image: x, ports: [\"99999:1\"]}\n",
            "2:25: services.a.ports[0]: invalid port \"99999:1\": ports are 1 to 65535",
        ),
        (
            "services:\n  a: {image: x, mem_limit: much}\n",
            "2:28: services.a.mem_limit: invalid size \"much\": e.g. 50m is wanted",
        ),
        (
            "services:\n  a: {image: x, stop_grace_period: 5}\n",
            "2:36: services.a.stop_grace_period: invalid duration \"5\": e.g. 1m30s is wanted",
        ),
        (
            "services:\n  a: {image: \"${N:?say one}\"}\n",
            "2:14: required variable N is missing a value: say one",
        ),
        (
            "services:\n  a: {image: x, mem_limit: 1m, deploy: {resources: {limits: {memory: 2m}}}}\n",
            "2:28: services.a: can't set distinct values on 'mem_limit' and 'deploy.resources.limits.memory'",
        ),
        (
            "services:\n  a: {image: x, network_mode: host, networks: [n]}\nnetworks: {n: }\n",
            "2:31: services.a declares mutually exclusive `network_mode` and `networks`",
        ),
        (
            "services:\n  a: {image: x, scale: 2, container_name: n}\n",
            "2:3: services.a: can't set container_name and more than one replica: names are unique",
        ),
        (
            "services: {}\nvolumes:\n  v: {external: true, driver: local}\n",
            "3:23: conflicting parameters \"external\" and \"driver\" specified for volumes.v",
        ),
        (
            "services: {}\nsecrets:\n  s: {}\n",
            "3:6: secrets.s has none of file, environment, content and external",
        ),
        (
            "services:\n  a: {image: x, env_file: none.env}\n",
            "2:27: cannot read the env_file /p/none.env: entity not found",
        ),
        (
            "services:\n  a: {image: x, depends_on: {b: {condition: soon}}}\n  b: {image: y}\n",
            "2:3: services.a: unknown variant `soon`, expected one of `service_started`, `service_healthy`, `service_completed_successfully`",
        ),
    ] {
        assert_eq!(told(text), format!("/p/compose.yaml:{words}"));
    }
    assert!(
        told("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}")
            .contains("dependency cycle detected: a -> b -> a")
    );
}

#[test]
fn what_is_read_and_not_done_is_warned_of_with_its_place() {
    let project =
        one("version: \"3\"\nservices:\n  a: {image: \"x:${TAG}\", deploy: {labels: {a: b}}}\n");
    assert_eq!(
        project.warnings,
        [
            "/p/compose.yaml:1:10: version is ignored: it is obsolete",
            "/p/compose.yaml:3:43: services.a.deploy.labels is ignored: only swarm mode heeds it",
            "The \"TAG\" variable is not set. Defaulting to a blank string.",
        ]
    );
    let text =
        "services: {a: {image: x, secrets: [{source: s, mode: 0400}]}}\nsecrets: {s: {file: s}}\n";
    assert!(one(text).warnings[0].contains("uid, gid and mode of s are ignored"));
}

#[test]
fn files_are_merged_and_paths_are_the_projects() {
    let base = "services: {a: {image: x, environment: [A=1], volumes: [./v:/v]}}\n";
    let over = "services: {a: {environment: {A: 2}, command: c d}, b: {image: y}}\n";
    let project = load(&[("compose.yaml", base), ("sub/over.yaml", over)], |asked| {
        asked.files.push("/p/sub/over.yaml".into());
    });
    let json = json(&project.expect("valid"));
    let a = &json["services"]["a"];
    assert_eq!(a["environment"]["A"], "2");
    assert_eq!(a["command"], serde_json::json!(["c", "d"]));
    assert_eq!(a["volumes"][0]["source"], "/p/v");
    assert_eq!(json["services"]["b"]["image"], "y");
}

#[test]
fn a_service_extends_another_of_its_file_or_of_one_elsewhere() {
    let main = "services:\n  a: {extends: {file: lib/base.yaml, service: web}, environment: {B: 2}}\n  c: {extends: a, image: z}\n";
    let base = "services:\n  web: {extends: core, volumes: [./v:/v], environment: {A: 1, B: 1}}\n  core: {image: core, env_file: e.env}\n";
    let files = [("compose.yaml", main), ("lib/base.yaml", base), ("lib/e.env", "E=1\n")];
    let project = load(&files, |_| {}).expect("valid");
    let a = &project.services["a"];
    assert_eq!(a.image, "core");
    assert_eq!(a.volumes[0].source, "/p/lib/v");
    let value = |name: &str| a.environment[name].as_deref();
    assert_eq!((value("A"), value("B"), value("E")), (Some("1"), Some("2"), Some("1")));
    assert_eq!(project.services["c"].image, "z");
    let circle = "services:\n  a: {image: x, extends: b}\n  b: {image: x, extends: a}\n";
    assert!(told(circle).contains("circular reference in extends: a -> b -> a"));
    let lost = "services:\n  a: {extends: nobody}\n";
    assert_eq!(told(lost), "/p/compose.yaml:2:16: service \"nobody\" not found in /p/compose.yaml");
}

#[test]
fn an_included_project_has_its_own_directory_and_variables() {
    let main = "include: [lib/compose.yaml]\nservices: {a: {image: x, depends_on: [i]}}\n";
    let lib = "services: {i: {image: \"i:${TAG}\", volumes: [./v:/v]}}\nvolumes: {d: }\n";
    let files = [("compose.yaml", main), ("lib/compose.yaml", lib), ("lib/.env", "TAG=7\n")];
    let project = load(&files, |_| {}).expect("valid");
    assert_eq!(project.services["i"].image, "i:7");
    assert_eq!(project.services["i"].volumes[0].source, "/p/lib/v");
    assert_eq!(project.volumes["d"].name, "p_d");
    let twice = "include: [lib/compose.yaml]\nservices:\n  i: {image: x}\n";
    let files = [("compose.yaml", twice), ("lib/compose.yaml", lib)];
    let error = load(&files, |_| {}).expect_err("refused");
    assert!(error.starts_with("/p/compose.yaml:3:6: services.i conflicts"), "{error}");
    let files = [("compose.yaml", "include: [b.yaml]\n"), ("b.yaml", "include: [compose.yaml]\n")];
    assert!(load(&files, |_| {}).expect_err("refused").contains("include cycle detected"));
}

#[test]
fn profiles_are_asked_for_by_name_or_by_a_service() {
    let text = "services: {a: {image: x}, b: {image: y, profiles: [p, q]}, c: {image: z, profiles: [r]}}\n";
    let services = |profiles: &[&str], named: &[&str]| {
        let project = load(&[("compose.yaml", text)], |asked| {
            asked.profiles = profiles.iter().map(ToString::to_string).collect();
            asked.services = named.iter().map(ToString::to_string).collect();
        });
        project.expect("valid").services.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(services(&[], &[]), "a");
    assert_eq!(services(&["q"], &[]), "a b");
    assert_eq!(services(&["*"], &[]), "a b c");
    assert_eq!(services(&[], &["c"]), "a c");
    let needed = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: y, profiles: [p]}\n";
    assert!(told(needed).contains(
        "service \"b\" is required by \"a\" but is disabled. Can be enabled by profiles [\"p\"]"
    ));
    let optional = needed.replace("[b]", "{b: {condition: service_started, required: false}}");
    assert_eq!(one(&optional).services.len(), 1);
}

#[test]
fn environments_come_from_files_and_from_outside() {
    let text = "services: {a: {image: x, env_file: [a.env, {path: no.env, required: false}, b.env], environment: {C: 3, HOME: , NOT: }}}\n";
    let files = [("compose.yaml", text), ("a.env", "A=1\nB=1\nC=1\n"), ("b.env", "B='2 $HOME'\n")];
    let project = load(&files, |_| {}).expect("valid");
    let all = &project.services["a"].environment;
    let value = |name: &str| all[name].as_deref();
    assert_eq!((value("A"), value("B"), value("C")), (Some("1"), Some("2 $HOME"), Some("3")));
    assert_eq!((value("HOME"), value("NOT")), (Some("/h"), None));
}

#[test]
fn the_canonical_form_comes_to_the_same_again() {
    let text = "name: n\nservices: {a: {image: x, command: echo $$A, ports: [\"1-2:1-2\"], volumes: [\"d:/d\", \"~/h:/h:ro\"], configs: [c], labels: {y: \"yes\"}, x-own: [1]}}\nvolumes: {d: {external: true}}\nconfigs: {c: {content: \"a\\nb\\n\"}}\nx-top: {a: 1}\n";
    let first = one(text);
    let all: BTreeSet<String> = first.services.keys().cloned().collect();
    let yaml = first.config(Form::Yaml, &all);
    assert!(yaml.contains("/h/h") && yaml.contains("x-own:") && yaml.contains("x-top:"), "{yaml}");
    let again = one(&yaml.replace('$', "$$"));
    assert_eq!(again.config(Form::Yaml, &all), yaml);
    assert_eq!(again.hash("a"), first.hash("a"));
}

#[test]
fn order_and_dependencies() {
    let project = one(
        "services: {a: {image: x, depends_on: [c]}, b: {image: x}, c: {image: x, depends_on: [b]}}\n",
    );
    assert_eq!(compose::order(&project).expect("none waits for itself"), ["b", "c", "a"]);
    let all = compose::with_dependencies(&project, &["c".into()]).expect("known");
    assert_eq!(all.into_iter().collect::<Vec<_>>(), ["b", "c"]);
    let error = compose::with_dependencies(&project, &["z".into()]).expect_err("unknown");
    assert_eq!(error.to_string(), "no such service: z");
}

fn body(project: &Project, service: &str) -> spec::docker::CreateBody {
    let containers = |name: &str| vec![(format!("id-of-{name}"), format!("p-{name}-1"))];
    let named = compose::Named {
        name: "p-a-1",
        number: 1,
        kind: compose::Kind::Service,
        image_id: Some("sha256:1"),
        aliases: true,
        containers: &containers,
        inherited: &[("/anon".to_owned(), "old".to_owned())],
    };
    compose::create_body(project, &project.services[service], &named).expect("carried")
}

#[test]
fn a_service_becomes_a_request() {
    let text = r#"
services:
  a:
    image: x
    environment: {A: 1, N: }
    ports: ["127.0.0.1:80:80", "81"]
    expose: ["90-91"]
    volumes: ["d:/d", "./s:/s:ro", /anon, {type: tmpfs, target: /t, tmpfs: {size: 1m}}, {type: bind, source: ./b, target: /b}]
    networks: {n: {priority: 1}, m: {priority: 9, aliases: [z], ipv4_address: 10.0.0.9}}
    secrets: [s]
    configs: [{source: c, target: in/etc}]
    deploy: {resources: {limits: {cpus: 0.5, memory: 1m, pids: 7}, reservations: {memory: 512k}}}
    restart: on-failure:3
    stop_grace_period: 90s
    pid: service:b
    healthcheck: {disable: true}
    security_opt: [label:disable]
  b: {image: y, deploy: {restart_policy: {condition: any}}}
networks: {n: , m: }
volumes: {d: {name: real}}
secrets: {s: {file: ./secret}}
configs: {c: {environment: HOME}}
"#;
    let project = one(text);
    let body = body(&project, "a");
    let host = &body.host_config;
    assert_eq!(body.config.env, ["A=1", "N"]);
    assert_eq!(host.binds.as_deref(), Some(&["/p/s:/s:ro".to_owned()][..]));
    let mounts: Vec<(&str, &str, &str)> = host
        .mounts
        .iter()
        .flatten()
        .map(|m| (m.kind.as_str(), m.source.as_str(), m.target.as_str()))
        .collect();
    let expected = [
        ("volume", "real", "/d"),
        ("volume", "old", "/anon"),
        ("tmpfs", "", "/t"),
        ("bind", "/p/b", "/b"),
        ("bind", "/p/secret", "/run/secrets/s"),
    ];
    assert_eq!(mounts, expected);
    assert_eq!(host.network_mode, "p_m");
    let m = body.networking_config.endpoints_config["p_m"].clone().expect("said");
    assert_eq!(m.aliases, Some(vec!["p-a-1".into(), "a".into(), "z".into()]));
    assert_eq!(m.ipam_config.expect("said").ipv4_address, "10.0.0.9");
    assert_eq!(
        (host.nano_cpus, host.memory, host.memory_reservation),
        (500_000_000, 1 << 20, 512 << 10)
    );
    assert_eq!((host.pids_limit, host.restart_policy.maximum_retry_count), (Some(7), 3));
    assert_eq!((host.pid_mode.as_str(), body.config.stop_timeout), ("container:id-of-b", Some(90)));
    assert_eq!(body.config.healthcheck.as_ref().map(|h| h.test.clone()), Some(vec!["NONE".into()]));
    assert_eq!(host.security_opt, Some(vec!["label=disable".into()]));
    assert!(
        body.config.exposed_ports.contains("91/tcp")
            && body.config.exposed_ports.contains("81/tcp")
    );
    let label = |kind: &str| body.config.labels[&compose::label(kind)].clone();
    assert_eq!(label("depends_on"), "b:service_started:true");
    assert_eq!((label("oneoff"), label("config-hash")), ("False".into(), project.hash("a")));
    assert_eq!(label("project.config_files"), "/p/compose.yaml");
    let put = compose::injected(&project, &project.services["a"]).expect("set");
    assert_eq!(
        (put[0].path.as_str(), put[0].content.as_str(), put[0].mode),
        ("/in/etc", "/h", 0o444)
    );
    let b = self::body(&project, "b");
    assert_eq!(
        (b.host_config.restart_policy.name.as_str(), b.config.image.as_str()),
        ("always", "y")
    );
}

#[test]
fn what_only_swarm_keeps_is_refused() {
    let project = one("services: {a: {image: x, secrets: [s]}}\nsecrets: {s: {external: true}}\n");
    let containers = |_: &str| Vec::new();
    let named = compose::Named {
        name: "p-a-1",
        number: 1,
        kind: compose::Kind::Service,
        image_id: None,
        aliases: true,
        containers: &containers,
        inherited: &[],
    };
    let error =
        compose::create_body(&project, &project.services["a"], &named).expect_err("refused");
    assert!(error.to_string().contains("only swarm mode keeps secrets"), "{error}");
}

#[test]
fn without_interpolation_values_stay_as_written() {
    let project = load(&[("compose.yaml", "services: {a: {image: \"${A}\"}}\n")], |asked| {
        asked.raw = true;
        asked.variables = Variables::new();
    });
    assert_eq!(project.expect("valid").services["a"].image, "${A}");
}
