//! Tensor maths of policy gradients on Burn.
//!
//! This crate holds what all algorithms of the family share: distributions, networks, advantages, losses,
//! normalisation, and parameters as one flat vector. It is independent of environments, files and clocks, and keeps no
//! random-number state: noise is an argument.
//!
//! Axes are time-major everywhere: `T` time, `N` environments, `B` batch, `O` observation,
//! `A` action, `K` choices, `W` distribution parameters, `P` network parameters.
//!
//! Every function runs on the [`Device`](burn::tensor::Device) of its tensors.
//!
//! | module | contents |
//! |---|---|
//! | [`dist`] | categorical (masked, multi-discrete), Gaussian (squashed), Beta: sample, log-prob, entropy, KL, mode, Fisher |
//! | [`nn`] | multi-layer perceptron with orthogonal or uniform initialisation |
//! | [`network`] | any Burn module as a network; its parameters as one flat vector |
//! | [`heads`] | from a network's outputs to distribution parameters: state-dependent σ, masks |
//! | [`ops`] | fused passes of perceptrons, on the CPU and as kernels on GPUs |
//! | [`recurrent`] | networks with memory: gated recurrent unit |
//! | [`policy`] | [`Actor`](policy::Actor) and [`Critic`](policy::Critic) |
//! | [`normalize`] | running moments, observation normaliser, reward scaling |
//! | [`obs`] | observations: floats, or the bytes of images |
//! | [`rollout`] | `[T, N, ..]` experience, flattened to `[B, ..]` and cut into minibatches |
//! | [`advantage`] | TD residuals, GAE, n-step and discounted returns, and the choice of one |
//! | [`baseline`] | baselines to subtract from returns: average, optimal (score-norm weighted) |
//! | [`loss`] | actor-critic loss, policy gradient, clipped surrogate, value losses, diagnostics |
//! | [`peers`] | sums over several processes that train one agent |
//! | [`fisher`] | Fisher-vector products of a policy |
//! | [`cg`] | conjugate gradient |
//! | [`trust_region`] | steps of a given size, measured in parameters or in KL |
//! | [`line_search`] | backtracking under a KL constraint |
//! | [`lbfgs`] | limited-memory BFGS |
//! | [`optim`] | Adam, RMSProp, SGD and global-norm clipping on one flat vector |
//! | [`read_back`] | counted reads from the device |
//! | [`schedule`] | constants and linear schedules over training progress |

pub mod advantage;
pub mod baseline;
pub mod cg;
pub mod dist;
pub mod fisher;
pub mod heads;
pub mod lbfgs;
pub mod line_search;
pub mod loss;
pub mod network;
pub mod nn;
pub mod normalize;
pub mod obs;
pub mod ops;
pub mod optim;
pub mod params;
pub mod peers;
mod perceptron;
pub mod policy;
pub mod read_back;
pub mod recurrent;
pub mod rollout;
mod scan;
pub mod schedule;
pub mod trust_region;
