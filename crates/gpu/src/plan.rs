//! Sizes of an update, for which its kernels are specialised.

use crate::layers::{Layers, SIDE, UNITS};
use uphill_cpu::{
    dist::RowDist,
    loss::{ActorCriticLoss, Surrogate},
};

/// Positions in the scalars of an update, which are kept on the device and change from update to update or from step to
/// step.
pub(crate) mod scalar {
    pub(crate) const CLIP: usize = 0;
    pub(crate) const VALUE_CLIP: usize = 1;
    pub(crate) const VALUE_COEF: usize = 2;
    pub(crate) const ENTROPY_COEF: usize = 3;
    pub(crate) const MAX_GRAD_NORM: usize = 4;
    /// Learning rates of actor and critic.
    pub(crate) const RATE: usize = 5;
    pub(crate) const CRITIC_RATE: usize = 6;
    pub(crate) const BETA1: usize = 7;
    pub(crate) const BETA2: usize = 8;
    pub(crate) const EPSILON: usize = 9;
    /// 1 − β₁ᵗ and 1 − β₂ᵗ after the steps so far, by which the device counts them. The next value is β (1 − βᵗ) + (1 −
    /// β), which loses no digits, unlike a power near 1.
    pub(crate) const UNBIAS1: usize = 10;
    pub(crate) const UNBIAS2: usize = 11;
    /// 1: one gradient norm over both networks; 0: one norm each.
    pub(crate) const JOINT_NORM: usize = 12;
    pub(crate) const COUNT: usize = 13;
}

/// Diagnostics of a minibatch: positions in sums over its samples.
pub(crate) mod measured {
    pub(crate) const SURROGATE: usize = 0;
    pub(crate) const ENTROPY: usize = 1;
    pub(crate) const APPROX_KL: usize = 2;
    /// Number of clipped ratios.
    pub(crate) const CLIPPED: usize = 3;
    /// Diagnostics of the actor's samples precede this position.
    pub(crate) const OF_ACTOR: usize = 4;
    pub(crate) const VALUE_LOSS: usize = 4;
    pub(crate) const COUNT: usize = 5;
}

/// Reported metrics of a minibatch, and then of an update: positions in a row.
pub(crate) mod reported {
    pub(crate) const POLICY_LOSS: usize = 0;
    pub(crate) const VALUE_LOSS: usize = 1;
    pub(crate) const ENTROPY: usize = 2;
    pub(crate) const APPROX_KL: usize = 3;
    pub(crate) const CLIP_FRACTION: usize = 4;
    pub(crate) const GRAD_NORM: usize = 5;
    pub(crate) const COUNT: usize = 6;
    /// The preceding ones are averaged over minibatches, and followed by:
    pub(crate) const EXPLAINED_VARIANCE: usize = 6;
    pub(crate) const PARAM_NORM: usize = 7;
    pub(crate) const SUMMARY: usize = 8;
}

/// Maximum number of parts of a minibatch. The gradients of the parts are stored and added in order.
const MOST_GROUPS: usize = 128;
/// Maximum number of gradient elements that a thread sums in registers, of which it has at most 255 on NVIDIA's GPUs
/// and needs some for other purposes: enough for three layers of up to 144.
const MOST_SUMS: usize = 128;
/// Maximum number of elements in the partial gradients of several agents together, 1 GiB: GPUs limit the size of a
/// buffer.
const MOST_PARTIALS: usize = 1 << 28;
/// Maximum number of cubes along one dimension of a launch: there is one for each minibatch, and for each agent.
const MOST_CUBES: usize = 65_535;
/// Number of columns of the partial gradients that a cube sums.
pub(crate) const COLUMNS: usize = 32;
/// Number of parts of each column of the partial gradients.
pub(crate) const SLICES: usize = UNITS / COLUMNS;

/// Sizes of an update.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) actor: Layers,
    pub(crate) critic: Layers,
    pub(crate) categorical: bool,
    /// PPO's clipped surrogate instead of log π(a|s) · A.
    pub(crate) clipped: bool,
    pub(crate) standardize: bool,
    /// Number of agents `S` that learn together, each from its own batch.
    pub(crate) agents: usize,
    /// Number of samples `B` of an agent's batch.
    pub(crate) batch: usize,
    /// Number of minibatches of the batch.
    pub(crate) minibatches: usize,
    /// Number of samples that a cube processes together.
    pub(crate) rows: usize,
}

impl Plan {
    /// `None` if a tile does not fit into `shared` bytes of shared memory or its gradients into registers, or if there
    /// are more minibatches, agents or real actions than launches or cubes are wide.
    pub(crate) fn new(
        [actor, critic]: [Layers; 2],
        dist: RowDist,
        loss: &ActorCriticLoss,
        [agents, batch, minibatches]: [usize; 3],
        shared: usize,
    ) -> Option<Self> {
        let plan = |rows| Self {
            actor,
            critic,
            categorical: dist.is_one_choice(),
            clipped: matches!(loss.surrogate, Surrogate::Clipped { .. }),
            standardize: loss.standardize,
            agents,
            batch,
            minibatches,
            rows,
        };
        let narrow = minibatches.max(agents) <= MOST_CUBES && plan(SIDE).extra() <= UNITS;
        let sums = [actor, critic].map(|layers| layers.sums(layers.count));
        let held = sums.into_iter().all(|sums| sums <= MOST_SUMS);
        // The more samples share a thread's reads of the weights, the fewer accesses to shared memory; but there must
        // be tiles for all groups.
        let room = |plan: &Self| {
            let partials = agents.saturating_mul(plan.groups() * plan.partial());
            agents == 1 || partials <= MOST_PARTIALS
        };
        let mut plans = [4 * SIDE, 2 * SIDE, SIDE].map(plan).into_iter();
        let fits = |plan: &Self| {
            let enough = plan.rows <= 2 * SIDE || plan.tiles() >= MOST_GROUPS;
            enough && plan.shared() * 4 <= shared
        };
        plans.find(|plan| narrow && held && fits(plan) && room(plan))
    }

    /// Floats of shared memory that a cube needs.
    fn shared(&self) -> usize {
        self.shared_weights() + self.shared_values() + self.rows * (self.extra_stride() + 1)
    }

    pub(crate) fn shared_weights(&self) -> usize {
        let [actor, critic] = [self.actor, self.critic].map(|layers| layers.shared_weights());
        actor.max(critic)
    }

    pub(crate) fn shared_values(&self) -> usize {
        let [actor, critic] =
            [self.actor, self.critic].map(|layers| layers.shared_values(self.rows));
        actor.max(critic)
    }

    /// Number of columns that are only summed over samples: gradients with respect to log standard deviations, and the
    /// actor's diagnostics.
    pub(crate) fn extra(&self) -> usize {
        self.actor.log_stds + measured::OF_ACTOR
    }

    /// Floats between the rows of these columns.
    pub(crate) fn extra_stride(&self) -> usize {
        self.extra() | 1
    }

    /// Number of samples of a minibatch.
    pub(crate) fn len(&self) -> usize {
        self.batch / self.minibatches
    }

    /// Number of tiles of a minibatch.
    pub(crate) fn tiles(&self) -> usize {
        self.len().div_ceil(self.rows)
    }

    /// Number of cubes that share the tiles of a minibatch.
    pub(crate) fn groups(&self) -> usize {
        self.tiles().min(MOST_GROUPS)
    }

    /// Number of parameters of both networks of an agent.
    pub(crate) fn num_params(&self) -> usize {
        self.actor.num_params() + self.critic.num_params()
    }

    /// Number of elements that every group writes.
    pub(crate) fn partial(&self) -> usize {
        self.num_params() + measured::COUNT
    }

    /// Number of cubes that sum these.
    pub(crate) fn blocks(&self) -> usize {
        self.partial().div_ceil(COLUMNS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uphill_cpu::{
        dist::Choices,
        shape::{Activation, MlpShape},
    };

    fn choice() -> RowDist {
        RowDist::Categorical(Choices::new(&[2]).expect("a choice"))
    }

    fn plan(sizes: [usize; 2], shared: usize) -> Option<Plan> {
        plan_of(64, sizes, shared)
    }

    fn plan_of(width: usize, sizes: [usize; 2], shared: usize) -> Option<Plan> {
        let layers = |outputs| {
            let shape = MlpShape {
                widths: vec![4, width, width, outputs],
                activation: Activation::Tanh,
                log_stds: 0,
                masked: false,
            };
            Layers::new(&shape).expect("three layers")
        };
        let loss = ActorCriticLoss {
            surrogate: Surrogate::Clipped { clip: 0.2 },
            value_clip: 0.0,
            value_coef: 0.5,
            entropy_coef: 0.0,
            standardize: true,
        };
        let networks = [layers(2), layers(1)];
        let [batch, minibatches] = sizes;
        let sizes = [1, batch, minibatches];
        Plan::new(networks, choice(), &loss, sizes, shared)
    }

    #[test]
    fn tiles_shrink_with_the_shared_memory_until_none_fits() {
        // Matrices take 5541 floats, and every sample 138 for inputs and outputs and 6 for other columns.
        let rows = |kib: usize| plan([1024, 4], kib << 10).map(|plan| plan.rows);
        assert_eq!([48, 32, 16].map(rows), [Some(2 * SIDE), Some(SIDE), None]);
    }

    #[test]
    fn tiles_grow_where_there_are_enough_of_them() {
        let rows = |batch: usize| plan([batch, 4], 227 << 10).map(|plan| plan.rows);
        let enough = 4 * MOST_GROUPS * 4 * SIDE;
        assert_eq!(rows(enough), Some(4 * SIDE));
        assert_eq!(rows(enough / 2), Some(2 * SIDE));
    }

    #[test]
    fn gradients_that_no_thread_can_hold_are_left_to_others() {
        let fits = |width| plan_of(width, [1024, 4], 227 << 10).is_some();
        assert!(fits(128) && fits(144) && !fits(160));
    }

    #[test]
    fn so_many_agents_that_no_buffer_holds_their_gradients_are_left_to_others() {
        let fits = |agents| {
            let plan = plan([1 << 16, 4], 48 << 10).expect("one agent");
            let loss = ActorCriticLoss {
                surrogate: Surrogate::LogProb,
                value_clip: 0.0,
                value_coef: 0.5,
                entropy_coef: 0.0,
                standardize: true,
            };
            let sizes = [agents, 1 << 16, 4];
            Plan::new([plan.actor, plan.critic], choice(), &loss, sizes, 48 << 10).is_some()
        };
        assert!(fits(16) && fits(200) && !fits(300));
    }

    #[test]
    fn more_minibatches_than_a_launch_is_wide_are_left_to_others() {
        let fits = |minibatches| plan([4 * minibatches, minibatches], 48 << 10).is_some();
        assert!(fits(MOST_CUBES) && !fits(MOST_CUBES + 1));
    }
}
