//! Files that a container finds in `/etc`: `hostname` and `hosts`; the third is
//! [`resolv.conf`](crate::resolv). Values in, texts out; [`write`] puts them down.

use crate::{Error, error::Doing};
use std::{
    fmt::Write as _, fs, io::Read as _, net::IpAddr, os::unix::fs::FileExt as _, path::Path,
};

/// `/etc/hosts`: the usual names, what the user added, and the container.
pub(crate) fn hosts(
    names: &str,
    extra: &[String],
    addresses: &[IpAddr],
    gateway: Option<IpAddr>,
) -> Result<String, Error> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for entry in extra {
        let bad = || Error::Invalid(format!("bad format for add-host: {entry:?}"));
        let (name, address) = entry.split_once([':', '=']).ok_or_else(bad)?;
        let address = match (address, gateway) {
            ("host-gateway", Some(gateway)) => gateway,
            ("host-gateway", None) => {
                let words = "unable to derive the IP value for host-gateway";
                return Err(Error::Invalid(words.into()));
            }
            (text, _) => {
                let bare = text.trim_start_matches('[').trim_end_matches(']');
                let words = format!("invalid IP address in add-host: {text:?}");
                bare.parse().map_err(|_| Error::Invalid(words))?
            }
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(bad());
        }
        let _ = writeln!(text, "{address}\t{name}");
    }
    for address in addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    Ok(text)
}

/// `/etc/hosts` of a container that has come to one more network.
pub(crate) fn with_place(text: &str, names: &str, addresses: &[IpAddr]) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for address in addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    text
}

/// `/etc/hosts` of a container that has left a network: without the lines of
/// its addresses there. All else that may have been written to it stays.
pub(crate) fn without_place(text: &str, addresses: &[IpAddr]) -> String {
    let of_place = |line: &&str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        first.parse::<IpAddr>().is_ok_and(|address| addresses.contains(&address))
    };
    text.lines().filter(|line| !of_place(line)).map(|line| format!("{line}\n")).collect()
}

/// `/etc/hosts` without the lines for who is called so first, and by other names
/// after it: those may have changed.
pub(crate) fn without_alias(text: &str, alias: &str) -> String {
    let says = |line: &&str| {
        let names = line.split_once('\t').map(|(_, names)| names);
        names.and_then(|names| names.split_once(' ')).is_some_and(|(first, _)| first == alias)
    };
    text.lines().filter(|line| !says(line)).map(|line| format!("{line}\n")).collect()
}

/// The name, and the long form before it if there is a domain.
pub(crate) fn own_names(host: &str, domain: &str) -> String {
    if domain.is_empty() { host.to_owned() } else { format!("{host}.{domain} {host}") }
}

/// Reads one of them back. The container's root may have written anything
/// into it: what is no text becomes some, and what is no such file is refused.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    /// A hundred times what resolves names at all.
    const MOST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    let file = fs::File::open(path).doing("open", path)?;
    file.take(MOST + 1).read_to_end(&mut bytes).doing("read", path)?;
    if bytes.len() as u64 > MOST {
        return Err(Error::Conflict(format!(
            "{} has grown beyond {MOST} bytes in its container, and is left as it is",
            path.display()
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Puts a file down, readable for everybody in the container.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    // In place: the file may be mounted in a container that runs. Nor is it
    // emptied before: its readers would find nothing for a moment, and ext4
    // takes to the disk at its close what was emptied (`auto_da_alloc`).
    let file = fs::File::options().write(true).create(true).truncate(false).open(path);
    let file = file.doing("open", path)?;
    file.write_all_at(text.as_bytes(), 0).doing("write", path)?;
    let len = text.len() as u64;
    if file.metadata().doing("look at", path)?.len() > len {
        file.set_len(len).doing("shorten", path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_made_of_its_file_is_read_and_bounded() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("hosts");
        fs::write(&path, b"10.0.0.7 a\xff\n").expect("written");
        assert_eq!(read(&path).expect("read"), "10.0.0.7 a\u{fffd}\n");
        let file = fs::File::create(&path).expect("made");
        file.set_len(1 << 40).expect("sparse");
        let error = read(&path).expect_err("too much").to_string();
        assert!(error.contains("has grown beyond"), "{error}");
    }

    #[test]
    fn what_is_written_again_is_all_there_is() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("hosts");
        let mut inode = None;
        for text in ["a\n", "a\nb\nc\n", "b\n", ""] {
            write(&path, text).expect("written");
            assert_eq!(read(&path).expect("read"), text);
            let found = fs::metadata(&path).expect("there").ino();
            assert_eq!(*inode.get_or_insert(found), found, "it may be mounted");
        }
    }

    #[test]
    fn a_container_finds_itself_and_what_the_user_added() {
        let address = [IpAddr::from([172, 30, 0, 2])];
        let extra = ["db:10.0.0.7".to_owned(), "gw=host-gateway".into(), "v6:[fd00::7]".into()];
        let gateway = Some(IpAddr::from([172, 30, 0, 1]));
        let text = hosts("web", &extra, &address, gateway).expect("valid");
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"), "{text}");
        let tail = "10.0.0.7\tdb\n172.30.0.1\tgw\nfd00::7\tv6\n172.30.0.2\tweb\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn a_line_break_smuggled_into_hosts_is_refused() {
        for entry in ["a b:10.0.0.7", "x\n10.0.0.9\ty:10.0.0.7", "x:nowhere", "x", ":10.0.0.7"] {
            assert!(hosts("web", &[entry.to_owned()], &[], None).is_err(), "{entry:?}");
        }
    }

    #[test]
    fn a_place_comes_and_goes_and_leaves_the_rest_alone() {
        let before = "127.0.0.1\tlocalhost\n10.0.0.7\tdb";
        let address = [IpAddr::from([10, 1, 0, 2])];
        let with = with_place(before, "web", &address);
        assert_eq!(with, "127.0.0.1\tlocalhost\n10.0.0.7\tdb\n10.1.0.2\tweb\n");
        assert_eq!(without_place(&with, &address), format!("{before}\n"));
        assert_eq!(without_alias(&with, "web"), with, "its own line, of one name");
        let linked = with_place(&with, "db box data", &[IpAddr::from([172, 30, 0, 5])]);
        assert_eq!(without_alias(&linked, "db"), with);
        assert_eq!(without_alias(&linked, "box"), linked);
    }
}
