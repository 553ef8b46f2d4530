//! What refers to an image is found where a registry lists it, and where its
//! users do.

use crate::{
    Scratch,
    fake::{Fake, Fault},
    pull::app,
    scratch,
};
use registry::{Error, Kind, Registry, Settings};
use serde_json::{Value, json};
use spec::image::{Index, media};

const SIGNATURE: &str = "application/vnd.example.signature";
const BILL: &str = "application/vnd.example.bill";

impl Scratch {
    fn referrers(&self, name: &str, kind: &str) -> Result<Index, Error> {
        self.registry.referrers(&self.fake.name(name), kind, None)
    }

    /// Something that refers to `app:1`, as a list describes it.
    fn attached(&self, kind: &str) -> Value {
        let empty = self.fake.blob("application/vnd.oci.empty.v1+json", b"{}");
        let subject = self.subject();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "artifactType": kind,
            "config": empty, "layers": [empty],
            "subject": {"mediaType": media::OCI_MANIFEST, "digest": subject, "size": 1},
        });
        let mut entry = self.fake.document(kind, media::OCI_MANIFEST, &manifest);
        entry["artifactType"] = kind.into();
        entry["annotations"] = json!({"made": "for a test"});
        entry
    }

    fn subject(&self) -> String {
        let found = self.registry.look(&self.fake.name("app:1"), None).expect("there");
        found.digest.to_string()
    }
}

fn index(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries})
}

fn kinds(index: &Index) -> Vec<&str> {
    index.manifests.iter().filter_map(|entry| entry.artifact_type.as_deref()).collect()
}

#[test]
fn what_a_registry_lists_is_listed_page_by_page() {
    let s = scratch();
    app(&s.fake);
    let (signature, bill) = (s.attached(SIGNATURE), s.attached(BILL));
    let subject = s.subject();
    let first = index(std::slice::from_ref(&signature)).to_string();
    let second = index(&[bill]).to_string();
    let path = format!("/referrers/{subject}");
    let pages = |s: &Scratch| {
        let link = "Link: </v2/app/referrers/x?page=2>; rel=\"next\"";
        s.fake.fault(&path, &[Fault::Page(first.clone(), link), Fault::Page(second.clone(), "")]);
    };
    pages(&s);
    let found = s.referrers("app:1", "").expect("listed");
    assert_eq!(kinds(&found), [SIGNATURE, BILL]);
    assert_eq!(found.manifests[0].annotations["made"], "for a test");
    assert_eq!(s.fake.seen("?page=2").len(), 1, "{:?}", s.fake.seen(""));
    pages(&s);
    let found = s.referrers("app:1", BILL).expect("listed");
    assert_eq!(kinds(&found), [BILL], "whether or not the registry picks them");
    // By its digest alone nothing is asked before.
    pages(&s);
    let before = s.fake.seen("/manifests/").len();
    s.referrers(&format!("app@{subject}"), "").expect("listed");
    assert_eq!(s.fake.seen("/manifests/").len(), before);
    // And what is listed can be had.
    let name = format!("app@{}", signature["digest"].as_str().expect("text"));
    let look = s.registry.look(&s.fake.name(&name), None).expect("there");
    assert!(String::from_utf8_lossy(&look.bytes).contains(&subject));
}

#[test]
fn where_a_registry_keeps_no_list_its_users_do() {
    let s = scratch();
    app(&s.fake);
    assert_eq!(s.referrers("app:1", "").expect("none").manifests, []);
    let entries = [s.attached(SIGNATURE), s.attached(BILL)];
    let tag = s.subject().replace(':', "-");
    s.fake.document(&tag, media::OCI_INDEX, &index(&entries));
    assert_eq!(kinds(&s.referrers("app:1", "").expect("listed")), [SIGNATURE, BILL]);
    assert_eq!(kinds(&s.referrers("app:1", SIGNATURE).expect("listed")), [SIGNATURE]);
    // The tag may mean something else by chance.
    let manifest = json!({"schemaVersion": 2, "config": entries[0], "layers": []});
    s.fake.document(&tag, media::OCI_MANIFEST, &manifest);
    let error = s.referrers("app:1", "").expect_err("no list");
    assert!(error.to_string().contains("no list of what refers"), "{error}");
}

#[test]
fn a_mirror_that_knows_of_nothing_has_not_the_last_word() {
    let mut s = scratch();
    let empty = Fake::new();
    app(&s.fake);
    let entry = s.attached(SIGNATURE);
    let subject = s.subject();
    let page = index(&[entry]).to_string();
    s.fake.fault(&format!("/referrers/{subject}"), &[Fault::Page(page, "")]);
    let mirrors = [&empty, &s.fake].map(|fake| format!("http://{}", fake.addr)).into();
    s.registry = Registry::new(Settings { mirrors, ..Settings::default() });
    let reference = format!("busybox@{subject}").parse().expect("a name");
    let found = s.registry.referrers(&reference, "", None).expect("listed");
    assert_eq!(kinds(&found), [SIGNATURE]);
    assert!(!empty.seen("/referrers/").is_empty(), "it was asked first");
}

#[test]
fn a_list_has_a_bound_in_bytes_over_all_its_pages() {
    let s = scratch();
    app(&s.fake);
    let mut entry = s.attached(SIGNATURE);
    entry["annotations"] = json!({"made": "x".repeat(3 << 20)});
    let link = "Link: </x?more>; rel=\"next\"";
    let page = index(&[entry]).to_string();
    s.fake.fault("/referrers/", &vec![Fault::Page(page, link); 8]);
    let error = s.referrers("app:1", "").expect_err("too much");
    assert!(error.to_string().contains("of more than 16777216 bytes"), "{error}");
}

#[test]
fn a_list_that_is_none_is_refused() {
    let s = scratch();
    app(&s.fake);
    let missing = s.referrers("app:2", "").expect_err("no such image");
    assert_eq!(missing.kind(), Kind::NotFound);
    let manifest = json!({"schemaVersion": 2, "config": {}, "layers": []}).to_string();
    for (body, words) in [
        ("no json".to_owned(), "malformed list"),
        (manifest, "malformed list"),
        (
            r#"{"schemaVersion":2,"manifests":[{"digest":"../../etc","size":1}]}"#.into(),
            "malformed",
        ),
    ] {
        s.fake.fault("/referrers/", &[Fault::Page(body, "")]);
        let error = s.referrers("app:1", "").expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
    let link = "Link: </x?again>; rel=\"next\"";
    s.fake.fault("/referrers/", &vec![Fault::Page(index(&[]).to_string(), link); 200]);
    let error = s.referrers("app:1", "").expect_err("without end");
    assert!(error.to_string().contains("more than 100 pages"), "{error}");
}
