//! What builds come to: drafts, steps, and what outlives what. Needs root.

use image::{Draft, Import, Kept, Making, Step, Store};
use snapshot::{IdRange, Root};
use spec::{Digest, Reference};
use std::path::{Path, PathBuf};

/// Who takes archives apart for the tests.
fn workers() -> unpacker::Workers {
    unpacker::Workers::new(env!("CARGO_BIN_EXE_image-unpacker"), 1_900_000_000, "a test".as_ref())
}

struct Scratch {
    dir: tempfile::TempDir,
    store: Store,
    base: Digest,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("scratch");
        let store = Store::open(&dir.path().join("data"), workers()).expect("open");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        tar.append_data(&mut header, "base", &b"base"[..]).expect("memory");
        let tar = tar.into_inner().expect("memory");
        let wish = Import { reference: Some(name("base")), ..Import::default() };
        let base = store.import(&wish, &mut &tar[..]).expect("import");
        Self { dir, store, base }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn count(&self, dir: &str) -> usize {
        std::fs::read_dir(self.data().join(dir)).expect("list").count()
    }

    /// A state one layer above the base.
    fn draft(&self, making: &Making<'_>, text: &str) -> Draft {
        let base = making.image(&self.base).expect("the base");
        let root = Root::prepare(&self.data(), text, IdRange::HOST).expect("root");
        let mount = root.mount(&making.dirs(&base)).expect("mount");
        write(&mount, text);
        drop(mount);
        let layer = making.pack(&root).expect("packed").expect("not empty");
        Root::remove(&self.data(), text).expect("removed");
        let mut config = base.config.clone();
        text.clone_into(&mut config.config.user);
        making.draft(config, [base.layers, vec![layer]].concat()).expect("a draft")
    }

    fn again(self) -> Self {
        let Self { dir, store, base } = self;
        drop(store);
        let store = Store::open(&dir.path().join("data"), workers()).expect("open");
        Self { dir, store, base }
    }
}

fn write(root: &std::os::fd::OwnedFd, text: &str) {
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}/new", root.as_raw_fd());
    std::fs::write(Path::new(&path), text).expect("write");
}

fn name(text: &str) -> Reference {
    text.parse::<Reference>().expect(text).or_latest()
}

fn step(key: &str, draft: &Draft) -> Step {
    Step {
        key: key.into(),
        parent: String::new(),
        id: draft.id.clone(),
        what: "RUN x".into(),
        size: 1,
        created: 1,
        used: 1,
        uses: 0,
    }
}

#[test]
fn what_is_not_kept_goes_with_its_build() {
    let scratch = Scratch::new();
    let before = (scratch.count("layers"), scratch.count("blobs/sha256"));
    let making = scratch.store.making();
    let draft = scratch.draft(&making, "a");
    assert_eq!(scratch.store.layers(&draft.id).expect("a container can have it").len(), 2);
    drop(making);
    assert!(scratch.store.layers(&draft.id).is_err());
    assert_eq!((scratch.count("layers"), scratch.count("blobs/sha256")), before);
}

#[test]
fn a_step_is_known_by_its_key_even_without_images_and_by_the_next_store() {
    let scratch = Scratch::new();
    let making = scratch.store.making();
    let draft = scratch.draft(&making, "a");
    let names = [name("made")];
    let kept = Kept { draft: &draft, parent: Some(scratch.base.clone()), names: &names };
    making.keep(&[(step("k", &draft), draft.clone())], &[], &[kept]).expect("kept");
    drop(making);
    assert_eq!(scratch.store.lookup("made").expect("named"), draft.id);
    for image in ["made", "base"] {
        scratch.store.remove(image, true, true, &|_| Vec::new()).expect("removed");
    }
    let scratch = scratch.again();
    assert!(scratch.store.list(true).expect("list").is_empty());
    let making = scratch.store.making();
    assert_eq!(making.recall("k").expect("read").expect("known"), draft);
    assert_eq!(making.recall("other").expect("read"), None);
    making.keep(&[], &["k".into()], &[]).expect("kept");
    drop(making);
    assert_eq!(scratch.store.steps().expect("read")[0].uses, 1);
    // Until it is forgotten: then nothing is left.
    assert!(scratch.store.forget_steps(&["k".into()]).expect("forgotten") > 0);
    assert_eq!((scratch.count("layers"), scratch.count("blobs/sha256")), (0, 0));
    assert_eq!(scratch.store.making().recall("k").expect("read"), None);
}

#[test]
fn an_image_keeps_what_a_forgotten_step_had() {
    let scratch = Scratch::new();
    let making = scratch.store.making();
    let draft = scratch.draft(&making, "a");
    let names = [name("made")];
    let kept = Kept { draft: &draft, parent: None, names: &names };
    making.keep(&[(step("k", &draft), draft.clone())], &[], &[kept]).expect("kept");
    drop(making);
    assert_eq!(scratch.store.forget_steps(&["k".into()]).expect("forgotten"), 0);
    let scratch = scratch.again();
    assert_eq!(scratch.store.layers(&draft.id).expect("whole").len(), 2);
    assert_eq!(scratch.store.inspect(&draft.id).expect("whole").config, draft.config);
}

#[test]
fn a_step_that_a_build_relies_on_can_be_forgotten_under_it() {
    let scratch = Scratch::new();
    let making = scratch.store.making();
    let draft = scratch.draft(&making, "a");
    making.keep(&[(step("k", &draft), draft.clone())], &[], &[]).expect("kept");
    drop(making);
    let making = scratch.store.making();
    let known = making.recall("k").expect("read").expect("known");
    scratch.store.forget_steps(&["k".into()]).expect("forgotten");
    let names = [name("made")];
    let kept = Kept { draft: &known, parent: None, names: &names };
    making.keep(&[], &[], &[kept]).expect("kept");
    drop(making);
    let scratch = scratch.again();
    assert_eq!(scratch.store.layers(&draft.id).expect("whole").len(), 2);
    scratch.store.inspect(&draft.id).expect("its configuration, too");
}

fn nobody(_: &Digest) -> Vec<(String, bool)> {
    Vec::new()
}

fn findings(scratch: &Scratch, check: image::Check) -> Vec<image::Finding> {
    scratch.store.check(check, &nobody).expect("looked at").findings
}

#[test]
fn a_step_made_anew_leaves_nothing_of_what_it_came_to_before() {
    let scratch = Scratch::new();
    let keep = |text: &str, key: &str| {
        let making = scratch.store.making();
        let draft = scratch.draft(&making, text);
        making.keep(&[(step(key, &draft), draft.clone())], &[], &[]).expect("kept");
        draft
    };
    let known = |key: &str| scratch.store.making().recall(key).expect("read");
    keep("a", "k");
    let one = (scratch.count("layers"), scratch.count("blobs/sha256"));
    let second = keep("b", "k");
    assert_eq!((scratch.count("layers"), scratch.count("blobs/sha256")), one);
    assert_eq!(findings(&scratch, image::Check::default()), []);
    // What another key stands for stays.
    assert_eq!(known("k"), Some(second));
    let other = keep("b", "other");
    keep("c", "k");
    assert_eq!(known("other"), Some(other));
    let scratch = scratch.again();
    assert_eq!(findings(&scratch, image::Check::default()), []);
}

#[test]
fn a_document_stays_as_long_as_a_build_has_it() {
    let scratch = Scratch::new();
    let making = scratch.store.making();
    let draft = scratch.draft(&making, "a");
    let names = [name("made")];
    let kept = Kept { draft: &draft, parent: None, names: &names };
    making.keep(&[(step("k", &draft), draft.clone())], &[], &[kept]).expect("kept");
    drop(making);
    let document = scratch.data().join("blobs/sha256").join(draft.id.hex());
    let making = scratch.store.making();
    making.recall("k").expect("read").expect("known");
    scratch.store.forget_steps(&["k".into()]).expect("forgotten");
    scratch.store.remove("made", true, true, &nobody).expect("removed");
    assert!(document.exists(), "removed under a build that goes on from it");
    drop(making);
    assert!(!document.exists(), "nobody has it any more");
}

const MENDING: image::Check = image::Check { repair: true, content: false };

#[test]
fn what_a_build_under_way_has_is_no_stray() {
    let scratch = Scratch::new();
    let making = scratch.store.making();
    let draft = scratch.draft(&making, "a");
    assert_eq!(findings(&scratch, MENDING), []);
    let names = [name("made")];
    let kept = Kept { draft: &draft, parent: None, names: &names };
    making.keep(&[], &[], &[kept]).expect("kept");
    drop(making);
    assert_eq!(scratch.store.inspect(&draft.id).expect("whole").config, draft.config);
}

#[test]
fn a_step_on_a_damaged_layer_is_told_and_not_gone_on_from() {
    let scratch = Scratch::new();
    let keep = |text: &str, named: bool| {
        let making = scratch.store.making();
        let draft = scratch.draft(&making, text);
        let names = [name(text)];
        let kept = Kept { draft: &draft, parent: None, names: &names };
        let images = if named { vec![kept] } else { Vec::new() };
        making.keep(&[(step(text, &draft), draft.clone())], &[], &images).expect("kept");
        draft.layers.last().expect("its own").diff_id().clone()
    };
    for (text, named) in [("alone", false), ("shared", true)] {
        let layer = keep(text, named);
        let dir = scratch.data().join("layers").join(layer.hex());
        std::fs::remove_file(dir.join("recipe.zst")).expect("damaged");
        let told = findings(&scratch, image::Check::default());
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].kind, if named { "image" } else { "layer" });
        assert!(matches!(told[0].mend, image::Mend::Would(_)), "{told:?}");
        let mended = findings(&scratch, MENDING);
        assert!(matches!(mended[0].mend, image::Mend::Done(_)), "{mended:?}");
        assert_eq!(scratch.store.making().recall(text).expect("read"), None, "{text}");
        assert!(!dir.exists(), "{text}");
        assert_eq!(findings(&scratch, image::Check::default()), []);
    }
}
