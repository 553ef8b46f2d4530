//! Images of machines that are not like this one: made, kept, and refused in
//! words where they cannot run.

use promises::{
    Engine,
    kitchen::{BOTH, Context},
};

/// The beginning of a program for a machine that nobody emulates by default:
/// an ELF header of 64 bits, the least significant byte first, of machine 22
/// (S/390) as little-endian machines would have it.
fn program() -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16] = 2;
    elf[18] = 22;
    elf
}

/// Imports `far`, whose shell is of another machine.
fn import(engine: &Engine) {
    use std::os::unix::fs::PermissionsExt;
    let root = engine.scratch().join("far");
    std::fs::create_dir_all(root.join("bin")).expect("scratch");
    let shell = root.join("bin/sh");
    std::fs::write(&shell, program()).expect("scratch");
    std::fs::set_permissions(&shell, PermissionsExt::from_mode(0o755)).expect("scratch");
    let tar = engine.scratch().join("far.tar").display().to_string();
    engine.host().says(&format!("tar -C {} -cf {tar} .", root.display()));
    for cli in BOTH {
        engine.says_as(cli, &["import", "--platform", "linux/s390x", &tar, "far"]);
        assert_eq!(platform(engine, "far"), "linux/s390x", "{cli:?}");
    }
}

fn platform(engine: &Engine, image: &str) -> String {
    engine.says(&["image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image])
}

#[test]
fn an_image_of_another_machine_is_made_and_its_programs_are_told_of() {
    let engine = Engine::new();
    import(&engine);
    let context = Context::new(&engine, "c");
    let why =
        "exec /bin/sh: exec format error: the image is for linux/s390x, and this host (linux/";
    for cli in BOTH {
        context.dockerfile("FROM far\nCOPY Dockerfile /f\nENV A=b\n");
        for words in [&["-t", "x"][..], &["-t", "x", "--platform", "linux/s390x"]] {
            context.builds(cli, words);
            assert_eq!(platform(&engine, "x"), "linux/s390x", "{cli:?}");
        }
        context.dockerfile("FROM --platform=linux/s390x far\nRUN true\n");
        let said = context.fails(cli, &["--force-rm"]);
        assert!(said.contains(why) && said.contains("Dockerfile:2"), "{cli:?} {said}");
        assert_eq!(engine.says(&["ps", "-aq"]), "", "{cli:?}");
    }
    engine.leaves_nothing();
}

#[test]
fn a_container_is_of_the_platform_that_is_asked_for() {
    let engine = Engine::new();
    import(&engine);
    let why =
        "exec /bin/sh: exec format error: the image is for linux/s390x, and this host (linux/";
    for cli in BOTH {
        let told = engine.run_as(cli, &["create", "--name", "a", "far", "/bin/sh"]);
        let warning = "The requested image's platform (linux/s390x) does not match the detected \
                       host platform (linux/";
        assert!(told.code == 0 && told.err.contains(warning), "{cli:?} {told:?}");
        let told = engine.run_as(cli, &["start", "a"]);
        assert!(told.code == 1 && told.err.contains(why), "{cli:?} {told:?}");
        assert!(engine.inspect("a", "{{.State.Error}}").contains(why), "{cli:?}");
        engine.says(&["rm", "a"]);
        // Asked for, it is no surprise.
        for platform in ["linux/s390x", "s390x"] {
            let words = ["create", "--name", "a", "--platform", platform, "far", "/bin/sh"];
            let told = engine.run_as(cli, &words);
            assert!(told.code == 0 && told.err.is_empty(), "{cli:?} {told:?}");
            engine.says(&["rm", "a"]);
        }
        // No other is taken for it.
        let words = ["create", "--pull", "never", "--platform", "linux/ppc64le", "far", "/bin/sh"];
        let told = engine.run_as(cli, &words);
        let other = "image with reference far was found but does not match the specified platform: \
                     wanted linux/ppc64le, actual: linux/s390x";
        assert!(told.code != 0 && told.err.contains(other), "{cli:?} {told:?}");
    }
    let wrong = engine.run(&["create", "--platform", "a/b/c/d", "far"]);
    assert!(wrong.code == 1 && wrong.err.contains("OS[/ARCHITECTURE[/VARIANT]]"), "{wrong:?}");
    engine.leaves_nothing();
}
