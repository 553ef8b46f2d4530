//! What is pushed is there whole and right, and no more is sent than must be.

use crate::{Scratch, fake::Fault, fake::digest, noise, pull::manifest, scratch, tar};
use image::Import;
use registry::{Error, Push, Pushed};
use spec::{Digest, image::media};

impl Scratch {
    /// An image of one big layer.
    fn image(&self) -> Digest {
        let tar = tar(&[("big", &noise(600_000))]);
        self.store.import(&Import::default(), &mut &tar[..]).expect("import")
    }

    fn push(&self, id: &Digest, name: &str) -> Result<Pushed, Error> {
        let wish = Push { reference: self.fake.name(name), id: id.clone(), credentials: None };
        self.registry.push(&self.store, &wish, &mut |_| Ok(()))
    }
}

#[test]
fn a_push_that_fails_half_way_is_begun_anew() {
    let s = scratch();
    let id = s.image();
    s.fake.fault("PATCH", &[Fault::Status(503, "")]);
    s.fake.fault("PUT /v2/x/blobs", &[Fault::Status(502, "")]);
    let pushed = s.push(&id, "app:1").expect("push");
    assert_eq!(s.fake.seen("PATCH").len(), 3, "each time from the beginning, to a new place");
    s.store.remove(id.as_str(), true, true, &|_| Vec::new()).expect("remove");
    let pulled = s.pulled("app:1");
    assert_eq!((pulled.id, pulled.digest), (id, pushed.digest));
}

#[test]
fn a_registry_that_stays_broken_is_given_up() {
    let s = scratch();
    let id = s.image();
    s.fake.fault("PATCH", &vec![Fault::Status(500, ""); 20]);
    let error = s.push(&id, "app:1").expect_err("broken");
    assert!(error.to_string().contains("answered 500"), "{error}");
    assert!(s.fake.seen("PATCH").len() < 20);
}

#[test]
fn what_is_there_is_not_sent_again() {
    let s = scratch();
    let id = s.image();
    let first = s.push(&id, "app:1").expect("push");
    let sent = s.fake.seen("PATCH").len() + s.fake.seen("PUT").len();
    assert_eq!(s.push(&id, "app:1").expect("again"), first);
    assert_eq!(s.fake.seen("PATCH").len() + s.fake.seen("PUT").len(), sent + 1, "its name alone");
}

#[test]
fn what_came_from_a_registry_goes_back_as_it_came() {
    let s = scratch();
    let tar = tar(&[("a", b"x")]);
    let layers = [(&*tar, media::OCI_LAYER, tar.clone())];
    let mut document = manifest(&s.fake, "amd64", &layers);
    document["annotations"] = serde_json::json!({"k": "v"});
    let kept = s.fake.document("1", media::OCI_MANIFEST, &document);
    let pulled = s.pulled("app:1");
    let pushed = s.push(&pulled.id, "other:2").expect("push");
    assert_eq!(pushed.digest.as_str(), kept["digest"]);
    assert!(s.fake.seen("PATCH").is_empty());
}

#[test]
fn a_registry_that_took_something_else_is_not_believed() {
    let s = scratch();
    let id = s.image();
    s.fake.fault("PUT /v2/app/manifests", &[Fault::Lie]);
    let error = s.push(&id, "app:1").expect_err("a lie");
    let lie = digest(b"a lie");
    assert!(matches!(&error, Error::Digest { found, .. } if *found == lie), "{error}");
    let names = s.store.inspect(&id).expect("there").summary.repo_digests;
    assert!(names.is_empty(), "{names:?}");
}
