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
    match writeln!(out, "{}", visible(&text)).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

/// A line on what goes on. That it cannot be written stops nobody.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", visible(&text));
}

/// Names of files may hold what would command a terminal; it is shown as `\u{1b}` and the like.
fn visible(text: impl Display) -> String {
    let mut shown = String::new();
    for c in text.to_string().chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_command_a_terminal_is_shown() {
        assert_eq!(visible("±\tx\n\u{1b}[1m\r"), "±\tx\n\\u{1b}[1m\\u{d}");
    }
}
