//! Run directories: their files, metadata and locks.
//!
//! ```text
//! lock                            held by the process that trains it
//! meta.json                       version, commit, device, host, times
//! config.toml                     every value, defaults included; running it again repeats the run
//! metrics.csv                     one row per iteration
//! events.out.tfevents.*           the same for TensorBoard
//! checkpoints/latest/…, best/…    for resuming, for evaluation
//! ```
//!
//! The files are written in this order, so that a run can be resumed whenever it was killed: the configuration marks a
//! directory as a run, and the first checkpoint precedes the first row.

use crate::{
    cli::Which,
    config::{self, check_kept},
    device::Chosen,
    failure::UsageError,
    many,
    place::Place,
    presets,
    shell::arg,
};
use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};
use uphill_algos::{Checkpoint, CheckpointError, RunConfig, checkpoint::write_atomically};

/// An existing run directory.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    place: Place,
}

/// Prevents other processes from training the runs in a directory, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Origin of a run: version, device, times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Version of this program.
    pub(crate) version: String,
    /// Commit of its source, if it was built from a checkout.
    pub(crate) commit: String,
    /// Device name, as `--device` takes it.
    pub(crate) device: String,
    /// Description of the device.
    pub(crate) adapter: String,
    pub(crate) host: String,
    pub(crate) os: String,
    /// Start time, RFC 3339, UTC.
    pub(crate) started: String,
    /// Times at which the run was resumed.
    pub(crate) resumed: Vec<String>,
    /// Time at which the step budget was spent.
    pub(crate) finished: Option<String>,
}

impl Meta {
    /// Metadata of a run that starts now.
    pub(crate) fn now(on: &Chosen) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("UPHILL_COMMIT").to_owned(),
            device: on.name.clone(),
            adapter: on.adapter.clone(),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            started: timestamp(),
            resumed: Vec::new(),
            finished: None,
        }
    }
}

/// Current time, RFC 3339, UTC.
pub(crate) fn timestamp() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

impl RunDir {
    /// Checks that a new run may use the directory `out`.
    pub(crate) fn check_free(out: &Path) -> anyhow::Result<()> {
        if out.exists() {
            bail!(UsageError(taken(out)));
        }
        Ok(())
    }

    /// Creates the directory `out`, or the first free `runs/{name}-{number}`.
    pub(crate) fn create(out: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        let cannot = |path: &Path| {
            let path = path.display();
            format!("run directory {path}: cannot be made; choose a writable --out")
        };
        if let Some(out) = out {
            let parent = out.parent().unwrap_or(Path::new(""));
            fs::create_dir_all(parent).with_context(|| cannot(out))?;
            return match fs::create_dir(out) {
                Ok(()) => Self::at(out).with_context(|| cannot(out)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    bail!(UsageError(taken(out)))
                }
                Err(e) => Err(e).with_context(|| cannot(out)),
            };
        }
        fs::create_dir_all("runs").with_context(|| cannot(Path::new("runs")))?;
        for number in 1.. {
            let path = PathBuf::from(format!("runs/{name}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Self::at(&path).with_context(|| cannot(&path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e).with_context(|| cannot(&path)),
            }
        }
        unreachable!("numbers do not run out")
    }

    /// Opens the run directory at `path`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        match Self::at(path) {
            Ok(run) if run.config().is_file() => Ok(run),
            _ => {
                let (path, hint) = (path.display(), hint(path));
                bail!(UsageError(format!("{path} is not a run directory{hint}")));
            }
        }
    }

    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            place: Place::of(path)?,
        })
    }

    /// Place at which it was created or opened.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.csv")
    }

    pub(crate) fn checkpoint(&self, which: Which) -> PathBuf {
        let folder = match which {
            Which::Latest => "latest",
            Which::Best => "best",
        };
        self.path
            .join("checkpoints")
            .join(folder)
            .join("run.safetensors")
    }

    /// Turns an empty directory into a run's, which can be resumed from here on.
    pub(crate) fn begin(&self, config: &RunConfig, on: &Chosen) -> anyhow::Result<Meta> {
        let meta = Meta::now(on);
        self.write_meta(&meta)?;
        self.write_config(config)?;
        self.make_folders()?;
        Ok(meta)
    }

    /// Creates the folders of the checkpoints. [`save`](Self::save) does not: it would recreate them at the old path
    /// after the run was moved.
    pub(crate) fn make_folders(&self) -> anyhow::Result<()> {
        (self.place).when_there(|| {
            for which in [Which::Latest, Which::Best] {
                let file = self.checkpoint(which);
                let folder = file.parent().unwrap_or(&self.path);
                fs::create_dir_all(folder)
                    .with_context(|| format!("making {}", folder.display()))?;
            }
            Ok(())
        })
    }

    pub(crate) fn write_config(&self, config: &RunConfig) -> anyhow::Result<()> {
        let text = toml::to_string_pretty(config).context("writing the configuration as TOML")?;
        self.write(&self.config(), text.as_bytes())
    }

    pub(crate) fn write_meta(&self, meta: &Meta) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(meta).context("writing meta.json")?;
        text.push('\n');
        self.write(&self.path.join("meta.json"), text.as_bytes())
    }

    /// Reads the metadata; `None` if there is no such file: a run can be resumed without it.
    pub(crate) fn read_meta(&self) -> anyhow::Result<Option<Meta>> {
        let path = self.path.join("meta.json");
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| {
            let path = path.display();
            format!("{path} is damaged; delete it, a run can go on without")
        })
    }

    /// Whether the run was killed before its first checkpoint, and so has no step that counts.
    pub(crate) fn is_unbegun(&self) -> bool {
        let has_checkpoint = |which| self.checkpoint(which).is_file();
        let has_rows = fs::metadata(self.metrics()).is_ok_and(|file| file.len() > 0);
        !has_rows && ![Which::Latest, Which::Best].into_iter().any(has_checkpoint)
    }

    /// Reads one of the checkpoints, which must be of a run that equals `config` in all `fixed` keys.
    pub(crate) fn read_checkpoint(
        &self,
        which: Which,
        config: &RunConfig,
        fixed: fn(&str) -> bool,
    ) -> anyhow::Result<Checkpoint> {
        let path = self.checkpoint(which);
        if !path.is_file() {
            return Err(self.no_checkpoint(which));
        }
        let checkpoint = Checkpoint::read(&path).map_err(|error| match error {
            CheckpointError::Corrupt { .. } => {
                anyhow!("{error}: {}", self.instead_of(which))
            }
            other => other.into(),
        })?;
        check_kept((&self.config(), config), (&path, &checkpoint), fixed)?;
        Ok(checkpoint)
    }

    /// Writes one of the checkpoints.
    pub(crate) fn save(&self, which: Which, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        (self.place).when_there(|| Ok(checkpoint.replace(&self.checkpoint(which))?))
    }

    fn no_checkpoint(&self, which: Which) -> anyhow::Error {
        let (run, path) = (self.path.display(), self.checkpoint(which));
        match which {
            Which::Best => UsageError(format!(
                "{run} has no best checkpoint: the first is written once 100 episodes have ended; \
                 use --checkpoint latest"
            ))
            .into(),
            Which::Latest => anyhow!(
                "{}: there is no such checkpoint; {}",
                path.display(),
                self.instead_of(which)
            ),
        }
    }

    /// Advice if one of the checkpoints is missing.
    fn instead_of(&self, which: Which) -> String {
        let (name, other) = match which {
            Which::Latest => ("best", Which::Best),
            Which::Best => ("latest", Which::Latest),
        };
        if self.checkpoint(other).is_file() {
            return format!("--checkpoint {name}");
        }
        if self.is_unbegun() {
            let run = arg(&self.path);
            return format!("the run has not begun, start it with `uphill train --resume {run}`");
        }
        let config = self.config();
        format!(
            "there is no other, start again with `uphill train {}`",
            arg(&config)
        )
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        (self.place).when_there(|| {
            write_atomically(path, bytes).with_context(|| format!("writing {}", path.display()))
        })
    }
}

/// Locks a run directory, or that of several seeds: such runs are all locked together by one file, however many there
/// are.
pub(crate) fn lock(dir: &Path) -> anyhow::Result<Lock> {
    let whole = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let set = whole.parent().filter(|set| many::is_set(set));
    let path = set.unwrap_or(dir).join("lock");
    // Not truncated: except on Unix, truncating a locked file fails, and with another error.
    let file = (File::options().write(true).create(true).truncate(false)).open(&path);
    let file = file.with_context(|| format!("writing {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(UsageError(format!(
            "{}: another process is training this run; wait for its end, or stop it first",
            dir.display()
        ))),
        // Not every file system has locks, and training is possible without.
        Err(TryLockError::Error(error)) => tracing::warn!(
            "{} cannot be locked ({error}): take care that one process at a time trains the run",
            path.display()
        ),
    }
    Ok(Lock { _file: file })
}

/// Message for a new run's path that already exists.
fn taken(out: &Path) -> String {
    let is_run = config::load_file(&out.join("config.toml"), &[]).is_ok() || many::is_set(out);
    let (out, again) = (out.display(), arg(out));
    if !is_run {
        return format!("{out} already exists and is not a run directory; choose another --out");
    }
    format!(
        "run directory {out} already exists; choose another --out, or go on with it: \
         uphill train --resume {again}"
    )
}

/// Suggestion for a path that is not a run directory.
fn hint(path: &Path) -> String {
    let is_run = |p: &Path| p.join("config.toml").is_file() && p.join("checkpoints").is_dir();
    let name = path.to_string_lossy();
    let config = path.extension().is_some_and(|e| e == "toml") && path.is_file();

    if let Some(run) = path.ancestors().skip(1).find(|p| is_run(p)) {
        let run = if run.as_os_str().is_empty() {
            Path::new(".")
        } else {
            run
        };
        let best = path.iter().any(|part| part == "best");
        let which = if best { " --checkpoint best" } else { "" };
        format!(", it is inside of one: give {}{which}", arg(run))
    } else if let Some(one) = many::first_run(path) {
        format!(
            " but holds those of several seeds: give one of them, such as {}",
            arg(&one)
        )
    } else if is_run(&Path::new("runs").join(path)) {
        format!(", did you mean {}?", arg(&Path::new("runs").join(path)))
    } else if presets::find(&name).is_some() || config {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let run = newest(&stem).and_then(|run| many::first_run(&run).or(Some(run)));
        match run.filter(|run| is_run(run)) {
            Some(run) => format!(" but a configuration, did you mean {}?", arg(&run)),
            None => format!(
                " but a configuration: train it first, with `uphill train {}`",
                arg(path)
            ),
        }
    } else {
        ": it has no config.toml; runs are made by `uphill train CONFIG`".to_owned()
    }
}

/// The last of the numbered run directories of a configuration.
fn newest(name: &str) -> Option<PathBuf> {
    let numbers = fs::read_dir("runs").ok()?.filter_map(|entry| {
        let folder = entry.ok()?.file_name();
        let number = folder.to_str()?.strip_prefix(name)?.strip_prefix('-')?;
        number.parse::<u64>().ok()
    });
    let number = numbers.max()?;
    Some(PathBuf::from(format!("runs/{name}-{number}")))
}
