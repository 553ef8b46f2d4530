use super::*;

fn words(words: &[&str]) -> Words {
    Words::try_parse_from([&["cofferdamd"], words].concat()).expect("words")
}

fn file(text: &str) -> Config {
    serde_json::from_str(text).expect(text)
}

#[test]
fn said_nothing_the_defaults_hold() {
    let settings = words(&[]).over(Config::default()).expect("settled");
    assert_eq!(settings.hosts, [Host::Unix("/run/cofferdam/cofferdam.sock".into())]);
    assert_eq!(settings.bridge, "coffer0");
}

#[test]
fn the_build_cache_has_its_part_of_the_disk_or_all() {
    let part = |w: &[&str]| words(w).over(Config::default()).map(|s| s.build_cache);
    assert_eq!(part(&[]).expect("settled"), Some(10));
    assert_eq!(part(&["--build-cache", "100"]).expect("settled"), None);
    assert!(part(&["--build-cache", "101"]).is_err());
}

#[test]
fn images_are_collected_between_two_marks_or_never() {
    let marks = |w: &[&str]| words(w).over(Config::default()).map(|s| s.collect);
    let pair = |w| marks(w).expect("settled").map(|m| (m.above, m.down_to));
    assert_eq!(pair(&[]), Some((85, 80)));
    assert_eq!(pair(&["--collect-above", "60"]), Some((60, 55)));
    assert_eq!(pair(&["--collect-above", "2"]), Some((2, 0)));
    assert_eq!(pair(&["--collect-down-to", "90"]), Some((90, 90)));
    assert_eq!(pair(&["--collect-above", "0"]), None);
    assert!(marks(&["--collect-above", "101"]).is_err());
    assert!(marks(&["--collect-above", "50", "--collect-down-to", "60"]).is_err());
    let file = file(r#"{"collect-above": 70, "collect-down-to": 30, "collect-spare": 5}"#);
    let marks = words(&[]).over(file).expect("settled").collect.expect("on");
    assert_eq!((marks.above, marks.down_to, marks.young.as_secs()), (70, 30, 5));
}

#[test]
fn containers_that_say_nothing_log_as_the_daemon_was_told() {
    let log = |w: &[&str], text: &str| words(w).over(file(text)).map(|s| s.log);
    let config = |log: &LogConfig| format!("{} {:?}", log.kind, log.config);
    assert_eq!(config(&log(&[], "{}").expect("settled")), "json-file {}");
    let text = r#"{"log-driver":"local","log-opts":{"max-size":"1m","max-file":"3"}}"#;
    let both = log(&["--log-opt", "max-size=2m"], text).expect("settled");
    assert_eq!(config(&both), r#"local {"max-file": "3", "max-size": "2m"}"#);
    for bad in [["--log-driver", "splunk"], ["--log-opt", "max-size"], ["--log-opt", "a=b"]] {
        assert!(log(&bad, "{}").is_err(), "{bad:?}");
    }
}

#[test]
fn the_command_line_outranks_the_file() {
    let file =
        file(r#"{"hosts":["fd://"],"bridge":"b","data-root":"/f","registry-mirrors":["x"]}"#);
    let settings = words(&["--bridge", "a", "--host", "unix:///s"]).over(file).expect("settled");
    assert_eq!(settings.hosts, [Host::Unix("/s".into())]);
    assert_eq!((&*settings.bridge, settings.data_root), ("a", PathBuf::from("/f")));
    assert_eq!(settings.registry_mirrors, ["x"]);
}

#[test]
fn a_word_that_the_file_may_not_have_is_refused_by_name() {
    let error = serde_json::from_str::<Config>(r#"{"iptables":false}"#).expect_err("unknown");
    assert!(error.to_string().contains("iptables"), "{error}");
}

#[test]
fn the_network_is_a_place_to_listen_with_certificates_alone() {
    for host in [
        "tcp://name:2375",
        "tcp://[10.0.0.1]",
        "unix://relative",
        "/run/x.sock",
        "fd://3",
        "tcp://",
        "",
    ] {
        assert!(Host::parse(host).is_err(), "{host}");
    }
    let settled = |w: &[&str]| words(&[&["-H", "tcp://10.0.0.1"], w].concat()).over(file("{}"));
    for plain in [&[][..], &["--tls"], &["--tlsverify=false"], &["--tlscacert", "/ca"]] {
        let refused = settled(plain).expect_err("plaintext").to_string();
        assert!(refused.contains("tcp://10.0.0.1:2376") && refused.contains("--tlsverify"));
    }
    let named = ["--tlsverify", "--tlscacert", "/a", "--tlscert", "/b", "--tlskey", "/c"];
    let papers = settled(&named).expect("settled").papers.expect("papers");
    assert_eq!((papers.ca, papers.cert, papers.key), ("/a".into(), "/b".into(), "/c".into()));
    let file = file(r#"{"hosts":["tcp://[::1]:1"],"tlsverify":true,"tlskey":"/k"}"#);
    let settings = words(&[]).over(file).expect("settled");
    assert_eq!(settings.hosts[0].to_string(), "tcp://[::1]:1");
    assert_eq!(settings.papers.expect("papers").key, PathBuf::from("/k"));
    assert!(words(&["--data-root", "here"]).over(Config::default()).is_err());
}

#[test]
fn figures_are_served_at_an_address_that_is_named() {
    let settled = |w: &[&str], text: &str| words(w).over(file(text)).map(|s| s.metrics);
    let at = |said: &str| settled(&["--metrics-addr", said], "{}").expect("settled");
    assert_eq!(settled(&[], "{}").expect("settled"), None);
    assert_eq!(at(""), None);
    assert_eq!(at("localhost:9323"), "127.0.0.1:9323".parse().ok());
    assert_eq!(at(":9323"), "0.0.0.0:9323".parse().ok());
    assert_eq!(at("[::1]:9323"), "[::1]:9323".parse().ok());
    let file = settled(&[], r#"{"metrics-addr":"127.0.0.1:1"}"#).expect("settled");
    assert_eq!(file, "127.0.0.1:1".parse().ok());
    for bad in ["9323", "127.0.0.1", "host:9323", "127.0.0.1:x", "unix:///run/x"] {
        let refused = settled(&["--metrics-addr", bad], "{}").expect_err("refused");
        assert!(refused.to_string().contains(bad), "{refused}");
    }
}

#[test]
fn a_mirror_is_an_address_and_no_secret() {
    let settled = |mirror: &str| {
        let words = words(&["--registry-mirror", mirror]).over(Config::default());
        words.map(|_| ()).map_err(|error| error.to_string())
    };
    for good in ["https://m.example:5000/", "http://m/path", "m.example"] {
        assert_eq!(settled(good), Ok(()));
    }
    let told = settled("https://a:sesame@m.example").expect_err("a secret");
    assert!(told.contains("password") && !told.contains("sesame"), "{told}");
    for bad in ["ftp://m", "https://", "https://m?x", ""] {
        assert!(settled(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let error = words(&["--config", "/nonexistent/file"]).settled().expect_err("missing");
    assert_eq!(error.to_string(), "cannot read /nonexistent/file");
}
