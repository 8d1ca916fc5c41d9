//! What the program says: results on standard output, everything else on standard error.
//!
//! `println!` and `eprintln!` panic where nobody listens any more, as in `uphill train … | head -1`. In this
//! crate they are lints; these are there instead.

use anyhow::Context;
use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// A result, which has to arrive, unless its reader has seen enough and closed the pipe.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

/// A line on what goes on. That it cannot be written stops nobody.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
