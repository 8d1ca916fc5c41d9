//! Gradients and gradient steps of actor and critic on the device.

use crate::buffers::Buffers;
use crate::device::has_kernels;
use crate::graph::Graph;
use crate::ops::LearningOps;
use crate::plan::{Plan, measured};
use crate::setup::scalars;
use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use std::thread::{self, ThreadId};
use uphill_cpu::{descent::HostStep, loss::ActorCriticLoss};

pub use crate::buffers::Samples;
pub use crate::setup::{AdamRule, Networks};

/// Actor, critic, their optimiser and a batch, for updates that stay on the device.
///
/// Everything is copied into buffers that remain in place for the next update, so that the launches of an update can be
/// recorded once and replayed. The results are the same, bit for bit.
#[derive(Debug)]
pub struct Learner {
    /// There are no other handles to these buffers, nor to those of the samples and the keys.
    state: Buffers,
    samples: Samples,
    /// Keys of the orders of samples, `[2·epochs]`.
    keys: Tensor<1, Int>,
    plan: Plan,
    launches: Launches,
    /// Thread whose operations are ordered with respect to a replay; those of other threads may overtake it.
    thread: ThreadId,
}

/// Learned state of `S` agents of one shape, concatenated by agent.
#[derive(Clone, Debug)]
pub struct Learnt {
    /// Parameters of the actors and of the critics, `[S·P]` each.
    pub params: [Tensor<1>; 2],
    /// First and second moments, of each agent's actor and then of its critic, `[S·P]` each.
    pub moments: [Tensor<1>; 2],
}

/// Constants of an update.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// Networks, equal for all agents.
    pub networks: Networks<'a>,
    /// Number of agents `S`.
    pub agents: usize,
    /// Number of minibatches of each agent's samples; each is one step.
    pub minibatches: usize,
    /// Loss to minimise.
    pub loss: &'a ActorCriticLoss,
    /// Size of a step.
    pub step: HostStep,
    /// Settings of Adam.
    pub adam: AdamRule,
}

/// Launching of several epochs' steps.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one of these in a run
enum Launches {
    /// One by one, this many times until now.
    Issued(u32),
    /// All at once. The tensor `[M·S, 6]` receives the diagnostics.
    Recorded(Graph, Tensor<2>),
    /// One by one, because the device does not support recording.
    Refused,
}

/// Number of times that epochs are launched one by one before they are recorded, which costs another time.
const UNRECORDED: u32 = 1;

impl Learner {
    /// Starts an update. The learner of an earlier update (`kept`) is reused if the sizes are the same.
    ///
    /// `None` if this is not possible: for devices without kernels, networks that do not fit into a cube's shared
    /// memory, distributions other than one categorical choice or Gaussian, and surrogates other than PPO's clipped one
    /// and the log-probability.
    pub fn new(
        kept: Option<Self>,
        setting: &Setting<'_>,
        learnt: Learnt,
        samples: Samples,
    ) -> Option<Self> {
        let sizes = [setting.agents, setting.minibatches];
        let plan = setting.networks.plan(&samples, sizes, setting.loss)?;
        let [first, second] = learnt.moments;
        let len = plan.agents * plan.num_params();
        assert_eq!(first.dims(), [len], "length of adam");
        let device = samples.obs.device();
        let thread = thread::current().id();
        let fits = |kept: &Self| {
            kept.plan == plan && kept.thread == thread && kept.samples.obs.device() == device
        };
        let mut learner = kept.filter(fits).unwrap_or_else(|| Self {
            state: Buffers::beside(&samples.values, &plan),
            samples: samples.empty_like(),
            keys: Tensor::empty([0], &device),
            plan,
            launches: Launches::Issued(0),
            thread,
        });
        let scalars = scalars(setting.loss, setting.step, setting.adam).repeat(plan.agents);
        let [actor, critic] = learnt.params;
        learner.state = learner.state.filled(Buffers {
            actor,
            critic,
            first,
            second,
            scalars: Tensor::from_data(scalars.as_slice(), &device),
        });
        learner.samples = learner.samples.filled(samples);
        Some(learner)
    }

    /// Takes a step on each minibatch of as many epochs as there are `keys` ([`shuffle_keys`]), each of which
    /// determines the order of its samples; with several agents, each has a key in every epoch. Returns policy loss,
    /// value loss, entropy, approximate KL, clip fraction and gradient norm of each step, `[M·S, 6]`, still on the
    /// device.
    ///
    /// # Panics
    ///
    /// If the device fails to execute the recorded launches.
    pub fn epochs(&mut self, keys: Tensor<1, Int>) -> Tensor<2> {
        let epochs = keys.dims()[0] / (2 * self.plan.agents);
        if self.keys.dims() != keys.dims() {
            self.keys = keys.empty_like();
            self.launches = Launches::Issued(0);
        }
        let own = std::mem::replace(&mut self.keys, keys.clone());
        self.keys = Tensor::from_dispatch(Dispatch::copy_keys(
            own.into_dispatch(),
            keys.into_dispatch(),
        ));
        if self.thread != thread::current().id() {
            self.launches = Launches::Refused;
        }
        if let Launches::Issued(UNRECORDED..) = self.launches {
            self.launches = self.record(epochs);
        }
        match &mut self.launches {
            Launches::Recorded(graph, reported) => {
                graph.replay(&self.samples.obs.device());
                // The next replay overwrites it.
                let reported = reported.clone().into_dispatch();
                Tensor::from_dispatch(Dispatch::duplicate(reported))
            }
            Launches::Issued(times) => {
                *times += 1;
                self.launch(epochs)
            }
            Launches::Refused => self.launch(epochs),
        }
    }

    /// Whether the launches of the last [`epochs`](Self::epochs) were replayed.
    pub fn is_recorded(&self) -> bool {
        matches!(self.launches, Launches::Recorded(..))
    }

    /// Means over the rows that [`epochs`](Self::epochs) returned, explained variance of the values before the update,
    /// and norm of all parameters, `[8]` for each agent, `[S·8]`, still on the device.
    pub fn summary(&self, reported: Vec<Tensor<2>>) -> Tensor<1> {
        let own = |x: &Tensor<1>| x.clone().into_dispatch();
        let reported = match <[Tensor<2>; 1]>::try_from(reported) {
            Ok([all]) => all, // joining one tensor would be a launch
            Err(parts) => Tensor::cat(parts, 0),
        };
        Tensor::from_dispatch(Dispatch::summary(
            reported.into_dispatch(),
            own(&self.samples.values),
            own(&self.samples.returns),
            own(&self.state.actor),
            own(&self.state.critic),
            self.plan.agents,
        ))
    }

    /// Returns the learned state so far.
    pub fn learnt(&self) -> Learnt {
        let now = self.copied();
        Learnt {
            params: [now.actor, now.critic],
            moments: [now.first, now.second],
        }
    }

    /// A copy of the state in other buffers.
    fn copied(&self) -> Buffers {
        Buffers::beside(&self.samples.values, &self.plan).filled(self.state.clone())
    }

    fn launch(&mut self, epochs: usize) -> Tensor<2> {
        let state = self.state.take(&self.samples.values);
        let (state, reported) = steps(state, &self.samples, &self.keys, epochs, self.plan);
        self.state = state;
        reported
    }

    /// Records the launches and leaves the state unchanged.
    fn record(&mut self, epochs: usize) -> Launches {
        let before = self.copied();
        let (samples, keys, plan) = (&self.samples, &self.keys, self.plan);
        let state = self.state.take(&self.samples.values);
        let launches = |state| steps(state, samples, keys, epochs, plan);
        match Graph::record(&samples.obs.device(), state, launches) {
            Ok((graph, state, reported)) => {
                self.state = state.filled(before);
                Launches::Recorded(graph, reported)
            }
            Err(error) => {
                tracing::debug!(%error, "an update is launched step by step: it cannot be recorded");
                self.state = before;
                Launches::Refused
            }
        }
    }
}

/// Takes a step on each minibatch of `epochs` epochs; returns the state after them and the diagnostics `[M·S, 6]`.
fn steps(
    state: Buffers,
    samples: &Samples,
    keys: &Tensor<1, Int>,
    epochs: usize,
    plan: Plan,
) -> (Buffers, Tensor<2>) {
    let learned = Dispatch::learn(
        state.into_state(),
        samples.clone().into_batch(),
        keys.clone().into_dispatch(),
        epochs,
        plan,
    );
    let reported = Tensor::from_dispatch(learned.reported);
    (Buffers::from_state(learned.state), reported)
}

/// Gradients of `loss` over the samples with respect to the parameters of actor and critic, `[P]` each, and the means
/// of surrogate, entropy, approximate KL, clip fraction and value loss `[5]`, all on the device. `None` under the
/// conditions of [`Learner::new`].
pub fn gradient(
    networks: Networks<'_>,
    [actor, critic]: [Tensor<1>; 2],
    samples: Samples,
    loss: &ActorCriticLoss,
) -> Option<([Tensor<1>; 2], Tensor<1>)> {
    let plan = networks.plan(&samples, [1, 1], loss)?;
    let (device, len) = (samples.obs.device(), samples.len());
    let step = HostStep {
        learning_rates: [0.0; 2],
        max_grad_norm: 0.0,
        joint_norm: true,
    };
    let adam = AdamRule {
        betas: [0.0; 2],
        epsilon: 0.0,
        steps: 0,
    };
    let scalars = scalars(loss, step, adam);
    let totals: Tensor<1> = Tensor::from_dispatch(Dispatch::gradient(
        actor.into_dispatch(),
        critic.into_dispatch(),
        Tensor::<1>::from_data(scalars, &device).into_dispatch(),
        samples.into_batch(),
        shuffle_keys(&[[0, 0]], &device).into_dispatch(),
        plan,
    ));
    let (of_actor, of_both) = (plan.actor.num_params(), plan.num_params());
    let part = |from: usize, to: usize| totals.clone().narrow(0, from, to - from);
    let means = part(of_both, of_both + measured::COUNT) * (1.0 / len as f64);
    Some(([part(0, of_actor), part(of_actor, of_both)], means))
}

/// Keys for the order of samples in each epoch of [`Learner::epochs`], `[2·epochs]`: the halves of the epochs' keys. If
/// several agents learn at once, the keys of all agents for the first epoch come first.
pub fn shuffle_keys(keys: &[[u32; 2]], device: &Device) -> Tensor<1, Int> {
    let words: Vec<i32> = keys.iter().flatten().map(|word| *word as i32).collect();
    let len = [words.len()];
    Tensor::from_data(TensorData::new(words, len), (device, DType::I32))
}

/// The indices below `len` in the random order given by `key`, `[len]`, computed on the device; `None` if there are no
/// kernels.
pub fn order(key: [u32; 2], len: usize, device: &Device) -> Option<Tensor<1, Int>> {
    if !has_kernels(device) {
        return None;
    }
    let keys = shuffle_keys(&[key], device).into_dispatch();
    Some(Tensor::from_dispatch(Dispatch::order(keys, 0, len)))
}
