//! Images go to registries and come from them, by both CLIs. The registry is
//! Debian's; what goes wrong on the way is tested in `crates/registry`.

use promises::{Cli, Engine, Registry, Wants};
use std::{fs, process::Stdio};

const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

#[test]
fn what_was_pushed_is_pulled_as_the_same() {
    let engine = Engine::new();
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Nothing);
    let id = engine.inspect("busybox", "{{.Id}}");
    for (cli, repository) in BOTH.into_iter().zip(["one/bb", "two/bb"]) {
        let says = |words: &[&str]| engine.says_as(cli, words);
        let name = registry.name(&format!("{repository}:v1"));
        says(&["tag", "busybox", &name]);
        let said = says(&["push", &name]);
        let digest = said.rsplit_once("digest: ").expect(&said).1;
        let digest = digest.split(' ').next().expect("a word").to_owned();
        let again = says(&["push", &name]);
        assert!(again.contains("Layer already exists") && again.contains(&digest), "{again}");
        says(&["rmi", &name]);
        let said = says(&["pull", &name]);
        assert!(said.contains(&format!("Pulling from {repository}")), "{said}");
        assert!(said.contains(&format!("Digest: {digest}")), "{said}");
        assert!(said.contains(&format!("Status: Downloaded newer image for {name}")), "{said}");
        assert!(said.ends_with(&name), "{said}");
        assert!(says(&["pull", &name]).contains("Status: Image is up to date for"));
        let bare = registry.name(repository);
        let listed = says(&["images", "--digests", "--format", "{{.Digest}}", &bare]);
        assert_eq!(listed, digest, "{cli:?}");
        let by_digest = registry.name(&format!("{repository}@{digest}"));
        assert!(engine.inspect(&name, "{{.RepoDigests}}").contains(&by_digest));
        says(&["pull", &by_digest]);
        assert_eq!(engine.inspect(&by_digest, "{{.Id}}"), id);
    }
    // The second repository had its layer from the first.
    let name = registry.name("three/bb:v1");
    engine.says(&["tag", "busybox", &name]);
    let said = engine.says(&["push", &name]);
    assert!(said.contains("Mounted from one/bb") || said.contains("Mounted from two/bb"), "{said}");
    drop(registry);
    engine.leaves_nothing();
}

#[test]
fn an_image_that_is_not_here_is_pulled_to_be_run() {
    let engine = Engine::new();
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Nothing);
    let name = registry.name("bb");
    engine.says(&["tag", "busybox", &name]);
    engine.says(&["push", &name]);
    engine.says(&["rmi", "busybox"]);
    for cli in BOTH {
        engine.says_as(cli, &["rmi", &name]);
        let never = engine.run_as(cli, &["run", "--rm", "--pull", "never", &name, "true"]);
        assert_eq!(never.code, 125, "{cli:?} {never:?}");
        let ran = engine.run_as(cli, &["run", "--rm", &name, "echo", "hello"]);
        assert_eq!((ran.code, ran.out.as_str()), (0, "hello"), "{cli:?} {ran:?}");
        assert!(ran.err.contains("Unable to find image"), "{cli:?} {ran:?}");
        let ran = engine.run_as(cli, &["run", "--rm", &name, "echo", "hello"]);
        assert_eq!(ran.err, "", "it is here now: {cli:?}");
        let always = engine.run_as(cli, &["run", "--rm", "--pull", "always", &name, "echo", "x"]);
        assert!(always.err.contains("Image is up to date"), "{cli:?} {always:?}");
    }
    drop(registry);
    engine.leaves_nothing();
}

#[test]
fn what_refers_to_an_image_is_listed() {
    let engine = Engine::new();
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Nothing);
    let name = registry.name("bb:v1");
    engine.says(&["tag", "busybox", &name]);
    let said = engine.says(&["push", &name]);
    let subject = said.rsplit_once("digest: ").expect(&said).1;
    let subject = subject.split(' ').next().expect("a word").to_owned();
    let list = |more: &[&str]| engine.says(&[&["image", "referrers", &name], more].concat());
    assert_eq!(list(&["--format", "{{.Digest}}"]), "");
    // Debian's registry keeps no list: whoever attaches something does.
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let index = "application/vnd.oci.image.index.v1+json";
    let kind = "application/vnd.example.bill";
    let put = |tag: &str, media_type: &str, text: &str| {
        let file = engine.scratch().join("document");
        fs::write(&file, text).expect("scratch");
        engine.host().says(&format!(
            "curl -fsS -X PUT -H 'Content-Type: {media_type}' --data-binary @{} \
             -D - -o /dev/null http://{}/v2/bb/manifests/{tag} | tr -d '\\r' | \
             sed -n 's/^Docker-Content-Digest: //ip'",
            file.display(),
            registry.address
        ))
    };
    let id = engine.inspect("busybox", "{{.Id}}");
    let size = engine.host().says(&format!(
        "cat {}/blobs/sha256/{} | wc -c",
        engine.data_root().display(),
        id.trim_start_matches("sha256:")
    ));
    let bill = format!(
        r#"{{"schemaVersion":2,"mediaType":"{manifest}","artifactType":"{kind}",
            "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{id}","size":{size}}},
            "layers":[],"subject":{{"mediaType":"{manifest}","digest":"{subject}","size":1}}}}"#
    );
    let digest = put("bill", manifest, &bill);
    let entry = format!(
        r#"{{"mediaType":"{manifest}","digest":"{digest}","size":{},"artifactType":"{kind}"}}"#,
        bill.len()
    );
    let document = format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{entry}]}}"#);
    put(&subject.replace(':', "-"), index, &document);
    let table = list(&[]);
    assert!(table.starts_with("DIGEST") && table.contains(&digest), "{table}");
    assert!(table.contains(kind), "{table}");
    assert_eq!(list(&["--artifact-type", "application/other", "--format", "{{.Digest}}"]), "");
    // And what is listed can be had.
    let shown = engine.says(&["manifest", "inspect", &registry.name(&format!("bb@{digest}"))]);
    assert!(shown.contains(&subject) && shown.contains(kind), "{shown}");
    let missing = engine.run(&["image", "referrers", &registry.name("none:v1")]);
    assert!(missing.code == 1 && missing.err.contains("not found"), "{missing:?}");
    drop(registry);
    engine.leaves_nothing();
}

#[test]
fn what_a_registry_does_not_have_is_told_as_docker_tells_it() {
    let engine = Engine::new();
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Nothing);
    let name = registry.name("none:v1");
    let missing = format!("manifest for {name} not found: manifest unknown: manifest unknown");
    for cli in BOTH {
        let ran = engine.run_as(cli, &["pull", &name]);
        assert!(ran.code == 1 && ran.err.contains(&missing), "{cli:?} {ran:?}");
        let ran = engine.run_as(cli, &["run", "--rm", &name, "true"]);
        assert!(ran.code == 125 && ran.err.contains(&missing), "{cli:?} {ran:?}");
        let ran = engine.run_as(cli, &["push", &name]);
        assert!(ran.code == 1 && ran.err.contains("does not exist locally"), "{cli:?} {ran:?}");
        let ran = engine.run_as(cli, &["pull", "127.0.0.1:1/x:y"]);
        assert!(
            ran.code == 1 && ran.err.contains("127.0.0.1:1 cannot be reached"),
            "{cli:?} {ran:?}"
        );
        let ran = engine.run_as(cli, &["search", &registry.name("x")]);
        assert!(ran.code == 1 && ran.err.contains("cannot be searched"), "{cli:?} {ran:?}");
    }
}

#[test]
fn a_name_and_a_password_are_remembered_until_logout() {
    let engine = Engine::new();
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Password);
    let (name, address) = (registry.name("bb:v1"), registry.address.as_str());
    engine.says(&["tag", "busybox", &name]);
    for cli in BOTH {
        let says = |words: &[&str]| engine.says_as(cli, words);
        let nobody = engine.run_as(cli, &["push", &name]);
        assert!(nobody.code == 1 && nobody.err.contains("no basic auth credentials"), "{nobody:?}");
        let wrong = engine.run_as(cli, &["login", "-u", "user", "-p", "wrong", address]);
        assert!(wrong.code == 1 && wrong.err.contains("unauthorized"), "{cli:?} {wrong:?}");
        let said = says(&["login", "-u", "user", "-p", "secret", address]);
        assert!(said.ends_with("Login Succeeded"), "{cli:?} {said}");
        says(&["push", &name]);
        says(&["rmi", &name]);
        says(&["pull", &name]);
        says(&["logout", address]);
        assert_eq!(engine.run_as(cli, &["pull", &name]).code, 1, "{cli:?}");
    }
    assert!(!engine.logged().contains("secret"), "{}", engine.logged());
}

#[test]
fn a_helper_is_asked_for_what_is_not_in_the_file() {
    let engine = Engine::new();
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Password);
    let name = registry.name("bb:v1");
    engine.says(&["tag", "busybox", &name]);
    let bin = engine.scratch().join("bin");
    fs::create_dir_all(&bin).expect("scratch");
    let helper = bin.join("docker-credential-test");
    let script = r#"[ "$1" = get ] || exit 1; read -r server; echo "{\"ServerURL\":\"$server\",\"Username\":\"user\",\"Secret\":\"secret\"}""#;
    fs::write(&helper, format!("#!/bin/sh\n{script}\n")).expect("scratch");
    engine.host().says(&format!("chmod 755 {}", helper.display()));
    fs::create_dir_all(engine.client_config()).expect("scratch");
    let config = format!(r#"{{"credHelpers": {{"{}": "test"}}}}"#, registry.address);
    fs::write(engine.client_config().join("config.json"), config).expect("scratch");
    for cli in BOTH {
        let mut command = engine.command(cli, &["push", &name]);
        let path = std::env::var("PATH").expect("a path");
        command.env("PATH", format!("{}:{path}", bin.display())).stdin(Stdio::null());
        let out = command.output().expect("starts");
        assert!(out.status.success(), "{cli:?} {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn a_build_knows_its_author_to_every_registry_that_it_asks() {
    let engine = Engine::new();
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Password);
    let (name, address) = (registry.name("bb:v1"), registry.address.as_str());
    engine.says(&["tag", "busybox", &name]);
    engine.says(&["login", "-u", "user", "-p", "secret", address]);
    engine.says(&["push", &name]);
    let bin = engine.scratch().join("bin");
    fs::create_dir_all(&bin).expect("scratch");
    let helper = bin.join("docker-credential-test");
    let script = format!(
        r#"case "$1" in
list) echo "{{\"{address}\":\"user\"}}" ;;
get) read -r server; [ "$server" = {address} ] || exit 1
    echo "{{\"ServerURL\":\"$server\",\"Username\":\"user\",\"Secret\":\"secret\"}}" ;;
esac"#
    );
    fs::write(&helper, format!("#!/bin/sh\n{script}\n")).expect("scratch");
    engine.host().says(&format!("chmod 755 {}", helper.display()));
    let context = engine.scratch().join("context");
    fs::create_dir_all(&context).expect("scratch");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
    let builds = |cli, dockerfile: &str| {
        engine.says(&["rmi", "--force", &name]);
        fs::write(context.join("Dockerfile"), dockerfile).expect("scratch");
        let context = context.display().to_string();
        let arg = format!("BASE={name}");
        let words = ["build", "--no-cache", "--build-arg", &arg, &context];
        let mut command = engine.command(cli, &words);
        command.env("PATH", &path).env("DOCKER_BUILDKIT", "0").stdin(Stdio::null());
        let out = command.output().expect("starts");
        assert!(out.status.success(), "{cli:?} {}", String::from_utf8_lossy(&out.stderr));
    };
    let from = format!("FROM busybox\nCOPY --from={name} /bin/busybox /x\n");
    let config = engine.client_config().join("config.json");
    for cli in BOTH {
        builds(cli, "ARG BASE\nFROM $BASE\nLABEL a=b\n");
        builds(cli, &from);
    }
    fs::write(&config, r#"{"credsStore": "test"}"#).expect("scratch");
    for cli in BOTH {
        builds(cli, "ARG BASE\nFROM $BASE\nLABEL a=b\n");
        builds(cli, &from);
    }
}

#[test]
fn a_certificate_is_checked_wherever_it_is_not_waived() {
    let address = "192.0.2.7";
    // Files below /etc that this host alone has.
    let host = format!(
        "ip addr add {address}/32 dev lo && mkdir /run/etc /run/work && \
         mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc"
    );
    let engine = Engine::prepared(&host, &["--insecure-registry", "192.0.2.7:5001"]);
    promises::busybox(&engine);
    let secure = r#"{{(index .RegistryConfig.IndexConfigs "192.0.2.7:5001").Secure}}"#;
    assert_eq!(engine.says_as(Cli::Docker, &["info", "--format", secure]), "false");
    let wants = [(5000, Wants::Tls), (5001, Wants::Tls), (5002, Wants::Certificate)];
    let registries = wants.map(|(port, wants)| Registry::start(&engine, address, port, wants));
    let names = registries.each_ref().map(|registry| registry.name("bb:v1"));
    let [strict, waived, mutual] = names.each_ref().map(String::as_str);
    for name in [strict, waived, mutual] {
        engine.says(&["tag", "busybox", name]);
    }
    engine.says(&["push", waived]);
    let refused = engine.run(&["push", strict]);
    assert!(refused.code == 1 && refused.err.contains("UnknownIssuer"), "{refused:?}");
    let trust = |root: &str, port: u16, file: &str| {
        let from = engine.scratch().join(format!("registry-{port}"));
        let to = format!("/etc/{root}/certs.d/{address}:{port}");
        engine.host().says(&format!("mkdir -p {to} && cp {}/{file} {to}", from.display()));
    };
    trust("cofferdam", 5000, "ca.crt");
    engine.says(&["push", strict]);
    engine.says(&["rmi", strict]);
    engine.says(&["pull", strict]);
    trust("docker", 5002, "ca.crt");
    let refused = engine.run(&["push", mutual]);
    assert!(refused.code == 1 && refused.err.contains("received fatal alert"), "{refused:?}");
    trust("docker", 5002, "client.*");
    engine.says(&["push", mutual]);
    // What was waived is no longer, once there is an authority.
    trust("cofferdam", 5001, "../registry-5000/ca.crt");
    let refused = engine.run(&["pull", waived]);
    assert!(refused.code == 1 && refused.err.contains("certificate"), "{refused:?}");
}
