//! Images that tests make for themselves.

use crate::{Cli, Engine};
use std::{fs, os::unix::fs as unix, path::Path};

/// Imports `busybox`: Debian's static busybox and the files a root has.
pub fn busybox(engine: &Engine) {
    let root = engine.scratch().join("busybox");
    write_root(&root);
    let tar = engine.scratch().join("busybox.tar");
    let script = format!("tar -C {} -cf {} .", root.display(), tar.display());
    engine.host().says(&script);
    let tar = tar.display().to_string();
    engine.says_as(Cli::Docker, &["import", "--change", "CMD [\"sh\"]", &tar, "busybox"]);
}

/// A root file system with every applet of busybox.
pub fn write_root(root: &Path) {
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp", "root", "var/tmp", "home"] {
        fs::create_dir_all(root.join(folder)).expect("scratch");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    let out = std::process::Command::new("/bin/busybox").arg("--list").output().expect("busybox");
    for applet in String::from_utf8_lossy(&out.stdout).lines().filter(|name| *name != "busybox") {
        unix::symlink("busybox", root.join("bin").join(applet)).expect("scratch");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    fs::write(root.join("etc/passwd"), passwd).expect("scratch");
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\nstaff:x:50:user\n")
        .expect("scratch");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(root.join("tmp"), mode).expect("scratch");
}
