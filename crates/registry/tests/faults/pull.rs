//! An image is fetched whole and right, or not at all.

use crate::{
    Scratch,
    fake::{Fake, Fault, digest},
    noise, scratch, tar,
};
use registry::{Credentials, Error, Kind, Pace, Pull, Pulled, Registry, Settings};
use serde_json::{Value, json};
use spec::{Digest, image::media};
use std::io::Write as _;

impl Scratch {
    pub fn refused(&self, name: &str) -> Error {
        let error = self.pull(&self.wish(name)).0.expect_err("refused");
        assert!(self.store.list(true).expect("list").is_empty(), "{error}");
        let layers = std::fs::read_dir(self.dir.path().join("layers")).expect("list").count();
        assert_eq!(layers, 0, "{error}");
        error
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory")
}

/// The manifest of an image of these tars, packed as they are.
pub fn manifest(fake: &Fake, architecture: &str, layers: &[(&[u8], &str, Vec<u8>)]) -> Value {
    let diff_ids: Vec<Digest> = layers.iter().map(|(tar, ..)| digest(tar)).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = fake.blob(media::OCI_CONFIG, config.to_string().as_bytes());
    let layers: Vec<Value> =
        layers.iter().map(|(_, media_type, packed)| fake.blob(media_type, packed)).collect();
    json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config, "layers": layers,
    })
}

/// `app:1`, of one big layer.
pub fn app(fake: &Fake) -> Vec<u8> {
    let tar = tar(&[("big", &noise(600_000))]);
    let packed = gzip(&tar);
    let manifest = manifest(fake, "amd64", &[(&tar, media::OCI_LAYER_GZIP, packed.clone())]);
    fake.document("1", media::OCI_MANIFEST, &manifest);
    packed
}

#[test]
fn an_image_comes_with_its_layers_however_packed() {
    let s = scratch();
    let tars: Vec<_> = (0..3).map(|n| tar(&[(&format!("f{n}"), b"x")])).collect();
    let layers = [
        (&*tars[0], media::OCI_LAYER_GZIP, gzip(&tars[0])),
        (&*tars[1], media::OCI_LAYER_ZSTD, zstd(&tars[1])),
        (&*tars[2], media::OCI_LAYER, tars[2].clone()),
    ];
    let described = s.fake.document("1", media::OCI_MANIFEST, &manifest(&s.fake, "amd64", &layers));
    let (pulled, said) = s.pull(&s.wish("app:1"));
    let pulled = pulled.expect("pull");
    assert!(pulled.new && pulled.digest.as_str() == described["digest"]);
    let layers = s.store.layers(&pulled.id).expect("layers");
    assert!((0..3).all(|n| layers[n].join(format!("f{n}")).exists()));
    let detail = s.store.inspect(&pulled.id).expect("there");
    let (tag, digest) = (s.fake.name("app:1"), s.fake.name("app").with_digest(pulled.digest));
    assert_eq!(detail.summary.repo_tags, [tag.familiar()]);
    assert_eq!(detail.summary.repo_digests, [digest.familiar()]);
    let text: Vec<&str> = said.iter().map(|line| line.status.as_str()).collect();
    assert_eq!(
        text[..4],
        ["Pulling from app", "Pulling fs layer", "Pulling fs layer", "Pulling fs layer"]
    );
    for word in
        ["Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"]
    {
        assert_eq!(text.iter().filter(|line| **line == word).count(), 3, "{word}: {text:?}");
    }
    assert!(text[text.len() - 2].starts_with("Digest: sha256:"));
    assert_eq!(text[text.len() - 1], format!("Status: Downloaded newer image for {tag}"));
    let (again, said) = s.pull(&Pull { reference: digest, ..s.wish("app:1") });
    assert!(!again.expect("pull").new);
    let status = &said.last().expect("said").status;
    assert!(status.starts_with("Status: Image is up to date for"), "{status}");
    assert_eq!(s.fake.seen("/blobs/").len(), 4, "nothing comes twice");
}

#[test]
fn what_docker_writes_is_read_too() {
    let s = scratch();
    let tar = tar(&[("a", b"x")]);
    let packed = gzip(&tar);
    let mut manifest = manifest(&s.fake, "amd64", &[(&tar, media::DOCKER_LAYER_GZIP, packed)]);
    manifest["mediaType"] = media::DOCKER_MANIFEST.into();
    manifest["config"]["mediaType"] = media::DOCKER_CONFIG.into();
    s.fake.document("1", media::DOCKER_MANIFEST, &manifest);
    assert!(s.pulled("app:1").new);
}

#[test]
fn of_an_index_the_image_for_the_platform_is_taken() {
    let s = scratch();
    let tar = tar(&[("a", b"x")]);
    let entry = |architecture: &str| {
        let layers = [(&*tar, media::OCI_LAYER, tar.clone())];
        let manifest = manifest(&s.fake, architecture, &layers);
        let mut entry = s.fake.document("none", media::OCI_MANIFEST, &manifest);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": media::OCI_INDEX,
        "manifests": [entry("s390x"), entry("amd64"), entry("riscv64")],
    });
    let top = s.fake.document("1", media::OCI_INDEX, &index);
    let architecture =
        |pulled: &Pulled| s.store.inspect(&pulled.id).expect("there").config.architecture;
    let here = s.pulled("app:1");
    assert_eq!(
        (architecture(&here).as_str(), here.digest.as_str()),
        ("amd64", top["digest"].as_str().expect("text"))
    );
    let platform = |text: &str| spec::image::Platform {
        os: "linux".into(),
        architecture: text.into(),
        ..Default::default()
    };
    let there =
        s.pull(&Pull { platform: Some(platform("riscv64")), ..s.wish("app:1") }).0.expect("pull");
    assert_eq!(architecture(&there), "riscv64");
    let none =
        s.pull(&Pull { platform: Some(platform("mips")), ..s.wish("app:1") }).0.expect_err("none");
    assert_eq!(
        (none.kind(), none.to_string().as_str()),
        (Kind::NotFound, "no matching manifest for linux/mips in the manifest list entries")
    );
    // One image alone, and it is another's.
    s.fake.document("2", media::OCI_MANIFEST, &manifest(&s.fake, "arm64", &[]));
    let other = s
        .pull(&Pull { platform: Some(platform("amd64")), ..s.wish("app:2") })
        .0
        .expect_err("another");
    assert!(other.to_string().ends_with("wanted linux/amd64, actual: linux/arm64"), "{other}");
}

#[test]
fn what_breaks_off_goes_on_from_there() {
    let s = scratch();
    let packed = app(&s.fake);
    let blob = digest(&packed);
    s.fake.fault(blob.as_str(), &[Fault::Cut(200_000), Fault::Cut(100_000)]);
    assert!(s.pulled("app:1").new);
    let asked = s.fake.seen(blob.as_str());
    assert_eq!(asked.len(), 3);
    assert!(asked[1].contains("bytes=200000-") && asked[2].contains("bytes=300000-"), "{asked:?}");
}

/// `app:1`, of one layer that is large enough for its parts to be kept.
fn large(fake: &Fake) -> Digest {
    let tar = tar(&[("big", &noise(3 << 20))]);
    let packed = gzip(&tar);
    let blob = digest(&packed);
    let manifest = manifest(fake, "amd64", &[(&tar, media::OCI_LAYER_GZIP, packed)]);
    fake.document("1", media::OCI_MANIFEST, &manifest);
    blob
}

impl Scratch {
    /// As a new daemon finds it.
    fn again(self) -> Self {
        let Self { dir, store, fake, .. } = self;
        drop(store);
        let store = image::Store::open(dir.path(), crate::workers()).expect("opened");
        Self { dir, store, registry: Registry::new(crate::keeping()), fake }
    }

    fn parts(&self) -> Vec<std::path::PathBuf> {
        let parts = std::fs::read_dir(self.dir.path().join("partial")).expect("list");
        parts.map(|entry| entry.expect("entry").path()).collect()
    }
}

#[test]
fn what_came_before_a_daemon_ended_is_not_fetched_again() {
    let s = scratch();
    let blob = large(&s.fake);
    s.fake.fault(blob.as_str(), &[Fault::Cut(2_000_000), Fault::Status(404, "")]);
    s.pull(&s.wish("app:1")).0.expect_err("the rest does not come");
    assert_eq!(s.parts().len(), 1);
    let s = s.again();
    assert!(s.pulled("app:1").new);
    let asked = s.fake.seen(blob.as_str());
    assert!(asked.len() == 3 && asked[2].contains("bytes=2000000-"), "{asked:?}");
    assert!(s.parts().is_empty(), "it is whole");
}

#[test]
fn what_comes_quickly_is_not_kept() {
    let mut s = scratch();
    let blob = large(&s.fake);
    s.registry = Registry::new(Settings::default());
    s.fake.fault(blob.as_str(), &[Fault::Cut(2_000_000), Fault::Status(404, "")]);
    s.pull(&s.wish("app:1")).0.expect_err("the rest does not come");
    assert!(s.parts().is_empty());
}

/// What an earlier daemon kept of a large blob, from 1,000,000 to 2,000,000.
fn with_a_part_in_the_midst() -> (Scratch, Digest) {
    let s = scratch();
    let blob = large(&s.fake);
    s.fake.fault(blob.as_str(), &[Fault::Cut(2_000_000), Fault::Status(404, "")]);
    s.pull(&s.wish("app:1")).0.expect_err("the rest does not come");
    let kept = std::fs::read(&s.parts()[0]).expect("read");
    let part = [&1_000_000_u64.to_le_bytes(), &kept[1_000_008..]].concat();
    std::fs::write(&s.parts()[0], part).expect("written");
    (s.again(), blob)
}

#[test]
fn of_a_part_in_the_midst_only_what_is_around_it_is_fetched() {
    let (s, blob) = with_a_part_in_the_midst();
    // Its beginning breaks off, too.
    s.fake.fault(blob.as_str(), &[Fault::Cut(400_000)]);
    assert!(s.pulled("app:1").new);
    let asked = s.fake.seen(blob.as_str());
    for (asked, range) in asked[2..].iter().zip(["0-999999", "400000-999999", "2000000-"]) {
        assert!(asked.contains(&format!("bytes={range}")), "{asked:?}");
    }
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(s.parts().is_empty(), "it is whole");
}

#[test]
fn a_part_in_the_midst_is_of_use_where_no_ranges_are_known() {
    let (s, blob) = with_a_part_in_the_midst();
    s.fake.fault(blob.as_str(), &[Fault::NoRange, Fault::NoRange]);
    assert!(s.pulled("app:1").new);
    let asked = s.fake.seen(blob.as_str());
    assert!(asked.len() == 4 && asked[3].contains("bytes=2000000-"), "{asked:?}");
    assert!(s.parts().is_empty(), "it is whole");
}

#[test]
fn a_part_that_is_of_no_use_is_fetched_again() {
    let s = scratch();
    let blob = large(&s.fake);
    s.fake.fault(blob.as_str(), &[Fault::Cut(2_000_000), Fault::Status(404, "")]);
    s.pull(&s.wish("app:1")).0.expect_err("the rest does not come");
    // As a loss of power may leave it.
    std::fs::write(&s.parts()[0], vec![0; 2_000_000]).expect("written");
    let s = s.again();
    assert!(s.pulled("app:1").new);
    let asked = s.fake.seen(blob.as_str());
    assert!(asked.last().is_some_and(|last| !last.contains("bytes=")), "{asked:?}");
    assert!(s.parts().is_empty(), "it is whole");
}

#[test]
fn parts_go_with_a_prune_and_those_of_something_wrong_at_once() {
    let s = scratch();
    let blob = large(&s.fake);
    s.fake.fault(blob.as_str(), &[Fault::Cut(2_000_000), Fault::Status(404, "")]);
    s.pull(&s.wish("app:1")).0.expect_err("the rest does not come");
    let pruned = s.store.prune(&|_| false, &|_| Vec::new()).expect("pruned");
    assert_eq!((pruned.reclaimed, s.parts().len()), (2_000_008, 0));
    s.fake.fault(blob.as_str(), &[Fault::Bytes(noise(2 << 20))]);
    s.pull(&s.wish("app:1")).0.expect_err("another blob");
    assert!(s.parts().is_empty());
}

/// Processes of this test that undo compression: those that are up.
fn at_work() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").expect("procfs");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let read = |pid, file| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let ours = format!("PPid:\t{}\n", std::process::id());
    pids.filter(|pid: &i32| {
        let status = read(*pid, "status").unwrap_or_default();
        let words = read(*pid, "cmdline").unwrap_or_default();
        status.contains(&ours) && status.contains("Seccomp:\t2") && words.contains("inflate")
    })
    .collect()
}

#[test]
fn a_process_that_is_killed_is_an_error_of_one_pull() {
    // Others of this program have such processes, too.
    if std::env::var_os("KILLED_ALONE").is_none() {
        let out = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "pull::a_process_that_is_killed_is_an_error_of_one_pull"])
            .env("KILLED_ALONE", "1")
            .output()
            .expect("this program starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let s = scratch();
    let blob = large(&s.fake);
    let (go_on, held) = std::sync::mpsc::channel();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    s.fake.fault(blob.as_str(), &[Fault::Cut(2_000_000), Fault::Hold(held)]);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            let pid = loop {
                if let [pid] = at_work()[..] {
                    break pid;
                }
                std::thread::yield_now();
            };
            sys::signal::send(pid, 9).expect("it runs");
            drop(go_on);
        });
        s.pull(&s.wish("app:1")).0.expect_err("it was killed")
    });
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("was killed by signal 9"), "{error}: {cause}");
    assert!(at_work().is_empty());
    let layers = std::fs::read_dir(s.dir.path().join("layers")).expect("list").count();
    assert_eq!(layers, 0, "nothing of it stays");
    assert!(s.pulled("app:1").new);
}

#[test]
fn a_registry_that_only_drips_is_asked_anew() {
    let mut s = scratch();
    let blob = large(&s.fake);
    let pace =
        Pace { window: std::time::Duration::from_millis(100), least: 1000, ..Pace::default() };
    s.registry = Registry::new(Settings { pace, ..Settings::default() });
    s.fake.fault(blob.as_str(), &[Fault::Drip(2_000_000)]);
    assert!(s.pulled("app:1").new);
    let asked = s.fake.seen(blob.as_str());
    assert!(asked.len() == 2 && asked[1].contains("bytes=20000"), "{asked:?}");
}

#[test]
fn a_registry_that_does_nothing_but_drip_is_given_up() {
    let mut s = scratch();
    let blob = large(&s.fake);
    let pace =
        Pace { window: std::time::Duration::from_millis(100), least: 1000, ..Pace::default() };
    s.registry = Registry::new(Settings { pace, ..Settings::default() });
    s.fake.fault(blob.as_str(), &vec![Fault::Drip(0); 20]);
    let error = s.pull(&s.wish("app:1")).0.expect_err("for ever");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.starts_with("only ") && cause.contains("bytes came in"), "{error}: {cause}");
}

#[test]
fn a_registry_without_ranges_begins_anew_and_nothing_is_mixed_up() {
    let s = scratch();
    let packed = app(&s.fake);
    let part = digest(&packed);
    s.fake.fault(part.as_str(), &[Fault::Cut(200_000), Fault::NoRange]);
    assert!(s.pulled("app:1").new);
    assert_eq!(s.fake.seen(part.as_str()).len(), 2);
}

#[test]
fn another_part_than_was_asked_for_is_refused() {
    let s = scratch();
    let packed = app(&s.fake);
    s.fake.fault(digest(&packed).as_str(), &[Fault::Cut(200_000), Fault::WrongRange]);
    assert!(s.refused("app:1").to_string().contains("another part"));
}

#[test]
fn a_busy_registry_is_asked_again() {
    let s = scratch();
    let packed = app(&s.fake);
    let busy = [Fault::Status(429, "Retry-After: 0"), Fault::Status(503, "X: y")];
    s.fake.fault("/manifests/1", &busy);
    s.fake.fault(digest(&packed).as_str(), &busy);
    assert!(s.pulled("app:1").new);
    assert_eq!(s.fake.seen("/manifests/1").len(), 3);
}

#[test]
fn a_registry_that_stays_busy_is_given_up_in_its_own_words() {
    let s = scratch();
    app(&s.fake);
    s.fake.fault("/manifests/1", &vec![Fault::Status(429, "Retry-After: 0"); 20]);
    let error = s.refused("app:1");
    assert!(error.to_string().contains("answered 429: unavailable: not now"), "{error}");
    assert_eq!(s.fake.seen("/manifests/1").len(), 6);
}

#[test]
fn other_bytes_than_announced_are_refused_and_nothing_stays() {
    let s = scratch();
    let packed = app(&s.fake);
    let blob = digest(&packed);
    // Sound in itself, and not what the manifest wants.
    let other = gzip(&tar(&[("evil", &noise(600_000))]));
    let other =
        other.into_iter().chain(std::iter::repeat(0)).take(packed.len()).collect::<Vec<_>>();
    let mut flipped = packed.clone();
    flipped[300_000] ^= 1;
    for bytes in [other, flipped] {
        s.fake.fault(blob.as_str(), &[Fault::Bytes(bytes)]);
        let error = s.refused("app:1");
        assert!(matches!(&error, Error::Digest { expected, .. } if *expected == blob), "{error}");
    }
}

#[test]
fn a_blob_is_as_long_as_announced() {
    let s = scratch();
    let packed = app(&s.fake);
    let part = digest(&packed);
    for bytes in [packed[..packed.len() - 1].to_vec(), [&packed[..], b"x"].concat()] {
        s.fake.fault(part.as_str(), &[Fault::Bytes(bytes)]);
        let error = s.refused("app:1");
        assert!(error.to_string().contains("bytes where its manifest says"), "{error}");
    }
}

#[test]
fn a_layer_is_the_one_that_the_configuration_names() {
    let s = scratch();
    let (good, evil) = (tar(&[("a", b"x")]), tar(&[("a", b"y")]));
    let layers = [(&*good, media::OCI_LAYER_GZIP, gzip(&evil))];
    s.fake.document("1", media::OCI_MANIFEST, &manifest(&s.fake, "amd64", &layers));
    let error = s.refused("app:1");
    assert!(error.to_string().contains(digest(&good).as_str()), "{error}");
}

#[test]
fn what_follows_a_compressed_layer_counts() {
    let s = scratch();
    let packed = app(&s.fake);
    let zeros = [&packed[..packed.len() - 4], &[0; 4]].concat();
    s.fake.fault(digest(&packed).as_str(), &[Fault::Bytes(zeros)]);
    assert!(matches!(s.refused("app:1"), Error::Digest { .. }));
}

#[test]
fn a_manifest_is_what_every_side_says_it_is() {
    let s = scratch();
    app(&s.fake);
    s.fake.fault("/manifests/1", &[Fault::Type(media::OCI_INDEX)]);
    assert!(s.refused("app:1").to_string().contains("announced"));
    s.fake.fault("/manifests/1", &[Fault::Lie]);
    assert!(matches!(s.refused("app:1"), Error::Digest { .. }));
    // By its digest it is that or nothing.
    let wrong = digest(b"wrong");
    s.fake.fault("/manifests/sha256", &[Fault::Bytes(b"wrong".to_vec())]);
    let wish =
        Pull { reference: s.fake.name("app").with_digest(digest(b"right")), ..s.wish("app:1") };
    let error = s.pull(&wish).0.expect_err("refused").to_string();
    assert!(error.contains("not found") || error.contains(wrong.as_str()), "{error}");
    // Index and manifest disagree.
    let inner = manifest(&s.fake, "amd64", &[]);
    let mut entry = s.fake.document("inner", media::OCI_MANIFEST, &inner);
    entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
    entry["mediaType"] = media::OCI_INDEX.into();
    let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [entry]});
    s.fake.document("2", media::OCI_INDEX, &index);
    assert!(s.refused("app:2").to_string().contains("announced"));
    // One document, two meanings: CVE-2021-41190.
    let mut both = manifest(&s.fake, "amd64", &[]);
    both["manifests"] = json!([]);
    s.fake.document("3", media::OCI_MANIFEST, &both);
    assert!(s.refused("app:3").to_string().contains("ambiguous"));
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let s = scratch();
    let mut chart = manifest(&s.fake, "amd64", &[]);
    chart["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into();
    s.fake.document("1", media::OCI_MANIFEST, &chart);
    assert!(s.refused("app:1").to_string().contains("helm"));
    let tar = tar(&[("a", b"x")]);
    let odd = manifest(&s.fake, "amd64", &[(&tar, "application/x-odd", tar.clone())]);
    s.fake.document("2", media::OCI_MANIFEST, &odd);
    assert!(s.refused("app:2").to_string().contains("application/x-odd"));
    let mut short = manifest(&s.fake, "amd64", &[(&tar, media::OCI_LAYER, tar.clone())]);
    short["layers"] = json!([]);
    s.fake.document("3", media::OCI_MANIFEST, &short);
    assert!(s.refused("app:3").to_string().contains("0 layers where"));
}

#[test]
fn identical_layers_come_once_to_however_many_want_them() {
    let s = scratch();
    let tar = tar(&[("big", &noise(600_000))]);
    let one = (&*tar, media::OCI_LAYER_GZIP, gzip(&tar));
    let twice = manifest(&s.fake, "amd64", &[one.clone(), one.clone()]);
    s.fake.document("1", media::OCI_MANIFEST, &twice);
    s.fake.document(
        "2",
        media::OCI_MANIFEST,
        &manifest(&s.fake, "s390x", std::slice::from_ref(&one)),
    );
    std::thread::scope(|scope| {
        for name in ["app:1", "app:1", "other:2", "app:1"] {
            scope.spawn(|| s.pulled(name));
        }
    });
    assert_eq!(s.fake.seen(digest(&one.2).as_str()).len(), 1);
    assert_eq!(s.store.list(false).expect("list").len(), 2);
}

#[test]
fn a_token_is_fetched_with_name_and_password() {
    let s = scratch();
    app(&s.fake);
    s.fake.wants_token("sesame");
    let nobody = s.refused("app:1");
    assert_eq!(nobody.kind(), Kind::Unauthorized, "{nobody}");
    let known = Credentials { username: "a".into(), password: "b".into(), ..Default::default() };
    let wish = Pull { credentials: Some(known), ..s.wish("app:1") };
    assert!(s.pull(&wish).0.expect("pull").new);
    let asked = s.fake.seen("/token");
    assert!(
        asked[0].starts_with("GET /token?service=fake&scope=repository%3Aa%3Apull"),
        "{asked:?}"
    );
    assert!(!asked[0].contains("Basic"), "nobody has no password");
    assert_eq!(s.fake.seen("Bearer sesame").len(), 3, "one token does for all");
    assert_eq!(s.fake.seen("/token").len(), 2);
}

#[test]
fn a_client_that_leaves_ends_the_pull() {
    let s = scratch();
    app(&s.fake);
    let left = s
        .registry
        .pull(&s.store, &s.wish("app:1"), &mut |_| Err(std::io::ErrorKind::BrokenPipe.into()));
    assert!(matches!(left, Err(Error::Left)), "{left:?}");
    assert!(s.store.list(true).expect("list").is_empty());
}

#[test]
fn a_mirror_stands_in_for_the_hub_and_the_next_for_it() {
    let mut s = scratch();
    let (asking, empty) = (Fake::new(), Fake::new());
    asking.wants_token("sesame");
    app(&s.fake);
    let mirrors = [&asking, &empty, &s.fake].map(|fake| format!("http://{}", fake.addr)).into();
    s.registry = Registry::new(Settings { mirrors, ..Settings::default() });
    let known = Credentials { username: "a".into(), password: "b".into(), ..Default::default() };
    let reference = "busybox:1".parse().expect("a name");
    let wish = Pull { reference, platform: None, credentials: Some(known) };
    s.pull(&wish).0.expect("pull");
    assert_eq!(empty.seen("").len(), 1);
    assert_eq!(s.fake.seen("GET /v2/library/busybox/").len(), 3);
    assert_eq!(asking.seen("/token").len(), 1);
    assert!(asking.seen("Basic").is_empty(), "the hub's password is not the mirror's");
    assert!(s.store.lookup("busybox:1").is_ok());
}

#[test]
fn what_is_not_there_is_told_in_dockers_words() {
    let s = scratch();
    let error = s.refused("app:none");
    let name = s.fake.name("app:none");
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        format!("manifest for {name} not found: manifest unknown: manifest unknown")
    );
}
