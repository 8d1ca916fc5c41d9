//! Phases of an iteration and their times.
//!
//! The clock is read between the trainer's three calls, always after waiting for the device. Waiting takes time, which is
//! why throughput is measured separately. Scaling rewards and updating the moments of observations, if configured, are a
//! part of the update.

use super::{plan::Work, spread::Spread, sync, throughput::Counts};
use burn::tensor::{Device, Tensor};
use serde::Serialize;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};
use uphill_algos::{AlgoConfig, StepError, Trainer};
use uphill_core::advantage::Estimator;
use uphill_envs::{
    BatchEnv, EnvError, EnvSpec, EnvState, Episode, Finished, HostSteps, ObsBuf, ObsRef, Step,
    StepRows,
};

/// A value for each phase of an iteration.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Phases<T> {
    /// Inference of the policy, then values and log-probabilities of the rollout.
    pub(super) inference: T,
    /// Steps of the copies; `None` if one kernel runs policy and environment, as a part of `inference`.
    pub(super) environment: Option<T>,
    /// Advantages; `None` if the algorithm has no separate estimator, as a part of `update`.
    pub(super) advantage: Option<T>,
    /// Learning from the rollout, including the read-back of the metrics.
    pub(super) update: T,
}

impl Phases<Spread> {
    /// Summary over rounds; `None` without rounds.
    pub(super) fn over(rounds: &[Phases<f64>]) -> Option<Self> {
        let first = rounds.first()?;
        let spread = |phase: fn(&Phases<f64>) -> f64| Spread::of(rounds.iter().map(phase));
        Some(Self {
            inference: spread(|p| p.inference),
            environment: (first.environment).map(|_| spread(|p| p.environment.unwrap_or(0.0))),
            advantage: (first.advantage).map(|_| spread(|p| p.advantage.unwrap_or(0.0))),
            update: spread(|p| p.update),
        })
    }
}

/// A run on one device, split into phases.
pub(super) struct Probe {
    trainer: Trainer,
    device: Device,
    estimator: Option<Estimator>,
    clock: Clock,
    /// Number of iterations in each turn.
    turn: u64,
}

impl Probe {
    /// A new run, warmed up by as many iterations as the trainer that is measured beside it, so that both have learned
    /// equally much and have recorded the same launches. `None` for algorithms whose workers collect and learn
    /// concurrently: they have no phases.
    pub(super) fn new(
        work: &Work,
        device: &Device,
        counts: Counts,
    ) -> anyhow::Result<Option<Self>> {
        if let AlgoConfig::A3c(_) = work.config.algo {
            return Ok(None);
        }
        let clock = Clock::default();
        let timed = |env| -> Box<dyn BatchEnv> { Box::new(TimedEnv::new(env, device, &clock)) };
        let mut probe = Self {
            trainer: Trainer::new(work.config.clone(), device)?.around_envs(timed),
            device: device.clone(),
            estimator: estimator(&work.config.algo),
            clock: clock.clone(),
            turn: counts.turn,
        };
        for _ in 0..counts.warm_up {
            probe.iteration()?;
        }
        Ok(Some(probe))
    }

    /// Milliseconds of each phase, as the mean over a turn.
    pub(super) fn turn(&mut self) -> anyhow::Result<Phases<f64>> {
        let mut total = Phases {
            inference: 0.0,
            environment: None,
            advantage: None,
            update: 0.0,
        };
        let turn = self.turn;
        let share = |time: Duration| time.as_secs_f64() * 1e3 / turn as f64;
        let add = |sum: &mut Option<f64>, time: Option<Duration>| {
            if let Some(time) = time {
                *sum.get_or_insert_default() += share(time);
            }
        };
        for _ in 0..turn {
            let phases = self.iteration()?;
            total.inference += share(phases.inference);
            add(&mut total.environment, phases.environment);
            add(&mut total.advantage, phases.advantage);
            total.update += share(phases.update);
        }
        Ok(total)
    }

    fn iteration(&mut self) -> anyhow::Result<Phases<Duration>> {
        let never = AtomicBool::new(false);
        let (trainer, device) = (&mut self.trainer, &self.device);
        *self.clock.elapsed() = None;
        let (collected, collecting) = timed(device, || trainer.collect(&never))?;
        let collected = collected?.unwrap_or_else(|| unreachable!("nothing stops it"));
        let environment = *self.clock.elapsed();

        // The update computes advantages too; here they are computed separately, and their time is subtracted.
        let advantage = match self.estimator.zip(collected.rollout()) {
            None => None,
            Some((estimator, rollout)) => {
                let (trace, gamma) = (rollout.trace(), trainer.config().algo.settings().gamma());
                // Kept until after the wait, so that no backend skips an unused result.
                let (_advantages, time) = timed(device, || estimator.advantages(&trace, gamma))?;
                Some(time)
            }
        };

        let learn = || -> Result<_, StepError> {
            let learned = trainer.learn(collected, &never)?;
            learned.map(|learned| trainer.report(learned)).transpose()
        };
        let (reported, update) = timed(device, learn)?;
        reported?;
        Ok(Phases {
            inference: collecting.saturating_sub(environment.unwrap_or_default()),
            environment,
            advantage,
            update: update.saturating_sub(advantage.unwrap_or_default()),
        })
    }
}

/// Result of `work`, and the time until it and the device were done.
fn timed<R>(device: &Device, work: impl FnOnce() -> R) -> anyhow::Result<(R, Duration)> {
    sync(device)?;
    let clock = Instant::now();
    let result = work();
    sync(device)?;
    Ok((result, clock.elapsed()))
}

/// The algorithm's advantage estimator, if it is a single function of the rollout.
fn estimator(algo: &AlgoConfig) -> Option<Estimator> {
    let lambda = match algo {
        AlgoConfig::Ppo(ppo) => ppo.gae_lambda,
        AlgoConfig::Vpg(vpg) => vpg.gae_lambda,
        AlgoConfig::TrustRegion(trust_region) => trust_region.gae_lambda,
        AlgoConfig::Npg(npg) => npg.gae_lambda,
        AlgoConfig::Trpo(trpo) => trpo.gae_lambda,
        AlgoConfig::A2c(a2c) => return Some(a2c.estimator()),
        _ => return None,
    };
    Some(Estimator::Gae { lambda })
}

/// Time of an environment's steps; `None` until the first call of a step.
#[derive(Clone, Default)]
struct Clock(Arc<Mutex<Option<Duration>>>);

impl Clock {
    fn elapsed(&self) -> MutexGuard<'_, Option<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, since: Instant) {
        *self.elapsed().get_or_insert_default() += since.elapsed();
    }
}

/// An environment that accumulates the time of its steps.
struct TimedEnv {
    inner: Box<dyn BatchEnv>,
    device: Device,
    clock: Clock,
    /// Current observations `[N, O]`, for loops in host memory.
    host_obs: ObsBuf,
}

impl TimedEnv {
    fn new(inner: Box<dyn BatchEnv>, device: &Device, clock: &Clock) -> Self {
        Self {
            host_obs: ObsBuf::with_capacity(inner.spec().obs.element, 0),
            inner,
            device: device.clone(),
            clock: clock.clone(),
        }
    }
}

impl HostSteps for TimedEnv {
    fn obs(&self) -> ObsRef<'_> {
        self.host_obs.as_ref()
    }

    fn step(&mut self, actions: &mut [f32], into: StepRows<'_>) {
        let began = Instant::now();
        let Some(inner) = self.inner.on_host() else {
            unreachable!("a batch does not leave host memory");
        };
        inner.step(actions, into);
        self.clock.add(began);
        self.host_obs.as_mut().copy_from(inner.obs());
    }
}

impl BatchEnv for TimedEnv {
    fn step(&mut self, actions: Tensor<2>) -> Step {
        // A device that fails here fails again at the end of the rollout, where the error can be returned.
        let _ = self.device.sync();
        let began = Instant::now();
        let step = self.inner.step(actions);
        let _ = self.device.sync();
        self.clock.add(began);
        step
    }

    /// The same loop as without the clock; otherwise a different loop would be measured.
    fn on_host(&mut self) -> Option<&mut dyn HostSteps> {
        let obs = self.inner.on_host()?.obs();
        self.host_obs.clear();
        self.host_obs.extend(obs);
        Some(self)
    }

    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn on_device(&mut self) -> Option<&mut dyn uphill_envs::device::DeviceSteps> {
        self.inner.on_device()
    }

    fn spec(&self) -> &EnvSpec {
        self.inner.spec()
    }

    fn num_envs(&self) -> usize {
        self.inner.num_envs()
    }

    fn reset(&mut self, seed: u64) -> Tensor<2> {
        self.inner.reset(seed)
    }

    fn obs(&self) -> Tensor<2> {
        self.inner.obs()
    }

    fn failure(&self) -> Option<&EnvError> {
        self.inner.failure()
    }

    fn saves_copies(&self) -> bool {
        self.inner.saves_copies()
    }

    fn take_episodes(&mut self) -> Vec<Episode> {
        self.inner.take_episodes()
    }

    fn take_finished(&mut self, most: usize) -> Finished {
        self.inner.take_finished(most)
    }

    fn save(&self) -> EnvState {
        self.inner.save()
    }

    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError> {
        self.inner.restore(state)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bench::{
        plan::{built_in, check},
        tests::any_device,
    };
    use uphill_algos::{
        RunConfig, build_actor, build_critic,
        collect::{collect, start},
        ppo::PpoConfig,
        reinforce::ReinforceConfig,
    };

    #[test]
    fn a_probe_makes_as_many_iterations_as_the_trainer() {
        let counts = Counts {
            warm_up: 3,
            turn: 2,
        };
        for whole_episodes in [false, true] {
            let mut config = built_in();
            config.network.hidden = vec![8];
            if whole_episodes {
                config.algo = ReinforceConfig::default().into();
            }
            let work = check(config, 1).unwrap();
            let mut probe = Probe::new(&work, &any_device(), counts).unwrap().unwrap();
            assert_eq!(probe.trainer.iteration(), 3);
            let phases = probe.turn().unwrap();
            assert_eq!(probe.trainer.iteration(), 3 + 2);
            assert_eq!(phases.advantage.is_none(), whole_episodes);
        }
    }

    /// Two rollouts with and without the clock, the second continuing the first.
    #[test]
    fn the_clock_changes_nothing() {
        let device = any_device();
        let config = RunConfig::new("CartPole-v1", 3, 1, PpoConfig::default().into());
        let make = || uphill_envs::make("CartPole-v1", 3, &device).unwrap();
        let mut plain = make();
        let clock = Clock::default();
        let mut timed = TimedEnv::new(make(), &device, &clock);
        let actor = build_actor(&config, plain.spec(), &device).unwrap();
        let critic = build_critic(&config, plain.spec(), &device);
        let rollout = |env: &mut dyn BatchEnv, first_step| {
            let mut memory = start(&actor, &critic, 3);
            collect(
                (&actor, &critic),
                env,
                &mut memory,
                40,
                uphill_envs::NoiseAt::actions(7, first_step),
            )
        };
        for first_step in [0, 40] {
            let expected = rollout(plain.as_mut(), first_step);
            let before = *clock.elapsed();
            let found = rollout(&mut timed, first_step);
            assert!(*clock.elapsed() > before);
            for (found, expected) in [
                (found.rewards, expected.rewards),
                (found.log_probs, expected.log_probs),
                (found.values, expected.values),
                (found.next_values, expected.next_values),
            ] {
                assert_eq!(found.to_data(), expected.to_data());
            }
        }
        let same_loop = timed.on_host().is_some() == plain.on_host().is_some();
        assert!(same_loop);
        assert_eq!(timed.take_episodes(), plain.take_episodes());
    }
}
