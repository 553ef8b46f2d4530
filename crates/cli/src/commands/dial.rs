//! `system dial-stdio`: the engine's socket at our own input and output. What
//! `ssh://` runs on the far side, Docker's CLI as well as ours.

use crate::{
    client::Client,
    error::{Error, Outcome},
};
use std::{io, os::fd::AsFd as _};
use tokio::io::{AsyncWriteExt as _, Interest, copy, stdin, stdout, unix::AsyncFd};

/// Copies both ways until the engine has said all, or nobody listens any more.
/// The end of the input is a half-close, as is the end of what the engine says.
pub async fn stdio(client: &Client) -> Outcome {
    let line = client.connect().await?;
    let (mut from, mut to) = tokio::io::split(line);
    let (mut input, mut output) = (stdin(), stdout());
    let inward = async {
        copy(&mut input, &mut to).await?;
        to.shutdown().await?;
        // The engine may still have much to say.
        std::future::pending::<io::Result<()>>().await
    };
    let outward = async {
        copy(&mut from, &mut output).await?;
        output.flush().await
    };
    let ended = tokio::select! {
        ended = inward => ended,
        ended = outward => ended,
        () = unheard() => Ok(()),
    };
    match ended {
        // Whoever listened has left.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Host { doing: "carry", what: "what was said".into(), source: error })
        }
        _ => Ok(0),
    }
}

/// Returns when nobody reads our output any more, if that can be known: of an
/// idle line nothing else tells.
#[expect(
    deprecated,
    reason = "unsound only for types whose descriptor changes: an OwnedFd's does not"
)]
async fn unheard() {
    let watched = io::stdout().as_fd().try_clone_to_owned();
    let watched = watched.and_then(|fd| AsyncFd::with_interest(fd, Interest::ERROR));
    match watched {
        Ok(fd) => drop(fd.ready(Interest::ERROR).await),
        // A file has no reader.
        Err(_) => std::future::pending().await,
    }
}
