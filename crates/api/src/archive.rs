//! Files in and out of a container, as tar streams: `cp` and `export`.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::pipe::{Inlet, Late, Outlet, produce};
use crate::streams::blocking;
use crate::when::rfc3339;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use engine::{Archive, PathStat, PutOptions};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde::Serialize;

/// What a tar stream is called.
pub const TAR: &str = "application/x-tar";
const STAT: &str = "x-docker-container-path-stat";

fn path(call: &Call) -> Result<&str, Error> {
    call.query.get("path").ok_or_else(|| Error::bad("bad parameter: 'path' cannot be empty"))
}

/// `HEAD /containers/{id}/archive`.
pub fn stat(call: &Call) -> Outcome {
    let stat = call.engine.archive_stat(call.name(), path(call)?)?;
    Ok(Answer::status(StatusCode::OK).with(STAT, header(&stat)))
}

/// `GET /containers/{id}/archive`.
pub async fn get(call: Call) -> Outcome {
    let archive = blocking(move || Ok(call.engine.archive_get(call.name(), path(&call)?)?)).await?;
    let stat = archive.stat().map(header);
    let answer = produce(TAR, Late::Break, move |out| write(archive, out)).await?;
    Ok(match stat {
        Some(stat) => answer.with(STAT, stat),
        None => answer,
    })
}

/// `GET /containers/{id}/export`.
pub async fn export(call: Call) -> Outcome {
    let archive = blocking(move || Ok(call.engine.export(call.name())?)).await?;
    produce("application/octet-stream", Late::Break, move |out| write(archive, out)).await
}

/// Writes an archive to a client.
///
/// # Errors
/// What the engine said.
pub fn write(archive: Archive, out: &mut Outlet) -> Result<(), Error> {
    Ok(archive.write(out)?)
}

/// `PUT /containers/{id}/archive`.
pub async fn put(mut call: Call) -> Outcome {
    let mut input = Inlet::of(call.upload()?);
    blocking(move || {
        let options = PutOptions {
            no_overwrite_dir_non_dir: call.query.flag("noOverwriteDirNonDir"),
            copy_uid_gid: call.query.flag("copyUIDGID"),
        };
        let result = path(&call).and_then(|path| {
            Ok(call.engine.archive_put(call.name(), path, options, &mut input)?)
        });
        input.finish();
        result.map(|()| Answer::status(StatusCode::OK))
    })
    .await
}

/// The header's value: JSON in base64.
fn header(stat: &PathStat) -> HeaderValue {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Stat<'a> {
        name: &'a str,
        size: u64,
        mode: u32,
        mtime: String,
        link_target: &'a str,
    }
    let json = serde_json::to_vec(&Stat {
        name: &stat.name,
        size: stat.size,
        mode: go_mode(stat.mode),
        // The epoch itself is a time that archives have.
        mtime: if stat.mtime == 0 { "1970-01-01T00:00:00Z".into() } else { rfc3339(stat.mtime) },
        link_target: &stat.link_target,
    })
    .expect("numbers and strings can be written");
    HeaderValue::from_str(&BASE64_STANDARD.encode(&json)).expect("base64 is printable")
}

/// The bits of Go's `fs.FileMode`, which are not those of stat(2).
fn go_mode(mode: u32) -> u32 {
    const DIR: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    const DEVICE: u32 = 1 << 26;
    const FIFO: u32 = 1 << 25;
    const SOCKET: u32 = 1 << 24;
    const CHARACTER: u32 = 1 << 21;
    const IRREGULAR: u32 = 1 << 19;
    let kind = match mode & 0o170_000 {
        0o040_000 => DIR,
        0o120_000 => SYMLINK,
        0o060_000 => DEVICE,
        0o020_000 => DEVICE | CHARACTER,
        0o010_000 => FIFO,
        0o140_000 => SOCKET,
        0o100_000 => 0,
        _ => IRREGULAR,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go).sum::<u32>();
    kind | special | (mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_said_in_go_s_bits() {
        assert_eq!(go_mode(0o100_644), 420);
        assert_eq!(go_mode(0o120_777), 134_218_239);
        assert_eq!(go_mode(0o041_777), 1 << 31 | 1 << 20 | 0o777);
        assert_eq!(go_mode(0o104_755), 1 << 23 | 0o755);
        assert_eq!(go_mode(0o020_666), 1 << 26 | 1 << 21 | 0o666);
    }

    #[test]
    fn a_stat_is_what_docker_sends() {
        let stat = PathStat {
            name: "passwd".into(),
            size: 373,
            mode: 0o100_644,
            mtime: 1_700_000_000_000_000_000,
            link_target: String::new(),
        };
        assert_eq!(
            header(&stat),
            "eyJuYW1lIjoicGFzc3dkIiwic2l6ZSI6MzczLCJtb2RlIjo0MjAsIm10aW1lIjoiMjAyMy0xMS0xNFQyMjoxMzoyMFoiLCJsaW5rVGFyZ2V0IjoiIn0="
        );
    }
}
