//! What a registry does to us on purpose, or to others through us.

use crate::{
    fake::{Fake, Fault, digest},
    noise,
    pull::{app, gzip, manifest},
    scratch, tar,
};
use registry::{Credentials, Kind, Pull, Registry, Settings};
use serde_json::json;
use spec::image::media;
use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

/// Longest wait of these tests.
const PATIENCE: Duration = Duration::from_secs(30);

fn until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "it is waited for too long");
        std::thread::yield_now();
    }
}

#[test]
fn a_configuration_is_of_bounded_size_even_to_be_looked_at() {
    let s = scratch();
    let config = s.fake.blob(media::OCI_CONFIG, &noise((8 << 20) + 1));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config, "layers": [],
    });
    s.fake.document("1", media::OCI_MANIFEST, &manifest);
    let error = s.registry.look(&s.fake.name("app:1"), None).expect_err("too large");
    assert!(error.to_string().contains("more than 8388608 bytes"), "{error}");
}

#[test]
fn a_registry_cannot_call_another_blob_a_layer_that_is_here() {
    let s = scratch();
    let plain = tar(&[("secret", &noise(1000))]);
    let mine = s.store.import(&image::Import::default(), &mut &plain[..]).expect("import");
    let layer = digest(&plain);
    // Its image has that layer, it says, and holds it as something else.
    let evil = gzip(&tar(&[("evil", b"x")]));
    let layers = [(&*plain, media::OCI_LAYER_GZIP, evil.clone())];
    s.fake.document("1", media::OCI_MANIFEST, &manifest(&s.fake, "amd64", &layers));
    s.pulled("evil:1");
    assert_eq!(s.store.blobs(&layer).expect("read"), [], "nobody has read that blob");
    // What is pushed is the layer, and what comes back.
    let reference = s.fake.name("app:2");
    let wish = registry::Push { reference, id: mine.clone(), credentials: None };
    s.registry.push(&s.store, &wish, &mut |_| Ok(())).expect("push");
    let asked = s.fake.seen(digest(&evil).as_str());
    assert!(asked.is_empty(), "it was asked for: {asked:?}");
    assert_eq!(s.pulled("app:2").id, mine);
    // A blob that was read is known, in whichever repository it is.
    let other = tar(&[("other", b"x")]);
    let layers = [(&*other, media::OCI_LAYER_GZIP, gzip(&other))];
    s.fake.document("3", media::OCI_MANIFEST, &manifest(&s.fake, "amd64", &layers));
    for (name, known) in [("one:3", 1), ("two:3", 2)] {
        s.pulled(name);
        assert_eq!(s.store.blobs(&digest(&other)).expect("read").len(), known);
    }
}

#[test]
fn a_length_beyond_all_numbers_is_refused() {
    let s = scratch();
    let packed = app(&s.fake);
    s.fake.fault(digest(&packed).as_str(), &[Fault::Cut(100_000), Fault::Endless]);
    let error = s.refused("app:1").to_string();
    assert!(error.contains("bytes where its manifest says"), "{error}");
}

#[test]
fn the_next_page_of_tags_may_be_called_anything() {
    const NEXT: &str = r#"Link: </v2/app/tags/list?last=http://x>; rel="next""#;
    let s = scratch();
    s.fake.fault("/tags/list", &[Fault::Status(200, NEXT)]);
    s.fake.document("x", "application/json", &json!({"tags": ["b"]}));
    let tags = s.registry.tags(&s.fake.name("app"), None);
    assert_eq!(tags.expect("two pages"), ["b"]);
}

#[test]
fn a_list_of_tags_is_of_bounded_length() {
    const NEXT: &str = r#"Link: </v2/app/tags/list?last=list>; rel="next""#;
    let s = scratch();
    let many: Vec<String> = (0..7000).map(|n| format!("{n:0>128}")).collect();
    let page = json!({"tags": many});
    s.fake.document("list", "application/json", &page);
    s.fake.document("list?last=list", "application/json", &page);
    s.fake.fault("/tags/list", &vec![Fault::Header(NEXT); 40]);
    let error = s.registry.tags(&s.fake.name("app"), None).expect_err("too long");
    assert!(error.to_string().contains("list of tags of more than"), "{error}");
}

#[test]
fn a_registry_cannot_hold_up_the_layers_of_another() {
    let s = scratch();
    let other = Fake::new();
    let packed = app(&s.fake);
    app(&other);
    let (release, held) = mpsc::channel();
    other.fault(digest(&packed).as_str(), &[Fault::Hold(Arc::new(Mutex::new(held)))]);
    std::thread::scope(|scope| {
        let slow =
            scope.spawn(|| s.pull(&Pull { reference: other.name("app:1"), ..s.wish("app:1") }).0);
        until(|| other.seen("/blobs/").len() == 2 || slow.is_finished());
        assert!(!slow.is_finished(), "it is held");
        let (done, pulled) = mpsc::channel();
        let s = &s;
        scope.spawn(move || done.send(s.pull(&s.wish("app:1")).0.is_ok()));
        let pulled = pulled.recv_timeout(PATIENCE);
        drop(release);
        assert_eq!(pulled, Ok(true), "it waits for the other registry");
        slow.join().expect("no panic").expect("in the end");
    });
}

#[test]
fn a_client_that_does_not_listen_holds_nobody_up() {
    let s = scratch();
    let tars: Vec<_> = (0..40).map(|n| tar(&[(&format!("f{n}"), b"x")])).collect();
    let layers: Vec<_> =
        tars.iter().map(|tar| (&**tar, media::OCI_LAYER_GZIP, gzip(tar))).collect();
    s.fake.document("1", media::OCI_MANIFEST, &manifest(&s.fake, "amd64", &layers));
    let (release, held) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let s = &s;
        let deaf = scope.spawn(move || {
            s.registry.pull(&s.store, &s.wish("app:1"), &mut |_| {
                held.recv().expect_err("nothing is sent");
                Ok(())
            })
        });
        until(|| s.fake.seen("/blobs/").len() > 1 || deaf.is_finished());
        assert!(!deaf.is_finished(), "nobody listens");
        let (done, pulled) = mpsc::channel();
        scope.spawn(move || done.send(s.pull(&s.wish("app:1")).0.is_ok()));
        let pulled = pulled.recv_timeout(PATIENCE);
        drop(release);
        assert_eq!(pulled, Ok(true), "it waits for the client of the other");
        deaf.join().expect("no panic").expect("in the end");
    });
}

#[test]
fn a_token_for_tokens_follows_no_redirect() {
    let s = scratch();
    let other = Fake::new();
    app(&s.fake);
    s.fake.wants_token("sesame");
    let location: &'static str = format!("Location: http://{}/token", other.addr).leak();
    s.fake.fault("POST /token", &[Fault::Status(307, location)]);
    let known = Credentials { identitytoken: "secret".into(), ..Credentials::default() };
    let error =
        s.pull(&Pull { credentials: Some(known), ..s.wish("app:1") }).0.expect_err("no token");
    assert_eq!(s.fake.seen("POST /token").len(), 1);
    assert!(other.seen("").is_empty(), "the secret went to {:?}", other.seen(""));
    assert!(error.to_string().contains("307"), "{error}");
}

#[test]
fn a_mirror_that_gives_something_else_is_passed_by() {
    let mut s = scratch();
    let (broken, lying, half) = (Fake::new(), Fake::new(), Fake::new());
    app(&s.fake);
    let packed = app(&half);
    app(&lying);
    broken.document("1", "text/html", &json!("<html>"));
    lying.fault("/manifests/1", &[Fault::Lie]);
    half.fault(digest(&packed).as_str(), &[Fault::Status(404, "X: y")]);
    let mirrors =
        [&broken, &lying, &half, &s.fake].map(|fake| format!("http://{}", fake.addr)).into();
    s.registry = Registry::new(Settings { mirrors, ..Settings::default() });
    let reference = "busybox:1".parse().expect("a name");
    s.pull(&Pull { reference, platform: None, credentials: None }).0.expect("pull");
    assert_eq!(half.seen("/blobs/").len(), 2);
    assert!(s.store.lookup("busybox:1").is_ok());
}

#[test]
fn a_registrys_words_are_one_short_line() {
    let s = scratch();
    let words = format!("no\n\u{1b}[31mred{}", "x".repeat(100_000));
    let body = json!({"errors": [{"code": "UNAVAILABLE", "message": words}]}).to_string();
    s.fake.fault("/manifests/none", &[Fault::Said(400, body)]);
    let error = s.refused("app:none");
    assert_eq!(error.kind(), Kind::Host);
    let error = error.to_string();
    assert!(error.len() < 1000 && !error.contains(char::is_control), "{error:?}");
}
