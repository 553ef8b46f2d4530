//! `cofferdamd press INODE LATEST`: a log from the standard input to the
//! standard output, compressed; with a word for readers on which file it was
//! and of what time its latest line is.

use crate::confine::{self, Keeps};
use flate2::{Compression, GzBuilder};
use spec::log::index::{Mark, extra};
use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
    process::ExitCode,
};

/// Compresses all of it.
pub fn press(inode: &str, latest: &str) -> ExitCode {
    match run(inode, latest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot compress a log: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(inode: &str, latest: &str) -> io::Result<()> {
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    let (inode, latest) = (number(inode)?, number(latest)?);
    confine::confine(Keeps::Root)?;
    let mut from = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mark = Mark { end: from.metadata()?.len(), latest };
    let mut out = GzBuilder::new().extra(extra(inode, mark)).write(to, Compression::fast());
    io::copy(&mut from, &mut out)?;
    out.finish()?.flush()
}
