//! What CubeCL compiles and its tuner finds out, kept between runs.

use super::measured::cache_folder;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig};

/// Has kernels and tuning kept in the user's folder for caches, or in another if a `cubecl.toml` names one other
/// than `target`, which is CubeCL's own default.
///
/// To be called before CubeCL is: later its settings stay what they are.
pub(super) fn keep_kernels() {
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.compilation.cache = true;
    if let (CacheConfig::Target, Some(folder)) = (&config.environment.path, cache_folder()) {
        config.environment.path = CacheConfig::Directory(folder.join("kernels"));
    }
    CubeClRuntimeConfig::try_set(config);
}
