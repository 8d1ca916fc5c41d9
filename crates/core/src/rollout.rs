//! Rollouts of `N` copies over `T` steps, and minibatches of them.

use crate::{
    advantage::{Trace, standardize},
    obs::Obs,
    peers::{self, Peers},
};
use burn::tensor::{Bool, Int, Tensor, TensorData};

/// Experience of `N` copies of an environment over `T` steps, time-major.
///
/// Rollouts of several agents on a GPU are concatenated: `[S·T, N, ..]` instead of `[T, N, ..]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::rollout::{Memory, Rollout};
///
/// // Two steps of three copies, the last step of which was cut off.
/// let device = Device::flex();
/// let zeros = Tensor::<2>::zeros([2, 3], &device);
/// let last = Tensor::<2>::from_floats([[0.0; 3], [1.0; 3]], &device).bool();
/// let rollout = Rollout {
///     obs: Tensor::<3>::zeros([2, 3, 4], &device).into(),
///     actions: Tensor::zeros([2, 3, 1], &device),
///     log_probs: zeros.clone(),
///     values: zeros.clone(),
///     next_values: zeros.clone(),
///     rewards: zeros.clone(),
///     terminated: zeros.clone().bool(),
///     truncated: last,
///     lengths: None,
///     memory: Memory::default(),
///     agents: 1,
/// };
/// assert_eq!(rollout.keep().sum().into_scalar::<f32>(), 3.0);
/// let batch = rollout.flatten(zeros.clone(), zeros);
/// assert_eq!((batch.len(), batch.obs.dims()), (6, [6, 4]));
/// ```
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Raw observations before each step, `[T, N, O]`.
    pub obs: Obs<3>,
    /// Actions as sampled, `[T, N, A]`: before [`env_actions`](crate::dist::DistKind::env_actions) and before the
    /// environment clips to its bounds.
    pub actions: Tensor<3>,
    /// log π(a|s) of the policy that acted, `[T, N]`.
    pub log_probs: Tensor<2>,
    /// V(s_t), `[T, N]`.
    pub values: Tensor<2>,
    /// V of the observation after step t, before a reset, `[T, N]`.
    pub next_values: Tensor<2>,
    /// Rewards `[T, N]`.
    pub rewards: Tensor<2>,
    /// Whether the MDP ended at step t, `[T, N]`.
    pub terminated: Tensor<2, Bool>,
    /// Whether the episode was cut off at step t, `[T, N]`; never together with `terminated`.
    pub truncated: Tensor<2, Bool>,
    /// Lengths `[N]` of the episodes, if every column is one whole episode. Shorter ones are padded to `T` with
    /// arbitrary values. `None`: every entry is a step.
    pub lengths: Option<Vec<usize>>,
    /// States of networks with memory before the first step.
    pub memory: Memory,
    /// Number of agents `S`; several only on a GPU, without `lengths` and `memory`.
    pub agents: usize,
}

/// States of networks with memory, one row per copy; `None` for networks without.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::rollout::Memory;
///
/// let memory = Memory { actor: Some(Tensor::ones([2, 8], &Device::flex())), critic: None };
/// let halved = memory.map(|state| state * 0.5);
/// assert_eq!(halved.actor.unwrap().sum().into_scalar::<f32>(), 8.0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// State of the actor, `[N, H]`.
    pub actor: Option<Tensor<2>>,
    /// State of the critic, `[N, H]`.
    pub critic: Option<Tensor<2>>,
}

impl Memory {
    /// Whether at least one network has memory.
    pub fn exists(&self) -> bool {
        self.actor.is_some() || self.critic.is_some()
    }

    /// Applies `change` to both states.
    pub fn map(&self, change: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        Self {
            actor: self.actor.clone().map(&change),
            critic: self.critic.clone().map(&change),
        }
    }
}

/// A sequence of consecutive steps of one copy.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::rollout::{Memory, Rollout, Span};
///
/// let device = Device::flex();
/// let zeros = Tensor::<2>::zeros([3, 1], &device);
/// let rollout = Rollout {
///     obs: Tensor::<3>::zeros([3, 1, 1], &device).into(),
///     actions: Tensor::zeros([3, 1, 1], &device),
///     log_probs: zeros.clone(),
///     values: zeros.clone(),
///     next_values: zeros.clone(),
///     rewards: Tensor::from_floats([[1.0], [2.0], [3.0]], &device),
///     terminated: zeros.clone().bool(),
///     truncated: zeros.bool(),
///     lengths: None,
///     memory: Memory::default(),
///     agents: 1,
/// };
/// // The last two steps as a rollout of their own.
/// let columns = rollout.columns(&[Span { env: 0, start: 1, len: 2 }]);
/// let rewards: Vec<f32> = columns.rewards.into_data().iter().collect();
/// assert_eq!(rewards, [2.0, 3.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the copy, below `N`.
    pub env: usize,
    /// First step.
    pub start: usize,
    /// Number of steps, at least 1.
    pub len: usize,
}

impl Rollout {
    /// Steps per copy `T` and number of copies `N`.
    pub fn dims(&self) -> [usize; 2] {
        self.rewards.dims()
    }

    /// Whether an episode ended at step t for either reason, `[T, N]`.
    pub fn ended(&self) -> Tensor<2, Bool> {
        self.terminated.clone().bool_or(self.truncated.clone())
    }

    /// 0 where an episode ended and 1 elsewhere, `[T, N]`: the factor for states of networks with memory.
    pub fn keep(&self) -> Tensor<2> {
        self.ended().float().neg() + 1.0
    }

    /// The parts that advantages are computed from.
    pub fn trace(&self) -> Trace {
        Trace {
            rewards: self.rewards.clone(),
            values: self.values.clone(),
            next_values: self.next_values.clone(),
            terminated: self.terminated.clone(),
            truncated: self.truncated.clone(),
            agents: self.agents,
        }
    }

    /// 1 where an entry is a step, 0 where it is padding, `[T, N]`.
    pub fn mask(&self) -> Tensor<2> {
        let ones = self.rewards.ones_like();
        let Some(lengths) = &self.lengths else {
            return ones;
        };
        let [steps, _] = self.dims();
        let device = self.rewards.device();
        let row = Tensor::<1, Int>::arange(0..steps as i64, &device).float();
        let data = lengths.iter().map(|&len| len as f32).collect();
        let lengths = Tensor::<1>::from_data(TensorData::new(data, [lengths.len()]), &device);
        ones * row.unsqueeze_dim::<2>(1).lower(lengths.unsqueeze()).float()
    }

    /// The spans as separate columns, `[T', M]` with `T'` the length of the longest.
    pub fn columns(&self, spans: &[Span]) -> Self {
        assert_eq!(self.agents, 1, "agents with whole episodes");
        let [_, envs] = self.dims();
        let longest = spans.iter().map(|span| span.len).max().unwrap_or(0);
        let at = |t: usize, span: &Span| (span.start + t.min(span.len - 1)) * envs + span.env;
        let rows = (0..longest).flat_map(|t| spans.iter().map(move |span| at(t, span) as i32));
        let indices = Tensor::<1, Int>::from_data(
            TensorData::new(rows.collect(), [longest * spans.len()]),
            &self.rewards.device(),
        );
        let dims = [longest, spans.len()];
        let wide = |x: &Tensor<3>| {
            let [_, _, width] = x.dims();
            let rows = flat3(x.clone()).select(0, indices.clone());
            rows.reshape([dims[0], dims[1], width])
        };
        let numbers = |x: &Tensor<2>| flat2(x.clone()).select(0, indices.clone()).reshape(dims);
        let flags = |x: &Tensor<2, Bool>| numbers(&x.clone().float()).bool();
        Self {
            obs: (self.obs.clone().flat().select(0, indices.clone())).in_steps(dims),
            actions: wide(&self.actions),
            log_probs: numbers(&self.log_probs),
            values: numbers(&self.values),
            next_values: numbers(&self.next_values),
            rewards: numbers(&self.rewards),
            terminated: flags(&self.terminated),
            truncated: flags(&self.truncated),
            lengths: Some(spans.iter().map(|span| span.len).collect()),
            // Every column begins an episode.
            memory: self.memory.map(|state| {
                let [_, width] = state.dims();
                Tensor::zeros([spans.len(), width], &state.device())
            }),
            agents: 1,
        }
    }

    /// All observations as one batch `[B, O]`.
    pub fn flat_obs(&self) -> Obs<2> {
        let obs = self.obs.clone().flat();
        match self.samples() {
            None => obs,
            Some(rows) => obs.select(0, rows),
        }
    }

    /// One batch of the `B` samples (`T·N` without padding) with advantages and value targets, both `[T, N]`.
    pub fn flatten(&self, advantages: Tensor<2>, returns: Tensor<2>) -> Batch {
        Batch {
            obs: self.flat_obs(),
            actions: self.batch3(&self.actions),
            log_probs: self.batch2(&self.log_probs),
            values: self.batch2(&self.values),
            advantages: self.batch2(&advantages),
            returns: self.batch2(&returns),
            sequences: self.memory.exists().then(|| Sequences {
                obs: self.obs.clone(),
                keep: self.keep(),
                memory: self.memory.clone(),
                rows: self.samples(),
            }),
            agents: self.agents,
        }
    }

    fn batch2(&self, x: &Tensor<2>) -> Tensor<1> {
        match self.samples() {
            None => flat2(x.clone()),
            Some(rows) => flat2(x.clone()).select(0, rows),
        }
    }

    fn batch3(&self, x: &Tensor<3>) -> Tensor<2> {
        match self.samples() {
            None => flat3(x.clone()),
            Some(rows) => flat3(x.clone()).select(0, rows),
        }
    }

    /// Rows of the flat rollout that are not padding, `[B]`; `None`: all of them.
    fn samples(&self) -> Option<Tensor<1, Int>> {
        let lengths = self.lengths.as_ref()?;
        let [steps, envs] = self.dims();
        let rows: Vec<i32> = (0..steps * envs)
            .filter(|row| row / envs < lengths[row % envs])
            .map(|row| row as i32)
            .collect();
        let len = rows.len();
        let data = TensorData::new(rows, [len]);
        Some(Tensor::from_data(data, &self.rewards.device()))
    }
}

/// `B` samples for an update, in no particular order; `S·B` of several agents on a GPU, concatenated by agent.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::rollout::Batch;
///
/// let device = Device::flex();
/// let zeros = Tensor::<1>::zeros([3], &device);
/// let batch = Batch {
///     obs: Tensor::<2>::zeros([3, 4], &device).into(),
///     actions: Tensor::zeros([3, 1], &device),
///     log_probs: zeros.clone(),
///     values: zeros.clone(),
///     advantages: Tensor::from_floats([1.0, 2.0, 3.0], &device),
///     returns: zeros,
///     sequences: None,
///     agents: 1,
/// };
/// let minibatch = batch.select(Tensor::from_ints([2, 0], &device));
/// let advantages: Vec<f32> = minibatch.advantages.into_data().iter().collect();
/// assert_eq!(advantages, [3.0, 1.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    /// Raw observations `[B, O]`.
    pub obs: Obs<2>,
    /// Actions `[B, A]`.
    pub actions: Tensor<2>,
    /// log π(a|s) of the policy that acted, `[B]`.
    pub log_probs: Tensor<1>,
    /// V(s) of the critic at that time, `[B]`.
    pub values: Tensor<1>,
    /// Advantages `[B]`.
    pub advantages: Tensor<1>,
    /// Value targets, `[B]`.
    pub returns: Tensor<1>,
    /// For networks with memory: the sequences that contain the samples.
    pub sequences: Option<Sequences>,
    /// Number of agents `S`; several only on a GPU.
    pub agents: usize,
}

/// `M` sequences of `T` steps, which a network with memory must process in order.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::rollout::{Batch, Memory, Sequences};
///
/// // Two steps of two copies, one episode each: minibatches are drawn from the two sequences.
/// let device = Device::flex();
/// let zeros = Tensor::<1>::zeros([4], &device);
/// let batch = Batch {
///     obs: Tensor::<2>::zeros([4, 3], &device).into(),
///     actions: Tensor::zeros([4, 1], &device),
///     log_probs: zeros.clone(),
///     values: zeros.clone(),
///     advantages: zeros.clone(),
///     returns: zeros,
///     sequences: Some(Sequences {
///         obs: Tensor::<3>::zeros([2, 2, 3], &device).into(),
///         keep: Tensor::ones([2, 2], &device),
///         memory: Memory { actor: Some(Tensor::zeros([2, 8], &device)), critic: None },
///         rows: None,
///     }),
///     agents: 1,
/// };
/// assert_eq!((batch.len(), batch.units()), (4, 2));
/// assert_eq!(batch.select(Tensor::from_ints([1], &device)).len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Sequences {
    /// Raw observations `[T, M, O]`.
    pub obs: Obs<3>,
    /// 0 where an episode ended and 1 elsewhere, `[T, M]`.
    pub keep: Tensor<2>,
    /// States before the first step, `[M, H]`.
    pub memory: Memory,
    /// Indices, among the `T·M` steps, of the samples of the batch, in order; `None`: all.
    pub rows: Option<Tensor<1, Int>>,
}

impl Sequences {
    /// The rows of `[T·M, W]` that belong to samples of the batch, `[B, W]`.
    pub(crate) fn samples(&self, rows: Tensor<2>) -> Tensor<2> {
        match &self.rows {
            None => rows,
            Some(indices) => rows.select(0, indices.clone()),
        }
    }

    /// The sequences at `indices` `[M']`.
    fn select(&self, indices: Tensor<1, Int>) -> Self {
        Self {
            obs: self.obs.clone().select(1, indices.clone()),
            keep: self.keep.clone().select(1, indices.clone()),
            memory: self.memory.map(|state| state.select(0, indices.clone())),
            rows: None,
        }
    }

    /// Positions in the batch of the steps of the sequences at `indices` `[M']`: `[T·M']`, time-major.
    fn rows_of(&self, indices: Tensor<1, Int>) -> Tensor<1, Int> {
        let [steps, envs] = self.keep.dims();
        let starts = Tensor::<1, Int>::arange(0..steps as i64, &indices.device()) * envs as i64;
        let [chosen] = indices.dims();
        let rows = starts.unsqueeze_dim::<2>(1) + indices.unsqueeze::<2>();
        rows.reshape([steps * chosen])
    }
}

impl Batch {
    /// Number of samples `B`.
    pub fn len(&self) -> usize {
        self.advantages.dims()[0]
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of units that minibatches are drawn from: samples, or whole sequences for networks with memory.
    pub fn units(&self) -> usize {
        match &self.sequences {
            None => self.len(),
            Some(sequences) => sequences.keep.dims()[1],
        }
    }

    /// The [`units`](Self::units) at `indices` `[M]`.
    ///
    /// # Panics
    /// If networks have memory and the batch consists of whole episodes of different lengths, or if it is of several agents.
    pub fn select(&self, indices: Tensor<1, Int>) -> Self {
        assert_eq!(self.agents, 1, "agents to select from");
        let (indices, sequences) = match &self.sequences {
            None => (indices, None),
            Some(sequences) => {
                assert!(sequences.rows.is_none(), "sequences of different lengths");
                let chosen = sequences.select(indices.clone());
                (sequences.rows_of(indices), Some(chosen))
            }
        };
        let pick = |x: &Tensor<1>| x.clone().select(0, indices.clone());
        Self {
            obs: self.obs.clone().select(0, indices.clone()),
            actions: self.actions.clone().select(0, indices.clone()),
            log_probs: pick(&self.log_probs),
            values: pick(&self.values),
            advantages: pick(&self.advantages),
            returns: pick(&self.returns),
            sequences,
            agents: 1,
        }
    }

    /// [Standardizes](standardize) the advantages over the samples of all processes, or of each agent if there are several.
    pub fn standardize(&mut self, peers: &dyn Peers) {
        let all = self.advantages.clone();
        self.advantages = match self.agents {
            1 => peers::standardize(peers, all),
            agents => Tensor::cat(
                (all.chunk(agents, 0).into_iter().map(standardize)).collect(),
                0,
            ),
        };
    }
}

fn flat3(x: Tensor<3>) -> Tensor<2> {
    let [steps, envs, width] = x.dims();
    x.reshape([steps * envs, width])
}

fn flat2(x: Tensor<2>) -> Tensor<1> {
    let [steps, envs] = x.dims();
    x.reshape([steps * envs])
}
