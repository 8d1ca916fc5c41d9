//! Launches of networks' passes and updates.

use super::copies::{ChangingLaunch, copy_keys_kernel, copy_samples_kernel, copy_state_kernel};
use super::gradient::{MinibatchLaunch, SamplesLaunch, gradient_kernel};
use super::launch::{MOST_CUBES, arg, beside, cubes, own, room, some_threads, threads, units};
use super::perceptron::perceptron_kernel;
use super::shuffle::{bits, order_kernel};
use super::step::{MomentsLaunch, adam_kernel, reduce_kernel, spread_kernel};
use super::summary::summary_kernel;
use crate::layers::{Layers, UNITS};
use crate::ops::{Batch, Learned, LearningOps, State};
use crate::plan::{Plan, reported};
use burn::{backend::TensorMetadata, tensor::Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

/// Number of columns of a network's outputs.
fn width(layers: &Layers) -> usize {
    layers.heads() + layers.log_stds
}

impl LearningOps for CubeBackend {
    fn perceptron(
        obs: CubeTensor,
        params: CubeTensor,
        networks: usize,
        rows: usize,
        layers: Layers,
    ) -> CubeTensor {
        let (obs, params) = (into_contiguous(obs), into_contiguous(params));
        let outputs = beside(&obs, [obs.shape()[0], width(&layers)]);
        let batch = obs.shape()[0] / networks;
        perceptron_kernel::launch(
            &obs.client.clone(),
            cubes([batch.div_ceil(rows).min(MOST_CUBES), networks, 1]),
            units(),
            obs.into_buffer_arg(),
            params.into_buffer_arg(),
            outputs.clone().into_buffer_arg(),
            batch,
            rows,
            layers,
        );
        outputs
    }

    fn order(keys: CubeTensor, epoch: usize, len: usize) -> CubeTensor {
        let order = beside(&keys, [len]);
        order_kernel::launch(
            &keys.client.clone(),
            threads(&keys, len),
            units(),
            into_contiguous(keys).into_buffer_arg(),
            order.clone().into_buffer_arg(),
            epoch as u32,
            len as u32,
            bits(len),
        );
        order
    }

    fn gradient(
        actor: CubeTensor,
        critic: CubeTensor,
        scalars: CubeTensor,
        batch: Batch<Self>,
        keys: CubeTensor,
        plan: Plan,
    ) -> CubeTensor {
        let networks = [into_contiguous(actor), into_contiguous(critic)];
        let gradient = Gradient::new(networks, own(scalars), batch, keys, 1, plan);
        gradient.launch(0, 0);
        gradient.totals
    }

    fn room(tensor: CubeTensor, shape: Shape) -> CubeTensor {
        room(&tensor, shape)
    }

    fn copy_state(to: State<Self>, from: State<Self>) -> State<Self> {
        let [actor, critic, scalars] =
            [&to.actor, &to.critic, &to.scalars].map(|part| part.meta.num_elements());
        let from = State::<Self> {
            actor: into_contiguous(from.actor),
            critic: into_contiguous(from.critic),
            first: into_contiguous(from.first),
            second: into_contiguous(from.second),
            scalars: into_contiguous(from.scalars),
        };
        copy_state_kernel::launch(
            &to.actor.client,
            some_threads(&to.actor, actor + critic),
            units(),
            to.arg(),
            from.arg(),
            actor,
            critic,
            scalars,
        );
        to
    }

    fn copy_batch(to: Batch<Self>, from: Batch<Self>) -> Batch<Self> {
        let from = from.contiguous();
        let (obs, actions) = (to.obs.shape(), to.actions.shape());
        copy_samples_kernel::launch(
            &to.obs.client,
            some_threads(&to.obs, obs[0] * obs[1]),
            units(),
            to.arg(),
            from.arg(),
            obs[0],
            obs[1],
            actions[1],
        );
        to
    }

    fn copy_keys(to: CubeTensor, from: CubeTensor) -> CubeTensor {
        let len = to.meta.num_elements();
        copy_keys_kernel::launch(
            &to.client,
            threads(&to, len),
            units(),
            arg(&to),
            arg(&into_contiguous(from)),
            len,
        );
        to
    }

    fn duplicate(from: CubeTensor) -> CubeTensor {
        from.copy()
    }

    fn learn(
        state: State<Self>,
        batch: Batch<Self>,
        keys: CubeTensor,
        epochs: usize,
        plan: Plan,
    ) -> Learned<Self> {
        let steps = epochs * plan.minibatches;
        let reported = beside(&state.actor, [steps * plan.agents, reported::COUNT]);
        let networks = [state.actor.clone(), state.critic.clone()];
        let gradient = Gradient::new(networks, state.scalars.clone(), batch, keys, epochs, plan);
        for step in 0..steps {
            gradient.launch(step / plan.minibatches, step % plan.minibatches);
            adam_kernel::launch(
                &state.actor.client,
                cubes([plan.num_params().div_ceil(UNITS), plan.agents, 1]),
                units(),
                arg(&gradient.totals),
                arg(&gradient.squares),
                arg(&state.scalars),
                arg(&state.actor),
                arg(&state.critic),
                MomentsLaunch::new(arg(&state.first), arg(&state.second)),
                arg(&reported),
                step as u32,
                plan,
            );
        }
        Learned { state, reported }
    }

    fn summary(
        reported: CubeTensor,
        values: CubeTensor,
        returns: CubeTensor,
        actor: CubeTensor,
        critic: CubeTensor,
        agents: usize,
    ) -> CubeTensor {
        let summary = beside(&reported, [agents * reported::SUMMARY]);
        let [steps, batch, actor_len, critic_len] = [&reported, &returns, &actor, &critic]
            .map(|tensor| tensor.meta.num_elements() / agents);
        summary_kernel::launch(
            &summary.client.clone(),
            cubes([agents, 1, 1]),
            units(),
            into_contiguous(reported).into_buffer_arg(),
            into_contiguous(values).into_buffer_arg(),
            into_contiguous(returns).into_buffer_arg(),
            into_contiguous(actor).into_buffer_arg(),
            into_contiguous(critic).into_buffer_arg(),
            summary.clone().into_buffer_arg(),
            steps / reported::COUNT,
            batch,
            actor_len,
            critic_len,
        );
        summary
    }
}

impl State<CubeBackend> {
    fn arg(&self) -> ChangingLaunch {
        ChangingLaunch::new(
            arg(&self.actor),
            arg(&self.critic),
            arg(&self.first),
            arg(&self.second),
            arg(&self.scalars),
        )
    }
}

impl Batch<CubeBackend> {
    fn contiguous(self) -> Self {
        Self {
            obs: into_contiguous(self.obs),
            actions: into_contiguous(self.actions),
            log_probs: into_contiguous(self.log_probs),
            values: into_contiguous(self.values),
            advantages: into_contiguous(self.advantages),
            returns: into_contiguous(self.returns),
        }
    }

    fn arg(&self) -> SamplesLaunch {
        SamplesLaunch::new(
            arg(&self.obs),
            arg(&self.actions),
            arg(&self.log_probs),
            arg(&self.values),
            arg(&self.advantages),
            arg(&self.returns),
        )
    }
}

/// Tensors that the launches of a gradient read and write.
struct Gradient {
    networks: [CubeTensor; 2],
    scalars: CubeTensor,
    batch: Batch<CubeBackend>,
    keys: CubeTensor,
    spread: CubeTensor,
    partials: CubeTensor,
    totals: CubeTensor,
    squares: CubeTensor,
    plan: Plan,
}

impl Gradient {
    /// Measures the spread of the advantages in each minibatch of all epochs, which is constant.
    fn new(
        networks: [CubeTensor; 2],
        scalars: CubeTensor,
        batch: Batch<CubeBackend>,
        keys: CubeTensor,
        epochs: usize,
        plan: Plan,
    ) -> Self {
        let minibatches = epochs * plan.minibatches;
        let gradient = Self {
            spread: beside(&scalars, [plan.agents * 2 * minibatches]),
            partials: beside(&scalars, [plan.agents * plan.groups() * plan.partial()]),
            totals: beside(&scalars, [plan.agents * plan.partial()]),
            squares: beside(&scalars, [plan.agents * 2 * plan.blocks()]),
            networks,
            scalars,
            batch: batch.contiguous(),
            keys: into_contiguous(keys),
            plan,
        };
        if plan.standardize {
            spread_kernel::launch(
                &gradient.scalars.client,
                cubes([plan.minibatches, epochs, plan.agents]),
                units(),
                arg(&gradient.batch.advantages),
                arg(&gradient.keys),
                arg(&gradient.spread),
                plan,
            );
        }
        gradient
    }

    /// Computes the gradient of one minibatch into `totals`, with its squares.
    fn launch(&self, epoch: usize, part: usize) {
        let client = &self.scalars.client;
        gradient_kernel::launch(
            client,
            cubes([self.plan.groups(), 2, self.plan.agents]),
            units(),
            self.batch.arg(),
            arg(&self.networks[0]),
            arg(&self.networks[1]),
            MinibatchLaunch::new(
                arg(&self.scalars),
                arg(&self.spread),
                arg(&self.keys),
                epoch as u32,
                part as u32,
            ),
            arg(&self.partials),
            self.plan,
        );
        reduce_kernel::launch(
            client,
            cubes([self.plan.blocks(), self.plan.agents, 1]),
            units(),
            arg(&self.partials),
            arg(&self.totals),
            arg(&self.squares),
            arg(&self.scalars),
            self.plan,
        );
    }
}
