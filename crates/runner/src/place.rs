//! Directories that may be moved while they are written to, and files in them that grow.
//!
//! A path only says where something was. A run whose directory is moved would continue at the old path, in a new
//! directory, and leave half of itself in each; so every save first checks that the directory is the one it started
//! with.

use anyhow::Context;
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A directory, identified when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    identity: Option<Identity>,
}

/// Properties that distinguish a directory from another one at the same path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    /// Device and inode, which may be reused once the directory is deleted.
    number: (u64, u64),
    created: Option<SystemTime>,
}

/// The directory is no longer at its path.
#[derive(Debug, thiserror::Error)]
#[error(
    "the directory {} was moved or deleted, or another is in its place: nothing was written there since its last \
     checkpoint; move it back, or go on with it where it is now", path.display()
)]
pub(crate) struct Moved {
    path: PathBuf,
}

impl Place {
    /// The directory at `path`.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        // The parent of a plain name is an empty path.
        let at = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        Ok(Self {
            path: at.to_owned(),
            identity: identity(&fs::metadata(at)?),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that it is still there.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let found = fs::metadata(&self.path);
        let same = found.is_ok_and(|found| found.is_dir() && identity(&found) == self.identity);
        match same {
            true => Ok(()),
            false => Err(Moved {
                path: self.path.clone(),
            }
            .into()),
        }
    }

    /// Calls `write`, if the directory is there; if it fails because the directory disappeared meanwhile, that is the
    /// error returned.
    pub(crate) fn when_there<T>(
        &self,
        write: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.check()?;
        write().map_err(|error| self.check().err().unwrap_or(error))
    }
}

#[cfg(unix)]
fn identity(found: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some(Identity {
        number: (found.dev(), found.ino()),
        created: found.created().ok(),
    })
}

/// Elsewhere an open file keeps its directory from being moved.
#[cfg(not(unix))]
fn identity(_found: &Metadata) -> Option<Identity> {
    None
}

/// A file that grows. It is open only while it is written to: a process may have thousands of them, more than it may
/// have open at once.
#[derive(Debug)]
pub(crate) struct Growing {
    path: PathBuf,
    place: Place,
    /// Bytes not yet flushed to the operating system.
    pending: Vec<u8>,
}

impl Growing {
    /// Creates an empty file, replacing an existing one.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        File::create(path).with_context(|| writing(path))?;
        Self::open(path)
    }

    /// Opens the existing file at `path`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let place = Place::of(path.parent().unwrap_or(Path::new("")));
        Ok(Self {
            place: place.with_context(|| writing(path))?,
            path: path.to_owned(),
            pending: vec![],
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes to be written.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Flushes everything to the operating system.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        if !self.pending.is_empty() {
            self.write()?;
        }
        Ok(())
    }

    /// Flushes everything to the operating system and syncs it to disk.
    pub(crate) fn sync(&mut self) -> anyhow::Result<()> {
        let file = self.write()?;
        file.sync_data().with_context(|| writing(&self.path))
    }

    fn write(&mut self) -> anyhow::Result<File> {
        let file = self.place.when_there(|| {
            let context = || writing(&self.path);
            let file = OpenOptions::new().append(true).open(&self.path);
            let mut file = file.with_context(context)?;
            file.write_all(&self.pending).with_context(context)?;
            Ok(file)
        })?;
        self.pending.clear();
        Ok(file)
    }
}

fn writing(path: &Path) -> String {
    format!("writing {}", path.display())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_arrives_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = Growing::create(&path).unwrap();
        file.push(b"one ");
        file.push(b"two ");
        assert_eq!(fs::read(&path).unwrap(), b"");
        file.flush().unwrap();
        file.push(b"three");
        file.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one two three");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_is_moved_deleted_or_replaced_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        fs::create_dir(&here).unwrap();
        let mut file = Growing::create(&here.join("log")).unwrap();
        let missed = |file: &mut Growing| {
            file.push(b"more");
            file.sync().unwrap_err().is::<Moved>()
        };
        fs::rename(&here, &there).unwrap();
        assert!(missed(&mut file) && !here.exists());
        fs::create_dir(&here).unwrap();
        fs::write(here.join("log"), "another's").unwrap();
        assert!(missed(&mut file));
        fs::remove_dir_all(&here).unwrap();
        assert!(missed(&mut file) && !here.exists());
        fs::rename(&there, &here).unwrap();
        file.sync().unwrap();
        assert_eq!(fs::read(here.join("log")).unwrap(), b"moremoremore");
    }

    #[test]
    fn a_file_without_a_directory_in_its_path_is_in_this_one() {
        Place::of(Path::new("")).unwrap().check().unwrap();
    }
}
