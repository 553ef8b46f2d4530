//! What is asked for and what comes of it.

use super::*;
use crate::{Files, Joined, Own, user::Identity};
use spec::docker::{Config, HostConfig};
use spec::log::{Address, Format, Syslog};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn asked(kind: &str, options: &[(&str, &str)]) -> LogConfig {
    let config = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    LogConfig { kind: kind.into(), config }
}

fn ask(kind: &str, options: &[(&str, &str)]) -> Result<Log, Refusal> {
    let host_config = HostConfig { log_config: asked(kind, options), ..HostConfig::default() };
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let config = Config {
        image: "debian:13".into(),
        env: vec!["COLOUR=red".into(), "SHAPE=<a&b>".into()],
        labels: [label("com.example/team", "blue"), label("tier", "1")].into(),
        ..Config::default()
    };
    let wish = Wish {
        id: ID,
        config: &config,
        host_config: &host_config,
        own: Own { first: 0, kept: None },
        user: &Identity::default(),
        hostname: "",
        root: "",
        mounts: &[],
        files: Files::default(),
        joined: Joined::default(),
        cgroup_parent: "",
        devices: &[],
        log: LogPlace {
            json: "/json",
            local: "/local",
            cache: "/cache",
            name: "web",
            image: "sha256:fedcba9876543210",
            helper: "/bin/helper",
            user: 77,
        },
        selinux_level: None,
    };
    choose(&wish)
}

fn file(kind: &str, options: &[(&str, &str)]) -> File {
    ask(kind, options).expect("can be had").file.expect("keeps a file")
}

fn words(kind: &str, option: (&str, &str)) -> String {
    ask(kind, &[option]).expect_err("refused").to_string()
}

fn syslog(options: &[(&str, &str)]) -> Syslog {
    match ask("syslog", options).expect("can be had").remote {
        Some(Remote::Syslog(syslog)) => syslog,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_is_bounded_unless_said_otherwise() {
    let bounds = |file: File| (file.max_bytes, file.max_files, file.compress);
    assert_eq!(bounds(file("", &[])), (20 << 20, 5, false));
    let options = [("max-size", "10m"), ("max-file", "3"), ("compress", "true")];
    assert_eq!(bounds(file("json-file", &options)), (10 << 20, 3, true));
    assert_eq!(bounds(file("local", &[("max-size", "1GiB")])), (1 << 30, 5, true));
    assert_eq!(bounds(file("local", &[("max-file", "1")])), (20 << 20, 1, false));
    assert_eq!(bounds(file("", &[("max-size", "-1")])), (u64::MAX, 5, false));
    assert_eq!(ask("none", &[("whatever", "x")]), Ok(Log::default()));
}

#[test]
fn each_driver_has_its_place_and_form() {
    let place = |file: File| (file.path, file.form);
    assert_eq!(place(file("json-file", &[])), ("/json".into(), Form::Json));
    assert_eq!(place(file("local", &[])), ("/local".into(), Form::Framed));
    assert_eq!(place(file("journald", &[])), ("/cache".into(), Form::Framed));
    let cache = file("syslog", &[("cache-max-size", "1m"), ("cache-max-file", "2")]);
    assert_eq!((cache.max_bytes, cache.max_files, cache.compress), (1 << 20, 2, true));
    // There is no copy of what is no copy.
    assert_eq!(file("", &[("cache-max-size", "1m")]).max_bytes, 20 << 20);
    let log = ask("syslog", &[("cache-disabled", "true")]).expect("can be had");
    assert!(log.file.is_none() && log.remote.is_some());
    assert_eq!(log.helper, "/bin/helper");
}

#[test]
fn who_does_not_want_to_wait_says_how_much_may() {
    assert_eq!(ask("", &[]).expect("can be had").buffer, None);
    let mode = ("mode", "non-blocking");
    assert_eq!(ask("", &[mode]).expect("can be had").buffer, Some(1_000_000));
    let small = ask("local", &[mode, ("max-buffer-size", "64k")]);
    assert_eq!(small.expect("can be had").buffer, Some(65_536));
    assert!(words("", ("mode", "sometimes")).contains("not supported: sometimes"));
    assert!(words("", ("max-buffer-size", "1m")).contains("only supported with"));
}

#[test]
fn what_is_told_of_a_container_is_what_was_asked_for() {
    let attrs = |options: &[(&str, &str)]| file("", options).attrs;
    assert_eq!(attrs(&[]), "");
    let all = [("labels", "tier,none"), ("env", "SHAPE"), ("tag", "{{.Name}}/{{.ID}}")];
    let want =
        "{\"SHAPE\":\"\\u003ca\\u0026b\\u003e\",\"tag\":\"web/0123456789ab\",\"tier\":\"1\"}";
    assert_eq!(attrs(&all), want);
    let patterns = [("labels-regex", "^com\\."), ("env-regex", "^COL")];
    assert_eq!(attrs(&patterns), r#"{"COLOUR":"red","com.example/team":"blue"}"#);
    let tag = "{{.ImageName}} {{.ImageID}} {{.FullID}} {{upper .Name}}";
    let want = format!("debian:13 fedcba987654 {ID} WEB");
    assert_eq!(syslog(&[("tag", tag)]).tag, want);
    assert_eq!(syslog(&[]).tag, "0123456789ab");
    assert!(words("", ("tag", "{{.Colour}}")).starts_with("invalid tag"));
    assert!(words("", ("labels-regex", "(")).starts_with("invalid value for labels-regex"));
}

#[test]
fn the_journal_gets_dockers_fields_and_those_that_were_asked_for() {
    let log = ask("journald", &[("tag", "t"), ("labels-regex", "."), ("env", "COLOUR")]);
    let Some(Remote::Journald(fields)) = log.expect("can be had").remote else {
        panic!("no journal");
    };
    let want = [
        ("CONTAINER_ID", "0123456789ab"),
        ("CONTAINER_ID_FULL", ID),
        ("CONTAINER_NAME", "web"),
        ("CONTAINER_TAG", "t"),
        ("IMAGE_NAME", "debian:13"),
        ("SYSLOG_IDENTIFIER", "t"),
        ("COLOUR", "red"),
        ("COM_EXAMPLE_TEAM", "blue"),
        ("TIER", "1"),
    ];
    assert_eq!(fields, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn a_syslog_server_is_somewhere() {
    let address = |text| syslog(&[("syslog-address", text)]).address;
    assert_eq!(syslog(&[]).address, Address::Local);
    assert_eq!(syslog(&[]).user, 77);
    assert_eq!(address("unix:///run/x"), Address::Unix("/run/x".into()));
    assert_eq!(address("unixgram:///run/x"), Address::Unixgram("/run/x".into()));
    assert_eq!(address("udp://log.example"), Address::Udp("log.example:514".into()));
    assert_eq!(address("tcp://192.0.2.1:5140"), Address::Tcp("192.0.2.1:5140".into()));
    assert_eq!(address("tcp+tls://[::1]:6514"), Address::Tls("[::1]:6514".into()));
    for (text, want) in [
        ("192.0.2.1:514", "should be in form proto://address"),
        ("http://x", "unsupported scheme: 'http'"),
        ("tcp://:514", "names no host"),
        ("tcp://x:port", "names no host"),
        ("unix://here", "not an absolute path"),
    ] {
        let said = words("syslog", ("syslog-address", text));
        assert!(said.contains(want), "{text}: {said}");
    }
}

#[test]
fn a_syslog_message_has_a_facility_and_a_format() {
    let facility = |text| syslog(&[("syslog-facility", text)]).facility;
    assert_eq!((syslog(&[]).facility, facility("local7"), facility("23")), (3, 23, 23));
    assert_eq!(words("syslog", ("syslog-facility", "24")), "invalid syslog facility");
    let format = |text| syslog(&[("syslog-format", text)]).format;
    assert_eq!(syslog(&[]).format, Format::Unix);
    assert_eq!(format("rfc3164"), Format::Rfc3164);
    assert_eq!(format("rfc5424micro"), Format::Rfc5424Micro);
    assert_eq!(words("syslog", ("syslog-format", "xml")), "Invalid syslog format");
}

#[test]
fn the_daemons_defaults_complete_what_was_asked_for() {
    let defaults = asked("local", &[("max-size", "1m"), ("cache-disabled", "true")]);
    let of = |kind, options: &[(&str, &str)]| merged(&asked(kind, options), &defaults);
    assert_eq!(of("", &[]), defaults);
    assert_eq!(
        of("local", &[("max-size", "2m")]),
        asked("local", &[("max-size", "2m"), ("cache-disabled", "true")])
    );
    assert_eq!(of("json-file", &[]), asked("json-file", &[]));
    assert_eq!(of("syslog", &[]), asked("syslog", &[("cache-disabled", "true")]));
    assert_eq!(merged(&asked("", &[]), &LogConfig::default()), asked("json-file", &[]));
}

#[test]
fn what_is_not_carried_is_refused() {
    assert_eq!(words("splunk", ("a", "b")), "logger: no log driver named 'splunk' is registered");
    assert_eq!(words("", ("colour", "red")), "unknown log opt 'colour' for json-file log driver");
    assert_eq!(words("local", ("labels", "a")), "unknown log opt 'labels' for log driver local");
    assert_eq!(
        words("", ("syslog-address", "tcp://x")),
        "unknown log opt 'syslog-address' for json-file log driver"
    );
    assert_eq!(
        words("journald", ("max-size", "1m")),
        "unknown log opt 'max-size' for journald log driver"
    );
    assert!(words("", ("max-size", "lots")).contains("invalid value for max-size"));
    assert!(words("", ("max-size", "99999999999g")).contains("invalid value"));
    assert!(words("", ("max-file", "0")).contains("less than 1"));
}
