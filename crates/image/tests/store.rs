//! Images come in, are found, mounted, written out and removed. Needs root.

use image::{Arrived, Blob, Commit, Deleted, Import, Kind, Store};
use sha2::{Digest as _, Sha256};
use snapshot::{IdRange, Root, mount_read_only};
use spec::{Digest, Reference, docker::Words};
use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

/// Who takes archives apart for the tests.
fn workers() -> unpacker::Workers {
    unpacker::Workers::new(env!("CARGO_BIN_EXE_image-unpacker"), 1_900_000_000, "a test".as_ref())
}

/// A store in a scratch directory, and a root file system's tar.
struct Scratch {
    dir: tempfile::TempDir,
    store: Store,
}

fn scratch() -> Scratch {
    let dir = tempfile::tempdir().expect("scratch");
    let store = Store::open(&dir.path().join("data"), workers()).expect("open");
    Scratch { dir, store }
}

impl Scratch {
    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Names below a directory of the data root.
    fn names(&self, dir: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.data().join(dir)).expect("list");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
            .collect();
        names.sort();
        names
    }
}

fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        header.set_mtime(1_600_000_000);
        tar.append_data(&mut header, path, text.as_bytes()).expect("memory");
    }
    tar.into_inner().expect("memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

fn name(text: &str) -> Reference {
    text.parse().expect("a name")
}

fn import(store: &Store, tar: &[u8], reference: &str) -> Digest {
    let wish = Import { reference: Some(name(reference)), ..Import::default() };
    store.import(&wish, &mut &tar[..]).expect("import")
}

/// A tar of tars: what `load` takes.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, *bytes).expect("memory");
    }
    tar.into_inner().expect("memory")
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|l| sha256(l).to_string()).collect();
    let text = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09.5Z",
        "config": {"Cmd": ["sh"], "Env": ["A=1"], "Labels": {"k": "v"}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [
            {"created_by": "ADD a", "created": "2024-05-06T07:08:09Z"},
            {"created_by": "ENV A=1", "empty_layer": true},
            {"created_by": "COPY b"},
        ],
    });
    serde_json::to_vec(&text).expect("plain data")
}

/// As `docker save` wrote until version 24: a directory a layer.
fn docker_archive(layers: &[Vec<u8>], tag: &str) -> Vec<u8> {
    let plain: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let config = config(&plain);
    let config_name = format!("{}.json", sha256(&config).hex());
    let paths: Vec<String> = (0..layers.len()).map(|at| format!("{at}abc/layer.tar")).collect();
    let manifest = serde_json::json!([{"Config": config_name, "RepoTags": [tag], "Layers": paths}]);
    let manifest = serde_json::to_vec(&manifest).expect("plain data");
    let mut files: Vec<(&str, &[u8])> = vec![(&config_name, &config)];
    for (path, layer) in paths.iter().zip(layers) {
        files.push((path, layer));
    }
    files.push(("manifest.json", &manifest));
    archive(&files)
}

/// An OCI layout with compressed layers.
fn oci_layout(layers: &[Vec<u8>], pack: impl Fn(&[u8]) -> Vec<u8>, named: &str) -> Vec<u8> {
    let plain: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let config = config(&plain);
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| pack(layer)).collect();
    let describe = |media: &str, bytes: &[u8]| serde_json::json!({"mediaType": media, "digest": sha256(bytes).to_string(), "size": bytes.len()});
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "config": describe("application/vnd.oci.image.config.v1+json", &config),
        "layers": packed.iter().map(|l| describe("application/vnd.oci.image.layer.v1.tar+gzip", l)).collect::<Vec<_>>(),
    }))
    .expect("plain data");
    let mut entry = describe("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": named});
    let index = serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": [entry]}))
        .expect("plain data");
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", sha256(bytes).hex());
    let (config_path, manifest_path) = (path(&config), path(&manifest));
    let paths: Vec<String> = packed.iter().map(|layer| path(layer)).collect();
    let mut files: Vec<(&str, &[u8])> = vec![(&config_path, &config), (&manifest_path, &manifest)];
    for (path, layer) in paths.iter().zip(&packed) {
        files.push((path, layer));
    }
    files.push(("index.json", &index));
    files.push(("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#));
    archive(&files)
}

fn load(store: &Store, bytes: &[u8]) -> Result<Vec<String>, image::Error> {
    let mut said = Vec::new();
    store.load(&mut &bytes[..], &mut |line| said.push(line.to_string())).map(|()| said)
}

fn read(root: &impl std::os::fd::AsFd, path: &str) -> String {
    let flags = rustix::fs::OFlags::RDONLY;
    let file = rustix::fs::openat(root, path, flags, rustix::fs::Mode::empty()).expect("open");
    let mut text = String::new();
    std::fs::File::from(file).read_to_string(&mut text).expect("read");
    text
}

#[test]
fn an_imported_root_is_an_image() {
    let s = scratch();
    let wish = Import {
        reference: Some(name("base")),
        changes: vec!["CMD [\"sh\"]".into(), "ENV A=1".into()],
        ..Import::default()
    };
    let tar = layer(&[("etc/name", "x")]);
    let id = s.store.import(&wish, &mut &gzip(&tar)[..]).expect("import");
    let detail = s.store.inspect(&id).expect("inspect");
    assert_eq!(detail.summary.repo_tags, ["base:latest"]);
    assert_eq!(detail.config.rootfs.diff_ids, [sha256(&tar)], "of the plain tar");
    assert_eq!(detail.config.config.cmd, Some(Words(vec!["sh".into()])));
    assert_eq!(detail.config.config.env, ["A=1"]);
    let mount =
        mount_read_only(&s.store.layers(&id).expect("layers"), IdRange::HOST).expect("mount");
    assert_eq!(read(&mount, "etc/name"), "x");
}

#[test]
fn an_image_is_found_by_name_id_and_prefix() {
    let s = scratch();
    let id = import(&s.store, &layer(&[("a", "1")]), "me/app:v1");
    for text in
        ["me/app:v1", "docker.io/me/app:v1", id.as_str(), id.hex(), id.short(), &id.as_str()[..20]]
    {
        assert_eq!(s.store.lookup(text).expect(text), id);
    }
    let missing = s.store.lookup("me/app").expect_err("another tag");
    assert_eq!(missing.to_string(), "No such image: me/app:latest");
    assert_eq!(missing.kind(), Kind::NotFound);
    assert_eq!(s.store.lookup("me/App").expect_err("a capital").kind(), Kind::Invalid);
}

#[test]
fn an_image_is_found_by_its_manifest() {
    let s = scratch();
    let id = import(&s.store, &layer(&[("a", "1")]), "app:x");
    let manifest = s.store.note_manifest(&id, &name("app"), b"{}", &[]).expect("note");
    let by_digest = format!("app@{manifest}");
    assert_eq!(s.store.lookup(&by_digest).expect("there"), id);
    assert_eq!(s.store.inspect(&id).expect("inspect").summary.repo_digests, [by_digest]);
    let gone = s.store.remove("app:x", false, true, &|_| Vec::new()).expect("remove");
    assert_eq!(gone.len(), 4, "the digest goes with the repository's last tag: {gone:?}");
    let again = import(&s.store, &layer(&[("a", "1")]), "app:x");
    s.store.note_manifest(&again, &name("app"), b"{}", &[]).expect("note");
    s.store.remove(again.as_str(), false, true, &|_| Vec::new()).expect("remove");
    assert!(s.names("blobs/sha256").is_empty(), "{:?}", s.names("blobs/sha256"));
}

#[test]
fn an_image_comes_in_by_pieces_and_its_name_moves_last() {
    let s = scratch();
    let layers = [layer(&[("a", "1")]), layer(&[("b", "2")])];
    let [low, high] = [sha256(&layers[0]), sha256(&layers[1])];
    let config = config(&[&layers[0], &layers[1]]);
    let reference = name("localhost:5000/app:v1");
    let blobs = [Blob {
        diff_id: low.clone(),
        repository: reference.repository(),
        digest: sha256(&gzip(&layers[0])),
        size: 9,
        media_type: "t".into(),
    }];
    let arrived =
        Arrived { config: &config, manifest: b"{}", reference: &reference, blobs: &blobs };
    let done = s.store.ingest(|ingest| {
        assert!(!ingest.has(&low)?);
        std::thread::scope(|scope| {
            let one = scope.spawn(|| ingest.layer(&high, &mut &layers[1][..]));
            ingest.layer(&low, &mut &gzip(&layers[0])[..])?;
            one.join().expect("no panic")
        })?;
        assert!(ingest.has(&low)? && s.store.lookup("localhost:5000/app:v1").is_err());
        ingest.finish(arrived)
    });
    let (id, new) = done.expect("ingest");
    assert!(new);
    let summary = s.store.inspect(&id).expect("there").summary;
    assert_eq!(summary.repo_tags, ["localhost:5000/app:v1"]);
    assert_eq!(summary.repo_digests, [format!("localhost:5000/app@{}", sha256(b"{}"))]);
    assert_eq!(s.store.blobs(&low).expect("known"), blobs);
    let again = s.store.ingest(|ingest| {
        assert!(ingest.has(&low)? && ingest.has(&high)?);
        assert_eq!(ingest.config(&id)?.as_deref(), Some(&config[..]));
        ingest.finish(arrived)
    });
    assert_eq!(again.expect("ingest"), (id.clone(), false), "nothing of it is new");
    s.store.remove(id.as_str(), true, true, &|_| Vec::new()).expect("remove");
    assert_eq!(s.store.blobs(&low).expect("forgotten"), []);
}

#[test]
fn what_an_operation_relies_on_stays_until_it_ends() {
    let s = scratch();
    let tar = layer(&[("a", "1")]);
    let before = import(&s.store, &tar, "before");
    let diff_id = sha256(&tar);
    let config = config(&[&tar]);
    let reference = name("after");
    let arrived = Arrived { config: &config, manifest: b"{}", reference: &reference, blobs: &[] };
    let remove = |id: &Digest| {
        s.store.remove(id.as_str(), true, true, &|_| Vec::new()).expect("nobody has it");
    };
    let done = s.store.ingest(|ingest| {
        assert!(ingest.has(&diff_id)?);
        remove(&before);
        assert_eq!(s.names("layers"), [diff_id.hex()], "the image is gone, its layer is not");
        ingest.finish(arrived)
    });
    let (id, _) = done.expect("its layer was there");
    assert!(s.store.layers(&id).expect("layers")[0].join("a").exists());
    remove(&id);
    assert_eq!(s.names("layers"), [""; 0], "and goes with the last who had it");
    let given_up = s.store.ingest(|ingest| {
        let id = import(&s.store, &tar, "again");
        assert!(ingest.has(&diff_id)?);
        remove(&id);
        Err::<(), _>(image::Error::Invalid("given up".into()))
    });
    assert!(given_up.is_err());
    assert_eq!(s.names("layers"), [""; 0], "what nobody came to name goes at the end");
}

#[test]
fn a_name_is_taken_back_unless_somebody_has_given_one_since() {
    let s = scratch();
    let nobody = |_: &Digest| Vec::new();
    let fetched = name("fetched");
    let import = || import(&s.store, &layer(&[("a", "1")]), "fetched");
    let id = import();
    let given = s.store.given(&fetched, &id).expect("there");
    let user = |_: &Digest| vec![("c".to_owned(), false)];
    assert_eq!(s.store.take_back(&given, &user).expect("records"), [], "it is in use");
    // The same name once more, and another one.
    for anew in ["fetched", "other"] {
        let given = s.store.given(&fetched, &id).expect("there");
        s.store.tag(&id, &name(anew)).expect("tagged");
        assert_eq!(s.store.take_back(&given, &nobody).expect("records"), [], "{anew}");
        assert_eq!(s.store.lookup("fetched").expect("it stays"), id);
    }
    s.store.remove("other", false, false, &nobody).expect("untagged");
    let given = s.store.given(&fetched, &id).expect("there");
    let gone = s.store.take_back(&given, &nobody).expect("taken back");
    assert_eq!(gone[0], Deleted::Untagged("fetched:latest".into()));
    assert!(s.store.lookup("fetched").is_err() && s.store.list(true).expect("list").is_empty());
    assert_eq!(s.names("layers"), [""; 0]);
}

#[test]
fn an_image_may_have_a_layer_twice() {
    let s = scratch();
    let tar = layer(&[("a", "1")]);
    let other = layer(&[("b", "2")]);
    let layers = [tar.clone(), other, tar];
    load(&s.store, &docker_archive(&layers, "twice:1")).expect("load");
    let id = s.store.lookup("twice:1").expect("there");
    assert_eq!(s.store.layers(&id).expect("layers").len(), 3);
    assert_eq!(s.names("layers").len(), 2, "it is kept once");
    let mount =
        mount_read_only(&s.store.layers(&id).expect("layers"), IdRange::HOST).expect("mount");
    assert_eq!((read(&mount, "a"), read(&mount, "b")), ("1".into(), "2".into()));
}

#[test]
fn what_did_not_come_in_whole_leaves_nothing() {
    let s = scratch();
    let tar = layer(&[("a", "1")]);
    let other = sha256(b"other");
    let lie = s.store.ingest(|ingest| ingest.layer(&other, &mut &tar[..]));
    assert_eq!(lie.expect_err("another layer").kind(), Kind::Invalid);
    let config = config(&[&tar]);
    let reference = name("app");
    let arrived = Arrived { config: &config, manifest: b"{}", reference: &reference, blobs: &[] };
    let half = s.store.ingest(|ingest| ingest.finish(arrived));
    assert_eq!(half.expect_err("no layer").kind(), Kind::Invalid);
    let left = s.store.ingest(|ingest| {
        ingest.layer(&sha256(&tar), &mut &tar[..])?;
        Err::<(), _>(image::Error::Invalid("given up".into()))
    });
    assert!(left.is_err());
    assert_eq!(s.names("layers"), [""; 0]);
    assert!(s.store.list(true).expect("list").is_empty());
}

#[test]
fn images_outlive_the_store() {
    let s = scratch();
    let id = import(&s.store, &layer(&[("a", "1")]), "app");
    let data = s.data();
    drop(s.store);
    let store = Store::open(&data, workers()).expect("open again");
    assert_eq!(store.lookup("app").expect("there"), id);
    assert!(store.layers(&id).expect("layers")[0].join("a").exists());
}

#[test]
fn what_no_record_names_is_swept() {
    let s = scratch();
    let id = import(&s.store, &layer(&[("a", "1")]), "app");
    let data = s.data();
    drop(s.store);
    for path in ["layers/.new-7/root", "layers/abc/root"] {
        std::fs::create_dir_all(data.join(path)).expect("mkdir");
    }
    std::fs::write(data.join("blobs/sha256/.new-8"), "half").expect("write");
    let s = Scratch { store: Store::open(&data, workers()).expect("open again"), ..s };
    assert_eq!(s.names("layers").len(), 1);
    assert_eq!(s.names("blobs/sha256"), [id.hex()]);
}

#[test]
fn a_docker_archive_is_loaded() {
    let s = scratch();
    let layers = [layer(&[("a", "low"), ("b", "low")]), layer(&[("b", "high"), (".wh.a", "")])];
    let said = load(&s.store, &docker_archive(&layers, "app:v1")).expect("load");
    assert_eq!(said, ["Loaded image: app:v1"]);
    let id = s.store.lookup("app:v1").expect("there");
    assert_eq!(
        id,
        sha256(&config(&[&layers[0], &layers[1]])),
        "an id is its configuration's digest"
    );
    let mount =
        mount_read_only(&s.store.layers(&id).expect("layers"), IdRange::HOST).expect("mount");
    assert_eq!(read(&mount, "b"), "high");
    assert!(rustix::fs::statat(&mount, "a", rustix::fs::AtFlags::empty()).is_err());
}

#[test]
fn an_oci_layout_is_loaded_whatever_its_compression() {
    type Pack = fn(&[u8]) -> Vec<u8>;
    let packs: [(&str, Pack); 3] = [
        ("gzip", |bytes| gzip(bytes)),
        ("zstd", |bytes| zstd::encode_all(bytes, 3).expect("memory")),
        ("plain", <[u8]>::to_vec),
    ];
    let layers = [layer(&[("a", "1")]), layer(&[("b", "2")])];
    for (how, pack) in packs {
        let s = scratch();
        let bytes = oci_layout(&layers, pack, "reg.example/app:v1");
        let said = load(&s.store, &gzip(&bytes)).expect(how);
        assert_eq!(said, ["Loaded image: reg.example/app:v1"], "{how}");
        let id = s.store.lookup("reg.example/app:v1").expect("there");
        assert_eq!(s.store.layers(&id).expect("layers").len(), 2);
    }
}

#[test]
fn a_layer_is_kept_once() {
    let s = scratch();
    let shared = layer(&[("a", "same")]);
    load(&s.store, &docker_archive(&[shared.clone(), layer(&[("b", "1")])], "one:x"))
        .expect("load");
    load(&s.store, &docker_archive(&[shared.clone(), layer(&[("b", "22")])], "two:x"))
        .expect("load");
    assert_eq!(s.names("layers").len(), 3);
    let usage = s.store.usage().expect("usage");
    assert_eq!(usage.layers, 4 + 1 + 2);
    assert!(usage.images.iter().all(|(_, shared)| *shared == 4));
}

#[test]
fn a_layer_that_is_not_what_was_promised_is_refused() {
    let s = scratch();
    let good = oci_layout(&[layer(&[("a", "good")])], <[u8]>::to_vec, "app:x");
    let mut bad = good.clone();
    let at = bad.windows(4).position(|w| w == b"good").expect("there");
    bad[at..at + 4].copy_from_slice(b"evil");
    let error = load(&s.store, &bad).expect_err("another content");
    assert!(matches!(error, image::Error::Digest { .. }), "{error}");
    assert!(s.names("layers").is_empty() && s.names("blobs/sha256").is_empty(), "nothing stays");
    load(&s.store, &good).expect("the test must be able to fail");
}

#[test]
fn a_broken_archive_leaves_nothing() {
    let s = scratch();
    let whole =
        docker_archive(&[layer(&[("a", &"x".repeat(5000))]), layer(&[("b", "2")])], "app:x");
    for end in [100, 2000, 4500, whole.len() / 2, whole.len() - 3000] {
        load(&s.store, &whole[..end]).expect_err("cut off");
        assert!(s.names("layers").is_empty(), "cut at {end}");
        assert!(s.store.list(true).expect("list").is_empty());
    }
}

#[test]
fn an_archive_without_a_manifest_is_refused() {
    let s = scratch();
    let error = load(&s.store, &archive(&[("a", b"x")])).expect_err("no manifest");
    assert!(error.to_string().contains("does not contain a manifest.json"), "{error}");
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn a_configuration_that_disagrees_with_the_layers_is_refused() {
    let s = scratch();
    let (one, two) = (layer(&[("a", "1")]), layer(&[("b", "2")]));
    let config = config(&[&one]);
    let build = |layers: &str| {
        let manifest = format!(r#"[{{"Config":"c.json","RepoTags":null,"Layers":{layers}}}]"#);
        archive(&[
            ("c.json", &config),
            ("1.tar", &one),
            ("2.tar", &two),
            ("manifest.json", manifest.as_bytes()),
        ])
    };
    let error = load(&s.store, &build(r#"["1.tar","2.tar"]"#)).expect_err("one too many");
    assert!(error.to_string().contains("layers length mismatch: expected 1, got 2"), "{error}");
    load(&s.store, &build(r#"["2.tar"]"#)).expect_err("another layer");
    let said = load(&s.store, &build(r#"["1.tar"]"#)).expect("the right one");
    assert!(said[0].starts_with("Loaded image ID: sha256:"), "{said:?}");
    assert_eq!(s.names("layers").len(), 1, "the layer that no image claims is gone");
}

#[test]
fn what_is_saved_is_loaded_as_the_same() {
    let one = scratch();
    let layers =
        [layer(&[("a", "1"), ("a", "2"), ("d/e", &"z".repeat(100_000))]), layer(&[(".wh.a", "")])];
    load(&one.store, &docker_archive(&layers, "app:v1")).expect("load");
    let id = one.store.lookup("app:v1").expect("there");
    let mut saved = Vec::new();
    one.store.save(&["app:v1".into()], &mut saved).expect("save");

    let two = scratch();
    assert_eq!(load(&two.store, &saved).expect("load"), ["Loaded image: app:v1"]);
    assert_eq!(two.store.lookup("app:v1").expect("there"), id);
    for layer in &layers {
        let found = saved.windows(layer.len()).any(|window| window == layer);
        assert!(found, "the very tar that came in is in the archive");
    }
}

#[test]
fn the_oci_half_of_what_is_saved_stands_alone() {
    let one = scratch();
    load(&one.store, &docker_archive(&[layer(&[("a", "1")])], "app:v1")).expect("load");
    let mut saved = Vec::new();
    one.store.save(&["app".into()], &mut saved).expect("a name without tag means all of them");
    // The same archive without Docker's manifest.
    let mut out = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(&saved[..]).entries().expect("a tar") {
        let entry = entry.expect("an entry");
        if entry.path().expect("a path") != Path::new("manifest.json") {
            out.append(&entry.header().clone(), entry).expect("memory");
        }
    }
    let two = scratch();
    let said = load(&two.store, &out.into_inner().expect("memory")).expect("load");
    assert_eq!(said, ["Loaded image: app:v1"]);
}

#[test]
fn a_committed_container_is_an_image_on_top_of_its_own() {
    let s = scratch();
    let base = import(&s.store, &layer(&[("a", "1"), ("b", "2")]), "base");
    let range = IdRange { base: 700_000, size: 65_536, kept: None };
    let root = Root::prepare(&s.data(), "c1", range).expect("prepare");
    let mount = root.mount(&s.store.layers(&base).expect("layers")).expect("mount");
    let upper = s.data().join("containers/c1/upper");
    rustix::fs::unlinkat(&mount, "a", rustix::fs::AtFlags::empty()).expect("unlink");
    std::fs::write(upper.join("new"), "new").expect("write");
    let wish =
        Commit { reference: Some(name("derived")), comment: "c".into(), ..Commit::default() };
    let id = s.store.commit(Some(&base), &root, &wish).expect("commit");
    let detail = s.store.inspect(&id).expect("inspect");
    assert_eq!(detail.summary.parent, Some(base.clone()));
    let mount =
        mount_read_only(&s.store.layers(&id).expect("layers"), IdRange::HOST).expect("mount");
    assert_eq!(read(&mount, "b"), "2");
    assert_eq!(read(&mount, "new"), "new");
    assert!(rustix::fs::statat(&mount, "a", rustix::fs::AtFlags::empty()).is_err());
    let history = s.store.history(&id).expect("history");
    assert_eq!(history.iter().map(|h| h.id.clone()).collect::<Vec<_>>(), [Some(id), Some(base)]);
    assert_eq!(history[0].size, 3);
}

#[test]
fn a_container_that_changed_nothing_adds_no_layer() {
    let s = scratch();
    let base = import(&s.store, &layer(&[("a", "1")]), "base");
    let root = Root::prepare(&s.data(), "c1", IdRange::HOST).expect("prepare");
    let id = s.store.commit(Some(&base), &root, &Commit::default()).expect("commit");
    assert_eq!(s.store.layers(&id).expect("layers").len(), 1);
    assert_eq!(s.names("layers").len(), 1);
}

#[test]
fn history_tells_steps_and_sizes() {
    let s = scratch();
    let layers = [layer(&[("a", "123")]), layer(&[("b", "12345")])];
    load(&s.store, &docker_archive(&layers, "app:x")).expect("load");
    let id = s.store.lookup("app:x").expect("there");
    let history = s.store.history(&id).expect("history");
    let seen: Vec<_> = history.iter().map(|h| (h.created_by.as_str(), h.size)).collect();
    assert_eq!(seen, [("COPY b", 5), ("ENV A=1", 0), ("ADD a", 3)]);
    assert_eq!(
        (history[0].id.clone(), &history[0].tags[..]),
        (Some(id), &["app:x".to_owned()][..])
    );
    assert_eq!(history[1].id, None);
}

#[test]
fn a_name_moves_to_the_newer_image() {
    let s = scratch();
    let old = import(&s.store, &layer(&[("a", "1")]), "app");
    let new = import(&s.store, &layer(&[("a", "2")]), "app");
    assert_eq!(s.store.lookup("app").expect("there"), new);
    assert!(s.store.inspect(&old).expect("still there").summary.repo_tags.is_empty());
    let said =
        load(&s.store, &docker_archive(&[layer(&[("z", "z")])], "app:latest")).expect("load");
    assert!(said[0].contains("already exists, renaming the old one"), "{said:?}");
}

#[test]
fn the_last_name_takes_the_image_along() {
    let s = scratch();
    let id = import(&s.store, &layer(&[("a", "1")]), "one");
    s.store.tag(&id, &name("two:x")).expect("tag");
    let gone = s.store.remove("one", false, true, &|_| Vec::new()).expect("untag");
    assert_eq!(gone, [Deleted::Untagged("one:latest".into())]);
    let gone = s.store.remove("two:x", false, true, &|_| Vec::new()).expect("remove");
    assert_eq!(gone[..2], [Deleted::Untagged("two:x".into()), Deleted::Deleted(id.to_string())]);
    assert_eq!(gone.len(), 3, "and its layer");
    assert!(s.names("layers").is_empty() && s.names("blobs/sha256").is_empty());
}

#[test]
fn an_image_in_use_is_kept_by_dockers_rules() {
    let s = scratch();
    let id = import(&s.store, &layer(&[("a", "1")]), "app");
    let running = |_: &Digest| vec![("c".repeat(64), true)];
    let stopped = |_: &Digest| vec![("c".repeat(64), false)];
    let words = |text: &str, force, users: &dyn Fn(&Digest) -> Vec<(String, bool)>| {
        s.store.remove(text, force, true, users).map_err(|e| (e.kind(), e.to_string()))
    };
    let short = id.short();
    assert_eq!(
        words("app", false, &stopped),
        Err((
            Kind::Conflict,
            format!(
                "conflict: unable to remove repository reference \"app\" (must force) - container cccccccccccc is using its referenced image {short}"
            )
        ))
    );
    assert_eq!(
        words(short, false, &stopped),
        Err((
            Kind::Conflict,
            format!(
                "conflict: unable to delete {short} (must be forced) - image is being used by stopped container cccccccccccc"
            )
        ))
    );
    assert_eq!(
        words(short, true, &running),
        Err((
            Kind::Conflict,
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container cccccccccccc"
            )
        ))
    );
    // Its layers stay, for as long as there is a container.
    let gone = words("app", true, &stopped).expect("forced");
    assert_eq!(gone, [Deleted::Untagged("app:latest".into()), Deleted::Deleted(id.to_string())]);
    assert!(s.store.inspect(&id).is_err());
    s.store.release(&id, &stopped).expect("released");
    assert_eq!(s.store.layers(&id).expect("held").len(), 1);
    s.store.release(&id, &|_| Vec::new()).expect("released");
    assert!(s.store.layers(&id).is_err());
    assert_eq!(s.names("layers"), [""; 0]);
}

#[test]
fn an_id_with_names_in_several_repositories_needs_force() {
    let s = scratch();
    let id = import(&s.store, &layer(&[("a", "1")]), "one");
    s.store.tag(&id, &name("two")).expect("tag");
    let error = s.store.remove(id.short(), false, true, &|_| Vec::new()).expect_err("two names");
    assert!(error.to_string().contains("image is referenced in multiple repositories"), "{error}");
    assert_eq!(s.store.remove(id.short(), true, true, &|_| Vec::new()).expect("forced").len(), 4);
}

#[test]
fn prune_takes_what_nothing_uses() {
    let s = scratch();
    let old = import(&s.store, &layer(&[("a", "old")]), "app");
    let used = import(&s.store, &layer(&[("a", "used")]), "app");
    import(&s.store, &layer(&[("a", "named")]), "app");
    let users = |id: &Digest| if *id == used { vec![("c1".into(), false)] } else { Vec::new() };
    let pruned = s.store.prune(&|image| image.repo_tags.is_empty(), &users).expect("prune");
    assert_eq!(pruned.deleted[0], Deleted::Deleted(old.to_string()));
    assert_eq!(pruned.reclaimed, 3);
    assert_eq!(s.store.list(true).expect("list").len(), 2);
    let pruned = s.store.prune(&|_| true, &users).expect("prune all");
    assert_eq!(pruned.deleted[0], Deleted::Untagged("app:latest".into()));
    assert_eq!(s.store.list(true).expect("list").len(), 1, "the used one stays");
}

#[test]
fn the_built_in_image_is_made_once() {
    let s = scratch();
    let report = "cofferdam/report";
    let id = s.store.builtin(report, b"\x7fELF one").expect("make");
    assert_eq!(s.store.builtin(report, b"\x7fELF one").expect("again"), id);
    assert_ne!(s.store.builtin(report, b"\x7fELF two").expect("another"), id);
    let now = s.store.lookup("cofferdam/report:latest").expect("there");
    let root = s.store.layers(&now).expect("layers").remove(0);
    assert_eq!(std::fs::read(root.join("program")).expect("read"), b"\x7fELF two");
}

#[test]
fn a_full_disk_gives_the_space_back() {
    let dir = tempfile::tempdir().expect("scratch");
    let script = r#"
        set -e
        mount --make-rprivate /
        mount -t tmpfs -o size=8m tmpfs "$1"
        exec "$2" --exact --nocapture on_a_small_disk
    "#;
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().expect("this test"))
        .env("SMALL_DISK", dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("unshare(1)");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && text.contains("it was full"), "{text}");
}

#[test]
fn on_a_small_disk() {
    let Some(dir) = std::env::var_os("SMALL_DISK") else { return };
    let store = Store::open(&Path::new(&dir).join("data"), workers()).expect("open");
    let tar = layer(&[("big", &"x".repeat(32 << 20))]);
    let error = store.import(&Import::default(), &mut &tar[..]).expect_err("does not fit");
    let cause = std::error::Error::source(&error).and_then(std::error::Error::source);
    assert!(cause.is_some_and(|c| c.to_string().contains("No space left")), "{error:?}");
    let small = layer(&[("small", "x")]);
    store.import(&Import::default(), &mut &small[..]).expect("the space was given back");
    println!("it was full");
}

#[test]
fn a_damaged_configuration_hides_no_other_image() {
    let scratch = scratch();
    let import = |name: &str| {
        let wish = Import { reference: Some(name.parse().expect(name)), ..Import::default() };
        scratch.store.import(&wish, &mut &layer(&[(name, "text")])[..]).expect("import")
    };
    let (whole, damaged) = (import("whole"), import("damaged"));
    let document = scratch.data().join("blobs/sha256").join(damaged.hex());
    for text in ["{}", ""] {
        std::fs::write(&document, text).expect("damaged");
        let listed = scratch.store.list(true).expect("listed");
        assert_eq!(listed.iter().map(|image| &image.id).collect::<Vec<_>>(), [&whole]);
        assert_eq!(scratch.store.usage().expect("measured").images.len(), 1);
    }
}

#[test]
fn a_name_stays_with_an_image_that_comes_into_use_just_now() {
    let scratch = scratch();
    let wish = Import { reference: Some("a:1".parse().expect("a name")), ..Import::default() };
    let id = scratch.store.import(&wish, &mut &layer(&[("f", "text")])[..]).expect("import");
    let asked = std::cell::Cell::new(0);
    // Nobody has it when it is chosen; somebody has when it is to go.
    let users = |_: &Digest| {
        asked.set(asked.get() + 1);
        if asked.get() > 1 { vec![("c".repeat(64), false)] } else { Vec::new() }
    };
    scratch.store.prune(&|_| true, &users).expect("pruned");
    assert_eq!(asked.get(), 2);
    assert_eq!(scratch.store.lookup("a:1").expect("still named"), id);
    asked.set(0);
    scratch.store.collect(&id, &users).expect("collected");
    assert_eq!(scratch.store.lookup("a:1").expect("still named"), id);
    // And with nobody both go at once.
    scratch.store.prune(&|_| true, &|_| Vec::new()).expect("pruned");
    assert!(scratch.store.lookup("a:1").is_err());
}

/// Layers are shared by their digest: who undoes the compression of one must
/// have no say in what it is called, nor who unpacks it.
#[test]
fn a_process_that_was_taken_over_gives_no_layer_anothers_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("scratch");
    let (good, evil) = (layer(&[("a", "good")]), layer(&[("a", "evil")]));
    std::fs::write(dir.path().join("evil.tar"), &evil).expect("scratch");
    let (liar, program) = (dir.path().join("liar"), env!("CARGO_BIN_EXE_image-unpacker"));
    let script = format!(
        "#!/bin/sh\n[ $# -gt 0 ] || exit 0\n[ $2 = inflate ] || exec {program} \"$@\"\n\
         exec {program} \"$@\" <{}/evil.tar\n",
        dir.path().display()
    );
    std::fs::write(&liar, script).expect("scratch");
    std::fs::set_permissions(&liar, std::fs::Permissions::from_mode(0o755)).expect("scratch");
    // A process that another test began meanwhile may still have it open.
    let end = std::time::Instant::now() + std::time::Duration::from_mins(2);
    loop {
        match Command::new(&liar).status() {
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                assert!(std::time::Instant::now() < end, "it stays open");
            }
            ran => break assert!(ran.expect("a program").success()),
        }
    }
    let workers = unpacker::Workers::new(liar, 1_900_000_000, dir.path());
    let store = Store::open(&dir.path().join("data"), workers).expect("open");
    let named = |diff_id: &Digest| dir.path().join("data/layers").join(diff_id.hex()).exists();
    let refused = store.ingest(|ingest| ingest.layer(&sha256(&good), &mut &gzip(&good)[..]));
    match refused {
        Err(image::Error::Digest { expected, found }) => {
            assert_eq!((expected, found), (sha256(&good), sha256(&evil)));
        }
        other => panic!("{other:?}"),
    }
    assert!(!named(&sha256(&good)) && !named(&sha256(&evil)));
    import(&store, &gzip(&good), "x");
    assert!(named(&sha256(&evil)) && !named(&sha256(&good)), "it is what it is");
}
