//! Checkpoints: one file with everything that a run needs to continue exactly.
//!
//! A safetensors file: network parameters by name, optimiser state, normaliser, environment state, counters, and the
//! configuration of the run. It is written beside its destination and then renamed, so a crash or a full disk leaves
//! the previous checkpoint intact; a checksum over the data detects other corruption.

use crate::RunConfig;
use burn::tensor::{DType, Element, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use uphill_core::{
    network::Net,
    normalize::{Moments, RewardScaler},
};
use uphill_envs::EnvState;

/// Version of the file's layout.
const FORMAT: &str = "2";
/// Name of the text entry with the run's configuration, as JSON.
const CONFIG: &str = "config";
/// Name of the entry in the file's metadata that holds the [`Header`].
const HEADER: &str = "uphill";

/// Metadata of the file.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    /// Checksum over names, tensors and texts.
    checksum: String,
    texts: BTreeMap<String, String>,
}

/// Named tensors and texts of a saved run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    tensors: BTreeMap<String, TensorData>,
    texts: BTreeMap<String, String>,
}

/// Errors of writing, reading or using a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system reported an error.
    #[error("checkpoint {path}: {reason}")]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error reported by the system.
        reason: io::Error,
    },
    /// The file is a checkpoint with another layout.
    #[error(
        "checkpoint {path} has format {found}, this version of uphill has {FORMAT}; go on with the version that wrote it"
    )]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Its layout version.
        found: String,
    },
    /// The file is not a complete checkpoint.
    #[error("checkpoint {path} is damaged ({reason}); use another checkpoint of the run")]
    Corrupt {
        /// Path of the file.
        path: PathBuf,
        /// The problem found.
        reason: String,
    },
    /// A value is missing from the checkpoint.
    #[error("checkpoint has no `{key}`: it was written by a run with another configuration")]
    Missing {
        /// Name of the value.
        key: String,
    },
    /// A value has a different shape from this run's.
    #[error(
        "checkpoint holds `{key}` of shape {found:?}, this run needs {expected:?}: use the network and environment that it was written with"
    )]
    Shape {
        /// Name of the value.
        key: String,
        /// Shape in this run.
        expected: Vec<usize>,
        /// Shape in the checkpoint.
        found: Vec<usize>,
    },
    /// A value is invalid.
    #[error("checkpoint holds an unusable `{key}`: {reason}")]
    Value {
        /// Name of the value.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Checkpoint {
    /// Adds a tensor, read back from its device.
    pub fn put_tensor<const D: usize>(&mut self, key: &str, tensor: Tensor<D>) {
        self.tensors.insert(key.to_owned(), tensor.into_data());
    }

    /// Adds whole numbers.
    pub fn put_ints(&mut self, key: &str, values: &[u64]) {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        self.tensors.insert(key.to_owned(), data);
    }

    /// Adds a serialisable value, as JSON.
    pub fn put_json<T: Serialize>(&mut self, key: &str, value: &T) {
        let json = serde_json::to_string(value)
            .unwrap_or_else(|e| unreachable!("a struct of plain values: {e}"));
        self.texts.insert(key.to_owned(), json);
    }

    /// Adds the configuration of the run.
    pub fn put_config(&mut self, config: &RunConfig) {
        self.put_json(CONFIG, config);
    }

    /// Adds every parameter of a network, under `prefix` and its own name.
    pub fn put_net(&mut self, prefix: &str, net: &Net) {
        let flat = net.flat().into_data();
        match flat.dtype() {
            DType::F64 => self.put_params::<f64>(prefix, net, &flat.iter().collect::<Vec<_>>()),
            _ => self.put_params::<f32>(prefix, net, &flat.iter().collect::<Vec<_>>()),
        }
    }

    /// Adds parameters `[P]` in the layout of the network `net`.
    pub(crate) fn put_params<E: Element>(&mut self, prefix: &str, net: &Net, params: &[E]) {
        let mut rest = params;
        for spec in net.layout() {
            let (own, others) = rest.split_at(spec.len());
            rest = others;
            let data = TensorData::new(own.to_vec(), spec.shape);
            self.tensors.insert(format!("{prefix}.{}", spec.name), data);
        }
    }

    /// Adds numbers `[len]`.
    pub(crate) fn put_floats(&mut self, key: &str, values: &[f32]) {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        self.tensors.insert(key.to_owned(), data);
    }

    /// Adds running moments.
    pub fn put_moments(&mut self, prefix: &str, moments: &Moments) {
        self.put_tensor(&format!("{prefix}.mean"), moments.mean.clone());
        self.put_tensor(&format!("{prefix}.variance"), moments.variance.clone());
        self.put_ints(&format!("{prefix}.count"), &[moments.count as u64]);
    }

    /// Adds the reward scaler.
    pub fn put_reward_scaler(&mut self, scaler: &RewardScaler) {
        self.put_moments("reward_scaler", &scaler.moments);
        self.put_tensor("reward_scaler.discounted", scaler.discounted.clone());
    }

    /// Adds the state of a worker's environments.
    pub fn put_env(&mut self, worker: usize, state: &EnvState) {
        for (key, values) in &state.ints {
            self.put_ints(&format!("env{worker}.ints.{key}"), values);
        }
        for (key, values) in &state.floats {
            self.put_floats(&format!("env{worker}.floats.{key}"), values);
        }
    }

    /// Reads a tensor with the shape, type and device of `like`.
    pub fn tensor<const D: usize>(
        &self,
        key: &str,
        like: &Tensor<D>,
    ) -> Result<Tensor<D>, CheckpointError> {
        let data = self.data(key, &like.dims())?;
        Ok(Tensor::from_data(
            data.clone(),
            (&like.device(), like.dtype()),
        ))
    }

    /// Reads whole numbers.
    pub fn ints(&self, key: &str) -> Result<Vec<u64>, CheckpointError> {
        let data = self.any_data(key)?;
        (data.try_to_vec::<u64>()).map_err(|e| CheckpointError::Value {
            key: key.to_owned(),
            reason: format!("{e:?}"),
        })
    }

    /// Reads one whole number.
    pub fn int(&self, key: &str) -> Result<u64, CheckpointError> {
        match self.ints(key)?.as_slice() {
            [value] => Ok(*value),
            values => Err(CheckpointError::Shape {
                key: key.to_owned(),
                expected: vec![1],
                found: vec![values.len()],
            }),
        }
    }

    /// Reads a value stored as JSON.
    pub fn json<T: DeserializeOwned>(&self, key: &str) -> Result<T, CheckpointError> {
        let text = self.texts.get(key).ok_or_else(|| missing(key))?;
        serde_json::from_str(text).map_err(|e| CheckpointError::Value {
            key: key.to_owned(),
            reason: e.to_string(),
        })
    }

    /// Reads the configuration of the run that wrote the checkpoint.
    pub fn config(&self) -> Result<RunConfig, CheckpointError> {
        self.json(CONFIG)
    }

    /// Reads the parameters saved under `prefix` into a network like `net`.
    pub fn net(&self, prefix: &str, net: &Net) -> Result<Net, CheckpointError> {
        let flat = net.flat();
        let mut parts = Vec::new();
        for spec in net.layout() {
            let data = self
                .data(&format!("{prefix}.{}", spec.name), &spec.shape)?
                .clone();
            let data = reshaped(data, &[spec.len()]);
            parts.push(Tensor::<1>::from_data(data, (&flat.device(), flat.dtype())));
        }
        Ok(net.with_flat(Tensor::cat(parts, 0)))
    }

    /// Reads running moments of the same size as `like`.
    pub fn moments(&self, prefix: &str, like: &Moments) -> Result<Moments, CheckpointError> {
        Ok(Moments {
            mean: self.tensor(&format!("{prefix}.mean"), &like.mean)?,
            variance: self.tensor(&format!("{prefix}.variance"), &like.variance)?,
            count: self.int(&format!("{prefix}.count"))? as f64,
            agents: 1,
        })
    }

    /// Reads the state of a worker's environments.
    pub fn env(&self, worker: usize) -> Result<EnvState, CheckpointError> {
        let mut state = EnvState::default();
        let (ints, floats) = (format!("env{worker}.ints."), format!("env{worker}.floats."));
        for key in self.tensors.keys() {
            if let Some(name) = key.strip_prefix(&ints) {
                state.ints.insert(name.to_owned(), self.ints(key)?);
            } else if let Some(name) = key.strip_prefix(&floats) {
                let values = self.any_data(key)?.iter::<f32>().collect();
                state.floats.insert(name.to_owned(), values);
            }
        }
        Ok(state)
    }

    /// Writes the file to `path`, replacing a previous file atomically. Creates the folder if it does not exist.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder.map_err(|reason| CheckpointError::Io {
            path: path.to_owned(),
            reason,
        })?;
        self.replace(path)
    }

    /// [`write`](Self::write) to a folder that must exist: if it was moved away, no new one is created in its place.
    pub fn replace(&self, path: &Path) -> Result<(), CheckpointError> {
        let bytes = self.encode();
        let fail = |reason| CheckpointError::Io {
            path: path.to_owned(),
            reason,
        };
        write_atomically(path, &bytes).map_err(fail)
    }

    /// Reads the file `path`.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path).map_err(|reason| CheckpointError::Io {
            path: path.to_owned(),
            reason,
        })?;
        let corrupt = |reason| CheckpointError::Corrupt {
            path: path.to_owned(),
            reason,
        };
        // Checked before anything that another layout might store differently.
        let header = header_in(&bytes).map_err(corrupt)?;
        if header.format != FORMAT {
            return Err(CheckpointError::Format {
                path: path.to_owned(),
                found: header.format,
            });
        }
        let checkpoint = Self {
            tensors: tensors_in(&bytes).map_err(corrupt)?,
            texts: header.texts,
        };
        if header.checksum != checkpoint.checksum() {
            return Err(corrupt("its checksum does not match its data".to_owned()));
        }
        Ok(checkpoint)
    }

    fn encode(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(key, data)| {
            let view = TensorView::new(
                dtype_to_file(data.dtype()),
                data.shape().to_vec(),
                data.as_bytes(),
            )
            .unwrap_or_else(|e| unreachable!("tensor data of its own shape: {e}"));
            (key, view)
        });
        let header = Header {
            format: FORMAT.to_owned(),
            checksum: self.checksum(),
            texts: self.texts.clone(),
        };
        let header = serde_json::to_string(&header)
            .unwrap_or_else(|e| unreachable!("a header is plain text: {e}"));
        // A single entry, because the order of several would differ from one write to the next.
        let metadata = HashMap::from([(HEADER.to_owned(), header)]);
        safetensors::serialize(views, Some(metadata))
            .unwrap_or_else(|e| unreachable!("valid tensors under distinct names: {e}"))
    }

    fn checksum(&self) -> String {
        let mut hasher = crc32fast::Hasher::new();
        for (key, data) in &self.tensors {
            hasher.update(key.as_bytes());
            hasher.update(data.as_bytes());
        }
        for (key, text) in &self.texts {
            hasher.update(key.as_bytes());
            hasher.update(text.as_bytes());
        }
        format!("crc32:{:08x}", hasher.finalize())
    }

    fn any_data(&self, key: &str) -> Result<&TensorData, CheckpointError> {
        self.tensors.get(key).ok_or_else(|| missing(key))
    }

    fn data(&self, key: &str, expected: &[usize]) -> Result<&TensorData, CheckpointError> {
        let data = self.any_data(key)?;
        if data.shape().as_slice() == expected {
            return Ok(data);
        }
        Err(CheckpointError::Shape {
            key: key.to_owned(),
            expected: expected.to_vec(),
            found: data.shape().to_vec(),
        })
    }
}

/// Reads the metadata of a file.
fn header_in(bytes: &[u8]) -> Result<Header, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let metadata = metadata.metadata().as_ref();
    let text = metadata
        .and_then(|m| m.get(HEADER))
        .ok_or("it is no checkpoint of uphill")?;
    serde_json::from_str(text).map_err(|e| e.to_string())
}

/// Reads the tensors of a file.
fn tensors_in(bytes: &[u8]) -> Result<BTreeMap<String, TensorData>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let tensor = |(key, view): (&str, TensorView<'_>)| {
        let dtype = dtype_from_file(view.dtype())
            .ok_or_else(|| format!("`{key}` has type {:?}", view.dtype()))?;
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
        Ok((key.to_owned(), data))
    };
    file.iter().map(tensor).collect()
}

/// The same numbers in another shape.
fn reshaped(data: TensorData, shape: &[usize]) -> TensorData {
    let (bytes, _, dtype) = data.into_parts();
    TensorData::from_bytes(bytes, shape.to_vec(), dtype)
}

fn missing(key: &str) -> CheckpointError {
    CheckpointError::Missing {
        key: key.to_owned(),
    }
}

/// Writes `bytes` beside `path`, syncs them to disk and renames the file to `path`. The folder must exist.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("partial");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let renamed = written
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path));
    if renamed.is_err() {
        // Nothing depends on the partial file; leaving it would only keep a full disk full.
        let _ = fs::remove_file(&beside);
    }
    renamed
}

/// Makes a rename durable; systems on which folders cannot be opened do so themselves.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn dtype_to_file(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::U64 => Dtype::U64,
        other => unreachable!("checkpoints hold floats and u64, not {other:?}"),
    }
}

fn dtype_from_file(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F64 => Some(DType::F64),
        Dtype::F32 => Some(DType::F32),
        Dtype::U64 => Some(DType::U64),
        _ => None,
    }
}
