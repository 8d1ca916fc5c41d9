//! Quoting of paths in suggested shell commands.

use std::path::Path;

/// A path as one argument of a command that can be pasted into a shell.
///
/// A name with a leading dash would be taken for an option, so it is written as `./-name`.
pub(crate) fn arg(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let before = if bytes.starts_with(b"-") { "./" } else { "" };
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control));
    match text.map(|text| format!("{before}{text}")) {
        Some(text) => shlex::try_quote(&text).map_or_else(|_| escaped(before, bytes), Into::into),
        None => escaped(before, bytes),
    }
}

/// `$'…'`, which can contain any bytes; supported by bash, zsh, ksh and the newest standard of `sh`.
fn escaped(before: &str, bytes: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        other => format!("\\{other:03o}"),
    };
    let inside: String = bytes.iter().map(escape).collect();
    format!("$'{before}{inside}'")
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};

    #[test]
    fn plain_names_stay_as_they_are() {
        for name in ["runs/ppo-cartpole-1", "/a/b.toml", "../x_y"] {
            assert_eq!(arg(Path::new(name)), name);
        }
        assert_eq!(arg(Path::new("-x")), "./-x");
        assert_eq!(arg(Path::new("a b")), "'a b'");
    }

    /// The path as a shell reads it.
    #[test]
    fn a_shell_reads_the_path_back() {
        let names: [&[u8]; 10] = [
            b"a b",
            b"it's",
            b"\"q\"",
            b"$HOME",
            b"a;b&c",
            b"~",
            b"*",
            b"!x",
            b"new\nline\x1b[1m",
            b"\xff'\\\xfe",
        ];
        for name in names {
            let quoted = arg(Path::new(OsStr::from_bytes(name)));
            assert!(!quoted.contains(char::is_control));
            let output = Command::new("bash")
                .args(["-c", &format!("printf %s {quoted}")])
                .output();
            assert_eq!(output.unwrap().stdout, name, "{quoted}");
        }
    }
}
