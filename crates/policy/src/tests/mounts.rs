//! `-v`, `--mount`, `--tmpfs`, `--read-only`, `--shm-size`.

use super::*;
use crate::mounts::{Below, Relabel, Source};
use spec::docker::{BindOptions, Empty, Mount, TmpfsOptions, VolumeOptions};

fn binds(list: &[&str]) -> Ask {
    Ask::with(|config| config.binds = Some(strings(list)))
}

fn entry(mount: Mount) -> Ask {
    Ask::with(|config| config.mounts = Some(vec![mount]))
}

fn options(sandbox: &Sandbox, destination: &str) -> String {
    mount(sandbox, destination).options.join(",")
}

#[test]
fn a_bind_mount_is_private_without_devices_and_in_the_containers_ids() {
    let sandbox = binds(&["/srv/data:/data"]).sandbox();
    let mount = mount(&sandbox, "/data");
    assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("bind", "/srv/data"));
    assert_eq!(mount.options.join(","), "rbind,nodev,rprivate");
    assert_eq!(mount.uid_mappings, linux(&sandbox).uid_mappings);
    assert_eq!(mount.gid_mappings, linux(&sandbox).gid_mappings);
    assert_eq!(sandbox.weakened, [""; 0]);
}

#[test]
fn read_only_reaches_the_mounts_below() {
    assert_eq!(options(&binds(&["/a:/b:ro"]).sandbox(), "/b"), "rbind,rro,nodev,rprivate");
}

#[test]
fn words_of_a_mode_are_understood() {
    let ask = binds(&["/a:/b:ro,Z,rslave", "data:/c:nocopy,z", "/d:/e:cached"]);
    let points = points(&ask.config, &ask.host_config).expect("good words");
    assert_eq!((points[0].relabel, points[0].propagation.as_str()), (Relabel::Private, "rslave"));
    assert!(matches!(&points[1].source, Source::Volume(v) if v.no_copy && v.name == "data"));
    assert_eq!(linux(&ask.sandbox()).rootfs_propagation, "rslave");
}

#[test]
fn wrong_words_are_refused_in_dockers() {
    for (bind, words) in [
        ("/a:/b:rw,ro", "invalid mode: rw,ro"),
        ("/a:/b:fast", "invalid mode: fast"),
        (
            "data:/b:rslave",
            "invalid volume specification: 'data:/b:rslave': invalid mount config for type \
             \"volume\": field BindOptions must not be specified",
        ),
        (
            "/a:/b:nocopy",
            "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \
             \"bind\": field VolumeOptions must not be specified",
        ),
        ("/a:/b:ro,", "invalid mode: ro,"),
        ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
        (":/b", "invalid volume specification: ':/b'"),
        ("/a:", "invalid volume specification: '/a:'"),
        ("/a:ro", "invalid volume specification: '/a:ro'"),
        (
            "/a:b",
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": \
             invalid mount path: 'b' mount path must be absolute",
        ),
        (
            "/a:/b/..",
            "invalid volume specification: '/a:/b/..': invalid mount config for type \"bind\": \
             invalid specification: destination can't be '/'",
        ),
    ] {
        assert_eq!(binds(&[bind]).words(), words, "{bind}");
    }
    for name in ["../etc", "a/b", "x", ".hidden", "a b"] {
        let words = binds(&[&format!("{name}:/b")]).words();
        assert!(words.contains("includes invalid characters for a local volume name"), "{name}");
    }
}

#[test]
fn two_at_one_place_are_refused() {
    assert_eq!(binds(&["/a:/x", "/b:/y/../x"]).words(), "Duplicate mount point: /x");
    let mut ask = binds(&["/a:/x"]);
    ask.host_config.tmpfs = Some([("/x/".to_owned(), String::new())].into());
    assert_eq!(ask.words(), "Duplicate mount point: /x");
}

#[test]
fn what_was_spelt_out_outranks_the_images_volume() {
    let mut ask = binds(&["/a:/data"]);
    ask.config.volumes =
        Some([("/data".to_owned(), Empty {}), ("/other".to_owned(), Empty {})].into());
    let points = points(&ask.config, &ask.host_config).expect("good words");
    assert_eq!(points.len(), 2);
    assert!(matches!(&points[1].source, Source::Volume(volume) if volume.name.is_empty()));
}

#[test]
fn outer_mounts_come_first() {
    let sandbox = binds(&["/a:/x/y/z", "/b:/x", "/c:/x/y"]).sandbox();
    let order: Vec<&str> = sandbox
        .config
        .mounts
        .iter()
        .map(|mount| mount.destination.as_str())
        .filter(|destination| destination.starts_with("/x"))
        .collect();
    assert_eq!(order, ["/x", "/x/y", "/x/y/z"]);
}

#[test]
fn kernel_file_systems_are_never_id_mapped() {
    let sandbox = binds(&["/sys/class:/s:ro", "/dev/bus:/bus", "/proc/1:/p:ro"]).sandbox();
    for destination in ["/s", "/bus", "/p"] {
        assert!(mount(&sandbox, destination).uid_mappings.is_empty(), "{destination}");
    }
    assert!(!options(&sandbox, "/bus").contains("nodev"), "devices are what was asked for");
}

#[test]
fn a_mount_over_dev_takes_the_place_of_what_is_there() {
    let sandbox = binds(&["/dev:/dev"]).sandbox();
    let under: Vec<&oci::Mount> =
        sandbox.config.mounts.iter().filter(|m| m.destination.starts_with("/dev")).collect();
    assert_eq!(under.len(), 1);
    assert_eq!(under[0].source, "/dev");
}

#[test]
fn the_users_hosts_file_outranks_the_engines() {
    let sandbox = binds(&["/my/hosts:/etc/hosts"]).sandbox();
    assert_eq!(mount(&sandbox, "/etc/hosts").source, "/my/hosts");
    assert_eq!(sandbox.config.mounts.iter().filter(|m| m.destination == "/etc/hosts").count(), 1);
}

#[test]
fn a_tmpfs_is_careful_unless_asked_otherwise() {
    let tmpfs = |options: &str| {
        let sandbox = Ask::with(|config| {
            config.tmpfs = Some([("/t".to_owned(), options.to_owned())].into());
        })
        .sandbox();
        super::mounts::options(&sandbox, "/t")
    };
    assert_eq!(tmpfs(""), "noexec,nosuid,nodev,rprivate");
    assert_eq!(tmpfs("rw,exec,size=64m"), "nosuid,nodev,rw,exec,size=64m,rprivate");
    assert_eq!(tmpfs("size=1m,size=2m,suid"), "noexec,nodev,size=2m,suid,rprivate");
}

#[test]
fn a_tmpfs_option_that_means_something_else_is_refused() {
    for option in ["bind", "context=x", "size=", "shared", "lowerdir=/etc"] {
        let ask = Ask::with(|config| {
            config.tmpfs = Some([("/t".to_owned(), option.to_owned())].into());
        });
        assert_eq!(ask.words(), format!("invalid tmpfs option [{option:?}]"));
    }
}

#[test]
fn entries_of_mounts_are_read() {
    let tmpfs = entry(Mount {
        kind: "tmpfs".into(),
        target: "/t".into(),
        tmpfs_options: Some(TmpfsOptions { size_bytes: 4096, mode: 0o700, options: vec![] }),
        ..Mount::default()
    });
    assert_eq!(options(&tmpfs.sandbox(), "/t"), "noexec,nosuid,nodev,size=4096,mode=700,rprivate");
    let bind = entry(Mount {
        kind: "bind".into(),
        source: "/a".into(),
        target: "/b".into(),
        read_only: true,
        bind_options: Some(BindOptions {
            non_recursive: true,
            propagation: "rshared".into(),
            ..BindOptions::default()
        }),
        ..Mount::default()
    });
    assert_eq!(options(&bind.sandbox(), "/b"), "bind,ro,nodev,rshared");
    assert_eq!(linux(&bind.sandbox()).rootfs_propagation, "shared");
    let points = points(&bind.config, &bind.host_config).expect("good words");
    assert_eq!(points[0].below, Below::Out);
    assert_eq!(points[0].source, Source::Bind { create: false });
}

#[test]
fn wrong_entries_are_refused_in_dockers_words() {
    let bind = Mount { kind: "bind".into(), target: "/b".into(), ..Mount::default() };
    for (mount, words) in [
        (bind.clone(), "invalid mount config for type \"bind\": field Source must not be empty"),
        (
            Mount { target: String::new(), ..bind.clone() },
            "invalid mount config for type \"bind\": field Target must not be empty",
        ),
        (
            Mount { source: "a".into(), ..bind.clone() },
            "invalid mount config for type \"bind\": invalid mount path: 'a' mount path must be \
             absolute",
        ),
        (
            Mount { source: "/a".into(), volume_options: Some(VolumeOptions::default()), ..bind },
            "invalid mount config for type \"bind\": field VolumeOptions must not be specified",
        ),
        (
            Mount { kind: "floppy".into(), target: "/b".into(), ..Mount::default() },
            "invalid mount config for type \"floppy\": mount type unknown",
        ),
    ] {
        assert_eq!(entry(mount).words(), words);
    }
}

#[test]
fn a_sub_path_cannot_leave_its_volume() {
    for subpath in ["../x", "/etc", "a/../../b"] {
        let options = VolumeOptions { subpath: subpath.into(), ..VolumeOptions::default() };
        let words = entry(Mount {
            kind: "volume".into(),
            source: "data".into(),
            target: "/b".into(),
            volume_options: Some(options),
            ..Mount::default()
        })
        .words();
        assert!(words.contains("relative path within the volume"), "{words}");
    }
}

/// What containers write in is told apart from what they do not.
#[test]
fn a_sub_path_is_one_beneath_its_volume() {
    let subpath = |subpath: &str| {
        let wish = VolumeOptions { subpath: subpath.into(), ..VolumeOptions::default() };
        let mount = Mount {
            kind: "volume".into(),
            source: "data".into(),
            target: "/b".into(),
            volume_options: Some(wish),
            ..Mount::default()
        };
        options(&entry(mount).sandbox(), "/b")
    };
    assert!(subpath("a/b").ends_with(",beneath=a/b"), "{}", subpath("a/b"));
    assert!(!subpath("").contains("beneath"), "{}", subpath(""));
}

#[test]
fn a_read_only_root_has_read_only_engine_files() {
    let sandbox = Ask::with(|config| config.readonly_rootfs = true).sandbox();
    assert!(sandbox.config.root.as_ref().is_some_and(|root| root.readonly));
    assert!(options(&sandbox, "/etc/hosts").ends_with(",ro"));
}

#[test]
fn shared_memory_is_as_large_as_asked() {
    let sandbox = Ask::with(|config| config.shm_size = 1 << 30).sandbox();
    assert!(options(&sandbox, "/dev/shm").ends_with("size=1073741824"));
    assert_eq!(Ask::with(|config| config.shm_size = -1).words(), "SHM size can not be less than 0");
}
