//! Output of the program: results on standard output, everything else on standard error.
//!
//! `println!` and `eprintln!` panic if the stream is closed, as in `uphill train … | head -1`. Lints forbid them in
//! this crate; these functions replace them.

use anyhow::Context;
use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// Prints a result. A failure is an error, unless the reader has closed the pipe.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", visible(&text)).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

/// Writes a line of progress. A failure to write it is ignored.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", visible(&text));
}

/// Escapes control characters, which file names may contain and a terminal would interpret, as `\u{1b}` and the like.
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
