use crate::{device::device, small, train};
use std::{fs, path::PathBuf};
use uphill_algos::{
    Checkpoint, CheckpointError, TrainError, Trainer, checkpoint::write_atomically,
};

/// A real checkpoint in a folder that lives as long as the first value.
fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    train(small()).0.save().write(&path).unwrap();
    (folder, path)
}

fn corrupt(path: &std::path::Path) -> String {
    match Checkpoint::read(path) {
        Err(error @ CheckpointError::Corrupt { .. }) => error.to_string(),
        other => panic!("expected a damaged checkpoint, found {other:?}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_found_out() {
    let (_folder, path) = written();
    let whole = fs::read(&path).unwrap();
    for keep in [0, 4, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..keep]).unwrap();
        let message = corrupt(&path);
        assert!(message.contains("run.safetensors is damaged"), "{message}");
    }
}

#[test]
fn a_flipped_bit_is_found_out() {
    let (_folder, path) = written();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() - 40;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(corrupt(&path).contains("checksum"));
}

#[test]
fn another_program_s_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors: [(&str, safetensors::tensor::TensorView<'_>); 0] = [];
    fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    assert!(corrupt(&path).contains("no checkpoint of uphill"));
}

#[test]
fn a_file_of_another_version_is_not_called_damaged() {
    let (_folder, path) = written();
    let text = fs::read(&path).unwrap();
    let at = |part: &[u8]| text.windows(part.len()).position(|w| w == part).unwrap();
    let format = br#"\"format\":\"2\""#;
    let number = at(format) + format.len() - 3;
    let mut older = text.clone();
    older[number] = b'1';
    fs::write(&path, older).unwrap();
    let error = Checkpoint::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("has format 1, this version of uphill has 2"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Checkpoint::read("nowhere/run.safetensors".as_ref()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("checkpoint nowhere/run.safetensors: ")
    );
}

#[test]
fn a_failed_write_leaves_the_previous_checkpoint_whole() {
    let (folder, path) = written();
    let before = fs::read(&path).unwrap();
    // A folder where the new file would be prepared: writing it must fail.
    fs::create_dir(folder.path().join("run.partial")).unwrap();
    let error = train(small()).0.save().write(&path).unwrap_err();
    assert!(matches!(error, CheckpointError::Io { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_checkpoint_of_another_shape_names_the_tensor_and_both_shapes() {
    let checkpoint = train(small()).0.save();
    let mut wider = small();
    wider.network.hidden = vec![16];
    let error = Trainer::new(wider, &device())
        .unwrap()
        .restore(&checkpoint)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "checkpoint holds `actor.layers.0.weight` of shape [4, 8], this run needs [4, 16]: \
         use the network and environment that it was written with"
    );
}

#[test]
fn a_checkpoint_of_another_number_of_copies_is_refused() {
    let checkpoint = train(small()).0.save();
    let mut fewer = small();
    fewer.num_envs = 2;
    let error = Trainer::new(fewer, &device())
        .unwrap()
        .restore(&checkpoint)
        .unwrap_err();
    assert!(matches!(error, TrainError::Env(_)), "{error}");
}

#[test]
fn a_checkpoint_without_a_normaliser_is_refused_by_a_run_that_has_one() {
    let checkpoint = train(small()).0.save();
    let mut normalised = small();
    normalised.normalize.obs = true;
    let error = Trainer::new(normalised, &device())
        .unwrap()
        .restore(&checkpoint)
        .unwrap_err();
    assert!(error.to_string().contains("no `obs_norm.mean`"), "{error}");
}

/// A process of its own, because the folder that a process is in belongs to all of its tests.
#[test]
fn a_path_without_a_folder_is_in_the_folder_that_the_process_is_in() {
    const INNER: &str = "UPHILL_TEST_WRITES_HERE";
    if std::env::var_os(INNER).is_some() {
        write_atomically("here".as_ref(), b"inner").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "checkpoint::a_path_without_a_folder_is_in_the_folder_that_the_process_is_in",
        ])
        .env(INNER, "1")
        .current_dir(&folder)
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    assert_eq!(fs::read(folder.path().join("here")).unwrap(), b"inner");
    write_atomically(&folder.path().join("here"), b"outer").unwrap();
    assert_eq!(fs::read(folder.path().join("here")).unwrap(), b"outer");
    assert!(!folder.path().join("here.partial").exists());
}
