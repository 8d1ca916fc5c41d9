//! Checkpoints of networks in double precision.

use super::{actor, device, numbers};
use uphill_algos::{
    AlgoConfig, Checkpoint, RunConfig, lab::mdp::TinyMdp, reinforce::ReinforceConfig,
};

#[test]
fn parameters_in_double_precision_are_kept_to_the_last_bit() {
    let fresh = actor(&TinyMdp::example()).net;
    // Less than single precision holds.
    let net = fresh.with_flat(fresh.flat() * (1.0 + 1e-12));
    let expected = numbers(net.flat());
    assert_ne!(expected, numbers(fresh.flat()));
    assert!(expected.iter().any(|x| f64::from(*x as f32) != *x));

    let mut checkpoint = Checkpoint::default();
    checkpoint.put_net("actor", &net);
    checkpoint.put_tensor("flat", net.flat());
    let algo = AlgoConfig::from(ReinforceConfig::default());
    checkpoint.put_config(&RunConfig::new("tiny", 1, 1, algo));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    checkpoint.write(&path).unwrap();
    let read = Checkpoint::read(&path).unwrap();
    assert_eq!(numbers(read.net("actor", &fresh).unwrap().flat()), expected);
    let flat = fresh.flat().to_device(&device());
    assert_eq!(numbers(read.tensor("flat", &flat).unwrap()), expected);
}
