//! A file from anywhere on the web: `ADD https://…`, a build's `remote`.

use crate::Error;
use reqwest::{Url, blocking::ClientBuilder};
use std::{
    io::{Read, Write},
    time::Duration,
};

/// Until somebody answers.
const CONNECT: Duration = Duration::from_secs(30);
/// Without a byte.
const SILENCE: Duration = Duration::from_mins(1);
/// How much is handed on at a time.
const PIECE: usize = 128 << 10;
const DOING: &str = "download";

/// Fetches `address` into `into`; says its last name, if it has one.
/// `stop` is asked between pieces.
///
/// # Errors
/// It is not to be had; it was called off; the receiver failed.
pub fn download(
    address: &str,
    into: &mut dyn Write,
    stop: &dyn Fn() -> bool,
) -> Result<String, Error> {
    let url: Url =
        address.parse().map_err(|e| Error::Invalid(format!("{address:?} is no address: {e}")))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let reach = |source| Error::Reach { doing: DOING, registry: host.clone(), source };
    let client = ClientBuilder::new()
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(None)
        .tcp_user_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::limited(10))
        .build()
        .map_err(reach)?;
    let mut answer = client.get(url.clone()).send().map_err(reach)?;
    if !answer.status().is_success() {
        return Err(Error::Answer {
            doing: DOING,
            registry: host,
            status: answer.status().as_u16(),
            words: address.to_owned(),
        });
    }
    let name = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let name = name.to_owned();
    let mut buffer = vec![0; PIECE];
    loop {
        if stop() {
            return Err(Error::Left);
        }
        let broken = |e: std::io::Error| Error::Invalid(format!("cannot download {address}: {e}"));
        match answer.read(&mut buffer).map_err(broken)? {
            0 => return Ok(name),
            len => into.write_all(&buffer[..len]).map_err(broken)?,
        }
    }
}
