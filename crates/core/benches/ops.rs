//! Benchmark of fused operations beside Burn's own, on one device.
//!
//! ```sh
//! cargo bench -p uphill-core --features flex
//! cargo bench -p uphill-core --features flex -- forward_backward
//! ```
//!
//! Times are those of one call with tensors in and tensors out. All cores are used by operations that can use them;
//! `RAYON_NUM_THREADS=1` measures one.

use burn::tensor::{Device, Distribution, Tensor};
use divan::{Bencher, counter::ItemsCount};
use rand::{SeedableRng, rngs::StdRng};
use std::fmt;
use uphill_core::{
    advantage::{Trace, gae},
    dist::DistKind,
    network::Net,
    nn::{Mlp, MlpConfig},
    ops::{ActorCriticLoss, HostLearner, HostStep, Surrogate, host_values},
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};

fn main() {
    divan::main();
}

/// Number of inputs, as in CartPole.
const INPUTS: usize = 4;
const OUTPUTS: usize = 2;

/// A batch through a perceptron with two hidden layers.
#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    width: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, width } = self;
        write!(f, "{width}x{width}, batch {batch}")
    }
}

fn sizes() -> impl Iterator<Item = Size> {
    let of = |width| [8, 256, 2048, 16_384].map(move |batch| Size { batch, width });
    [64, 256].into_iter().flat_map(of)
}

fn device() -> Device {
    Device::flex()
}

fn mlp(width: usize) -> Mlp {
    let config = MlpConfig {
        hidden: vec![width; 2],
        ..MlpConfig::default()
    };
    let mut rng = StdRng::seed_from_u64(1);
    config.build(INPUTS, OUTPUTS, 1.0, &mut rng, &device())
}

fn normal<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device())
}

/// Forward pass.
#[divan::bench_group(max_time = 1)]
mod forward {
    use super::*;

    #[divan::bench(args = sizes())]
    fn fused(bencher: Bencher, size: Size) {
        forward(bencher, size, &Net::new(mlp(size.width)));
    }

    #[divan::bench(args = sizes())]
    fn stock(bencher: Bencher, size: Size) {
        forward(bencher, size, &Net::stock(mlp(size.width)));
    }

    fn forward(bencher: Bencher, size: Size, net: &Net) {
        let obs = normal([size.batch, INPUTS]);
        bencher
            .counter(ItemsCount::new(size.batch))
            .with_inputs(|| obs.clone())
            .bench_local_values(|obs| net.forward(obs));
    }
}

/// Forward pass, a loss that is linear in the outputs, and its gradient with respect to all parameters: the cost of a
/// gradient step besides its loss and the optimiser.
#[divan::bench_group(max_time = 1)]
mod forward_backward {
    use super::*;

    #[divan::bench(args = sizes())]
    fn fused(bencher: Bencher, size: Size) {
        gradient(bencher, size, &Net::new(mlp(size.width)));
    }

    #[divan::bench(args = sizes())]
    fn stock(bencher: Bencher, size: Size) {
        gradient(bencher, size, &Net::stock(mlp(size.width)));
    }

    fn gradient(bencher: Bencher, size: Size, net: &Net) {
        let obs = normal([size.batch, INPUTS]);
        let weights = normal([size.batch, OUTPUTS]);
        bencher
            .counter(ItemsCount::new(size.batch))
            .with_inputs(|| (obs.clone(), weights.clone()))
            .bench_local_values(|(obs, weights)| {
                let net = net.tracked();
                let grads = (net.forward(obs) * weights).sum().backward();
                net.flat_grad(&grads)
            });
    }
}

/// One matrix product of packed weights, with bias and activation, on one thread; and the product alone by the crate
/// `gemm`, which Burn's CPU backend uses, on as many threads as that chooses (`RAYON_NUM_THREADS=1`: one). Rows,
/// inputs, outputs.
#[divan::bench_group(max_time = 1)]
mod product {
    use super::*;
    use uphill_core::nn::Activation;
    use uphill_cpu::gemm::{self, Epilogue, Panels, padded};

    const SIZES: [[usize; 3]; 4] = [
        [64, 64, 64],
        [512, 64, 64],
        [2048, 64, 64],
        [2048, 256, 256],
    ];

    #[divan::bench(args = SIZES)]
    fn fused(bencher: Bencher, size: [usize; 3]) {
        layer(bencher, size, None);
    }

    #[divan::bench(args = SIZES)]
    fn fused_with_tanh(bencher: Bencher, size: [usize; 3]) {
        layer(bencher, size, Some(Activation::Tanh));
    }

    fn layer(bencher: Bencher, size: [usize; 3], activation: Option<Activation>) {
        let [rows, inputs, outputs] = size;
        let (stride, width) = (padded(inputs), padded(outputs));
        let x = host_values(normal([rows, stride]));
        let weight = host_values(normal([inputs, outputs]));
        let weight = Panels::packed(&weight, inputs, outputs);
        let bias = vec![0.0; width];
        let epilogue = Epilogue::Layer {
            bias: &bias,
            activation,
        };
        let mut result = vec![0.0; rows * width];
        bencher
            .counter(ItemsCount::new(rows * inputs * outputs))
            .bench_local(|| gemm::product(&x, stride, &weight, epilogue, &mut result));
    }

    #[divan::bench(args = SIZES)]
    fn of_burn(bencher: Bencher, [rows, inputs, outputs]: [usize; 3]) {
        let (x, weight) = (normal([rows, inputs]), normal([inputs, outputs]));
        bencher
            .counter(ItemsCount::new(rows * inputs * outputs))
            .with_inputs(|| (x.clone(), weight.clone()))
            .bench_local_values(|(x, weight)| x.matmul(weight));
    }
}

/// An epoch of PPO in host memory, without the one-time work of an update: four minibatches of a quarter of the batch.
#[divan::bench_group(max_time = 1)]
mod ppo_epoch {
    use super::*;

    #[divan::bench(args = sizes().filter(|size| size.batch > 8))]
    fn fused(bencher: Bencher, size: Size) {
        let actor = Actor::new(mlp(size.width), DistKind::Categorical { choices: OUTPUTS });
        let config = MlpConfig {
            hidden: vec![size.width; 2],
            ..MlpConfig::default()
        };
        let mut rng = StdRng::seed_from_u64(2);
        let critic = Critic::new(config.build(INPUTS, 1, 1.0, &mut rng, &device()));
        let (batch, minibatch) = (batch(&actor, size.batch), size.batch / 4);
        let adams =
            [&actor.net, &critic.net].map(|net| Adam::new(net.num_params(), 1e-5, &device()));
        let loss = ActorCriticLoss {
            surrogate: Surrogate::Clipped { clip: 0.2 },
            value_clip: 0.2,
            value_coef: 0.5,
            entropy_coef: 0.01,
            standardize: true,
        };
        // A learning rate so small that the policy stays near the one that acted, however often this runs.
        let step = HostStep {
            learning_rates: [1e-9; 2],
            max_grad_norm: 0.5,
            joint_norm: true,
        };
        let learner = HostLearner::new(&actor, &critic, &batch, minibatch, adams, &loss);
        let mut learner = learner.expect("a perceptron in host memory");
        let of = |part: usize| (0..minibatch).map(move |i| (4 * i + part) as i32).collect();
        let parts: Vec<Vec<i32>> = (0..4).map(of).collect();
        bencher
            .counter(ItemsCount::new(size.batch))
            .bench_local(|| learner.epoch(&parts, step));
    }

    /// Samples of the policy with random advantages and returns.
    fn batch(actor: &Actor, len: usize) -> Batch {
        let obs = normal([len, INPUTS]);
        let dist = actor.dist(obs.clone());
        let actions = dist.sample(normal([len, OUTPUTS]));
        Batch {
            log_probs: dist.log_prob(actions.clone()),
            obs: obs.into(),
            actions,
            values: normal([len]),
            advantages: normal([len]),
            returns: normal([len]),
            sequences: None,
            agents: 1,
        }
    }
}

/// One Adam step over as many parameters as actor and critic have, and the same formula in Burn's operations.
#[divan::bench_group(max_time = 1)]
mod adam {
    use super::*;

    /// Parameter counts of two networks, 4-64-64-(2 and 1) and 4-256-256-(2 and 1).
    const PARAMS: [usize; 2] = [9155, 134_915];

    #[divan::bench(args = PARAMS)]
    fn fused(bencher: Bencher, params: usize) {
        let mut adam = Adam::new(params, 1e-5, &device());
        let mut flat = normal([params]);
        let grad = normal([params]);
        bencher.counter(ItemsCount::new(params)).bench_local(|| {
            // Moved in, as in training, so that nobody else holds the parameters.
            let old = std::mem::replace(&mut flat, Tensor::empty([0], &device()));
            flat = adam.step(old, grad.clone(), 1e-3);
        });
    }

    #[divan::bench(args = PARAMS)]
    fn stock(bencher: Bencher, params: usize) {
        let (mut first, mut second) = (normal([params]) * 0.0, normal([params]) * 0.0);
        let mut flat = normal([params]);
        let grad = normal([params]);
        let mut steps = 0;
        bencher.counter(ItemsCount::new(params)).bench_local(|| {
            steps += 1;
            let unbias = |beta: f64| 1.0 / (1.0 - beta.powi(steps));
            first = first.clone() * 0.9 + grad.clone() * 0.1;
            second = second.clone() * 0.999 + grad.clone().square() * 0.001;
            let scale = (second.clone() * unbias(0.999)).sqrt() + 1e-5;
            flat = flat.clone() - first.clone() / scale * (1e-3 * unbias(0.9));
        });
    }
}

/// Generalised advantages of a rollout `[T, N]`, and the same recurrence one time step after the other.
#[divan::bench_group(max_time = 1)]
mod advantages {
    use super::*;

    const GAMMA: f64 = 0.99;
    const LAMBDA: f64 = 0.95;

    #[divan::bench(args = [[128, 8], [32, 512], [32, 2048]])]
    fn gae_of(bencher: Bencher, [steps, envs]: [usize; 2]) {
        let trace = trace(steps, envs);
        bencher
            .counter(ItemsCount::new(steps * envs))
            .bench_local(|| gae(&trace, GAMMA, LAMBDA));
    }

    #[divan::bench(args = [[128, 8], [32, 512], [32, 2048]])]
    fn step_by_step(bencher: Bencher, [steps, envs]: [usize; 2]) {
        let trace = trace(steps, envs);
        bencher
            .counter(ItemsCount::new(steps * envs))
            .bench_local(|| {
                let alive = trace.terminated.clone().float().neg() + 1.0;
                let ended = trace.terminated.clone().bool_or(trace.truncated.clone());
                let decay = (ended.float().neg() + 1.0) * (GAMMA * LAMBDA);
                let targets = trace.rewards.clone() + alive * trace.next_values.clone() * GAMMA;
                let residuals = targets - trace.values.clone();
                let row = |x: &Tensor<2>, t| x.clone().narrow(0, t, 1);
                let mut rows = vec![row(&residuals, steps - 1)];
                for t in (0..steps - 1).rev() {
                    let later = rows[rows.len() - 1].clone();
                    rows.push(row(&residuals, t) + row(&decay, t) * later);
                }
                rows.reverse();
                Tensor::cat(rows, 0)
            });
    }

    /// Episodes of about twenty steps.
    fn trace(steps: usize, envs: usize) -> Trace {
        let shape = [steps, envs];
        Trace {
            rewards: normal(shape),
            values: normal(shape),
            next_values: normal(shape),
            terminated: normal(shape).greater_elem(1.65),
            truncated: normal(shape).greater_elem(9.0),
            agents: 1,
        }
    }
}
