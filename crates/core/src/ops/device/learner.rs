//! Gradient steps of actor and critic on a GPU: what [`HostLearner`](crate::ops::HostLearner) is in host memory.

use super::backend::{self, DeviceOps, shared_memory};
use super::layers::Layers;
use super::plan::{MEASURED, Plan, scalar};
use super::{cube_device, on_cube};
use crate::{
    network::Net,
    ops::{ActorCriticLoss, HostStep, Surrogate, rows::RowDist, shuffle_keys},
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::backend::{Dispatch, DispatchTensor};
use burn::tensor::{Device, Int, Tensor};

/// Actor, critic, their optimiser and a batch, for one update that stays on the device.
#[derive(Debug)]
pub struct DeviceLearner {
    actor: Tensor<1>,
    critic: Tensor<1>,
    /// Its moments are of the actor's parameters, then of the critic's.
    adam: Adam,
    /// See [`scalar`].
    scalars: Tensor<1>,
    batch: Batch,
    plan: Plan,
}

impl DeviceLearner {
    /// For steps on `minibatches` equal parts of the batch. `adam` is the state for the actor's parameters
    /// followed by the critic's.
    ///
    /// `None` where this is not possible: devices that CubeCL does not drive, networks that are no perceptrons
    /// or do not fit into a cube's shared memory, distributions that are neither categorical nor Gaussian, a
    /// penalised surrogate.
    pub fn new(
        actor: &Actor,
        critic: &Critic,
        batch: &Batch,
        minibatches: usize,
        adam: Adam,
        loss: &ActorCriticLoss,
        step: HostStep,
    ) -> Option<Self> {
        let plan = plan(actor, critic, batch, minibatches, loss)?;
        let scalars = scalars(loss, step, &adam);
        Some(Self {
            actor: actor.net.flat(),
            critic: critic.net.flat(),
            adam,
            scalars: Tensor::from_data(scalars, &batch.obs.device()),
            batch: Batch {
                obs: actor.normalized(batch.obs.clone()),
                ..batch.clone()
            },
            plan,
        })
    }

    /// A step on each minibatch of as many epochs as there are `keys`
    /// ([`shuffle_keys`](crate::ops::shuffle_keys)), each of which chooses the order of its samples. Returns
    /// policy loss, value loss, entropy, approximate KL, clip fraction and gradient norm of each, `[M, 6]`, still
    /// on the device.
    ///
    /// From the second call on, parameters, moments and the count of steps change in place, so that the launches
    /// can be captured and replayed.
    pub fn epochs(&mut self, keys: Tensor<1, Int>) -> Tensor<2> {
        let epochs = keys.dims()[0] / 2;
        let state = backend::State {
            actor: taken(&mut self.actor),
            critic: taken(&mut self.critic),
            first: taken(&mut self.adam.first),
            second: taken(&mut self.adam.second),
            scalars: taken(&mut self.scalars),
        };
        let learned = Dispatch::learn(
            state,
            samples(&self.batch),
            keys.into_dispatch(),
            epochs,
            self.plan,
        );
        self.actor = Tensor::from_dispatch(learned.state.actor);
        self.critic = Tensor::from_dispatch(learned.state.critic);
        self.adam.first = Tensor::from_dispatch(learned.state.first);
        self.adam.second = Tensor::from_dispatch(learned.state.second);
        self.scalars = Tensor::from_dispatch(learned.state.scalars);
        self.adam.steps += (epochs * self.plan.minibatches) as u64;
        Tensor::from_dispatch(learned.reported)
    }

    /// Means over the rows that [`epochs`](Self::epochs) returned, explained variance of the values before the
    /// update, and norm of all parameters, `[8]`, still on the device.
    pub fn summary(&self, reported: Vec<Tensor<2>>) -> Tensor<1> {
        let own = |x: &Tensor<1>| x.clone().into_dispatch();
        Tensor::from_dispatch(Dispatch::summary(
            Tensor::cat(reported, 0).into_dispatch(),
            own(&self.batch.values),
            own(&self.batch.returns),
            own(&self.actor),
            own(&self.critic),
        ))
    }

    /// Hands the networks and the optimiser back.
    pub fn finish(self, actor: &mut Net, critic: &mut Net) -> Adam {
        *actor = actor.with_flat(self.actor);
        *critic = critic.with_flat(self.critic);
        self.adam
    }
}

/// Gradients of `loss` over the batch by the parameters of actor and critic, `[P]` each, and the means of
/// surrogate, entropy, approximate KL, clip fraction and value loss `[5]`, all on the device. `None` where
/// [`DeviceLearner::new`] has none.
pub fn device_gradient(
    actor: &Actor,
    critic: &Critic,
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<([Tensor<1>; 2], Tensor<1>)> {
    let plan = plan(actor, critic, batch, 1, loss)?;
    let device = batch.obs.device();
    let step = HostStep {
        learning_rates: [0.0; 2],
        max_grad_norm: 0.0,
        joint_norm: true,
    };
    let scalars = scalars(loss, step, &Adam::new(0, 0.0, &device));
    let batch = Batch {
        obs: actor.normalized(batch.obs.clone()),
        ..batch.clone()
    };
    let totals: Tensor<1> = Tensor::from_dispatch(Dispatch::gradient(
        actor.net.flat().into_dispatch(),
        critic.net.flat().into_dispatch(),
        Tensor::<1>::from_data(scalars, &device).into_dispatch(),
        samples(&batch),
        shuffle_keys(&[[0, 0]], &device).into_dispatch(),
        plan,
    ));
    let (of_actor, of_both) = (plan.actor.num_params(), plan.num_params());
    let part = |from: usize, to: usize| totals.clone().narrow(0, from, to - from);
    let means = part(of_both, of_both + MEASURED) * (1.0 / batch.len() as f64);
    Some(([part(0, of_actor), part(of_actor, of_both)], means))
}

/// The numbers below `len` in the random order that `key` chooses, `[len]`, made on the device; `None` where the
/// device is not CubeCL's.
pub fn device_order(key: [u32; 2], len: usize, device: &Device) -> Option<Tensor<1, Int>> {
    on_cube(device)?;
    let keys = shuffle_keys(&[key], device).into_dispatch();
    Some(Tensor::from_dispatch(Dispatch::order(keys, 0, len)))
}

/// `None` where there are no kernels for this.
fn plan(
    actor: &Actor,
    critic: &Critic,
    batch: &Batch,
    minibatches: usize,
    loss: &ActorCriticLoss,
) -> Option<Plan> {
    let shapes = [actor.net.perceptron()?, critic.net.perceptron()?];
    let dist = RowDist::of(&actor.kind, shapes[0].log_stds)?;
    let shared = shared_memory(&cube_device(&batch.obs)?)?;
    let penalised = matches!(loss.surrogate, Surrogate::Penalised { .. });
    let squashed = matches!(dist, RowDist::SquashedGaussian { .. });
    let whole = batch.sequences.is_none() && batch.len().is_multiple_of(minibatches);
    if penalised || squashed || !whole {
        return None;
    }
    let sizes = [batch.len(), minibatches];
    let layers = [Layers::new(shapes[0])?, Layers::new(shapes[1])?];
    let loss = ActorCriticLoss {
        // A minibatch of one has no spread.
        standardize: loss.standardize && batch.len() > minibatches,
        ..*loss
    };
    Plan::new(layers, dist, &loss, sizes, shared)
}

fn samples(batch: &Batch) -> backend::Batch<Dispatch> {
    let own = |x: &Tensor<1>| x.clone().into_dispatch();
    backend::Batch {
        obs: batch.obs.clone().into_dispatch(),
        actions: batch.actions.clone().into_dispatch(),
        log_probs: own(&batch.log_probs),
        values: own(&batch.values),
        advantages: own(&batch.advantages),
        returns: own(&batch.returns),
    }
}

/// The tensor itself, without keeping a second handle that would make it read-only.
fn taken(tensor: &mut Tensor<1>) -> DispatchTensor {
    let nothing = Tensor::empty([0], &tensor.device());
    std::mem::replace(tensor, nothing).into_dispatch()
}

fn scalars(loss: &ActorCriticLoss, step: HostStep, adam: &Adam) -> [f32; scalar::COUNT] {
    let mut scalars = [0.0; scalar::COUNT];
    let mut set = |at: usize, value: f64| scalars[at] = value as f32;
    if let Surrogate::Clipped { clip } = loss.surrogate {
        set(scalar::CLIP, f64::from(clip));
    }
    set(scalar::VALUE_CLIP, f64::from(loss.value_clip));
    set(scalar::VALUE_COEF, f64::from(loss.value_coef));
    set(scalar::ENTROPY_COEF, f64::from(loss.entropy_coef));
    set(scalar::MAX_GRAD_NORM, step.max_grad_norm);
    set(scalar::RATE, step.learning_rates[0]);
    set(scalar::CRITIC_RATE, step.learning_rates[1]);
    set(scalar::BETA1, adam.beta1);
    set(scalar::BETA2, adam.beta2);
    set(scalar::EPSILON, adam.epsilon);
    set(scalar::JOINT_NORM, f64::from(u8::from(step.joint_norm)));
    set(scalar::UNBIAS1, 1.0 - adam.beta1.powf(adam.steps as f64));
    set(scalar::UNBIAS2, 1.0 - adam.beta2.powf(adam.steps as f64));
    scalars
}
