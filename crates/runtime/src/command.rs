//! The command: found as a shell would find it, with Go's words when it is
//! not, since clients look for those.

use crate::failure::{refusal, words};
use rustix::{
    fs::{Access, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};
use spec::{oci::Process, wire::Failure};
use std::{
    ffi::{CString, OsStr},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// What `execve` is given.
#[derive(Debug)]
pub(crate) struct Command {
    pub path: CString,
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    word: String,
}

impl Command {
    /// Finds `process.args[0]` as the calling process may see it now.
    pub fn find(process: &Process) -> Result<Self, Failure> {
        let word = process.args.first().ok_or_else(|| refusal("process.args is empty"))?;
        let env = environment(process)?;
        let search = env.iter().find_map(|text| text.to_bytes().strip_prefix(b"PATH="));
        let path = find(word, search.unwrap_or_default())?;
        Ok(Self {
            path: text(path.as_os_str().as_bytes())?,
            args: process.args.iter().map(|arg| text(arg.as_bytes())).collect::<Result<_, _>>()?,
            env,
            word: word.clone(),
        })
    }

    /// Becomes it.
    pub fn exec(&self) -> Failure {
        let error = sys::process::exec(&self.path, &self.args, &self.env);
        Failure {
            message: format!("exec {}: {}", self.word, words(&error)),
            errno: error.raw_os_error().unwrap_or(0),
            command: true,
        }
    }
}

fn text(bytes: &[u8]) -> Result<CString, Failure> {
    CString::new(bytes).map_err(|_| refusal("a zero byte in process.args or process.env"))
}

/// Later of two with one name win; `HOME` is filled in.
fn environment(process: &Process) -> Result<Vec<CString>, Failure> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut kept: Vec<&str> = Vec::with_capacity(process.env.len() + 1);
    for entry in process.env.iter().rev() {
        if !kept.iter().any(|later| name(later) == name(entry)) {
            kept.push(entry);
        }
    }
    kept.reverse();
    let mut env: Vec<CString> =
        kept.iter().map(|entry| text(entry.as_bytes())).collect::<Result<_, _>>()?;
    if !kept.iter().any(|entry| entry.len() > "HOME=".len() && entry.starts_with("HOME=")) {
        env.retain(|entry| entry.to_bytes() != b"HOME=");
        let mut home = b"HOME=".to_vec();
        home.extend(home_of(process.user.uid));
        env.push(text(&home)?);
    }
    Ok(env)
}

/// The home directory that `/etc/passwd` gives `uid`; `/` if none.
///
/// The file is the container's: it is opened without waiting (it may be a
/// pipe) and read up to a bound (it may be endless).
fn home_of(uid: u32) -> Vec<u8> {
    const MOST: usize = 1 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open("/etc/passwd", flags, Mode::empty()) else {
        return b"/".into();
    };
    if !crate::tree::file_type(std::os::fd::AsFd::as_fd(&file))
        .is_ok_and(|kind| kind == FileType::RegularFile)
    {
        return b"/".into();
    }
    let mut passwd = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(len @ 1..) = rustix::io::read(&file, &mut chunk) {
        passwd.extend_from_slice(&chunk[..len]);
        if passwd.len() > MOST {
            break;
        }
    }
    home_in(&passwd, uid).unwrap_or_else(|| b"/".into())
}

fn home_in(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<_> = line.split(|byte| *byte == b':').collect();
        let [_, _, id, _, _, home, ..] = fields[..] else { return None };
        let matches = std::str::from_utf8(id).ok()?.parse() == Ok(uid);
        (matches && !home.is_empty()).then(|| home.to_vec())
    })
}

fn find(word: &str, search: &[u8]) -> Result<PathBuf, Failure> {
    if word.contains('/') {
        return match executable(Path::new(word)) {
            Ok(()) => Ok(word.into()),
            Err(Errno::NOENT) => {
                let why = format!("stat {word}: no such file or directory");
                Err(missing(word, &why, Errno::NOENT))
            }
            Err(error) => Err(missing(word, &words(&error.into()), error)),
        };
    }
    let mut denied = false;
    for dir in search.split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        let path = Path::new(OsStr::from_bytes(dir)).join(word);
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    if denied && !word.is_empty() {
        return Err(missing(word, "permission denied", Errno::ACCESS));
    }
    Err(missing(word, "executable file not found in $PATH", Errno::NOENT))
}

fn executable(path: &Path) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    // Root may look at everything, but executes nothing that has no x bit.
    if stat.st_mode & 0o111 == 0 {
        return Err(Errno::ACCESS);
    }
    rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn missing(word: &str, why: &str, errno: Errno) -> Failure {
    Failure {
        message: format!("exec: {word:?}: {why}"),
        errno: errno.raw_os_error(),
        command: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_command_is_told_in_the_words_clients_look_for() {
        let failure = find("nope", b"/bin:/usr/bin").expect_err("no such command");
        assert_eq!(failure.message, "exec: \"nope\": executable file not found in $PATH");
        let failure = find("/etc/passwd", b"").expect_err("not executable");
        assert_eq!(failure.message, "exec: \"/etc/passwd\": permission denied");
        let failure = find("/etc", b"").expect_err("a directory");
        assert_eq!(failure.message, "exec: \"/etc\": is a directory");
        let failure = find("/nope", b"").expect_err("no such file");
        assert_eq!(failure.message, "exec: \"/nope\": stat /nope: no such file or directory");
        assert!(failure.command && failure.errno == 2);
    }

    #[test]
    fn home_is_that_of_the_user_or_the_root() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbad line\nu:x:7::\xff:/home/u:\n";
        assert_eq!(home_in(passwd, 7).as_deref(), Some(&b"/home/u"[..]));
        assert_eq!(home_in(passwd, 8), None);
    }

    #[test]
    fn later_of_two_variables_with_one_name_win() {
        let env = ["A=1", "B=2", "A=3", "HOME=/h"].map(Into::into).to_vec();
        let env = environment(&Process { env, ..Process::default() }).expect("plain text");
        assert_eq!(env, [c"B=2", c"A=3", c"HOME=/h"].map(CString::from));
    }
}
