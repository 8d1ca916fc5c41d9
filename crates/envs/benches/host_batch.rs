//! Benchmark of stepping copies of an environment on the host.
//!
//! ```sh
//! cargo bench -p uphill-envs
//! ```
//!
//! Times are those of one step of all copies, from a tensor of actions to tensors of observations, rewards and flags.

use burn::tensor::{Device, Tensor};
use divan::{Bencher, counter::ItemsCount};
use uphill_envs::{BatchEnv, CartPole, Env, HostBatch, Pendulum};

fn main() {
    divan::main();
}

const COPIES: [usize; 4] = [8, 64, 512, 2048];

#[divan::bench(args = COPIES, types = [CartPole, Pendulum], max_time = 1)]
fn step<E: Env + Default>(bencher: Bencher, copies: usize) {
    let device = Device::flex();
    let mut batch = match HostBatch::new(E::default(), copies, &device) {
        Ok(batch) => batch,
        Err(error) => panic!("{error}"),
    };
    // Half of them push left, the other half right.
    let actions: Vec<f32> = (0..copies).map(|copy| (copy % 2) as f32).collect();
    let actions = Tensor::<1>::from_floats(actions.as_slice(), &device).unsqueeze_dim(1);
    bencher
        .counter(ItemsCount::new(copies))
        .with_inputs(|| actions.clone())
        .bench_local_values(|actions| {
            let step = batch.step(actions);
            batch.take_episodes();
            step
        });
}
