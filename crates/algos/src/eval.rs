//! Evaluation of a policy without learning.

use crate::{collect::forget, random::action_noise};
use uphill_core::policy::Actor;
use uphill_envs::{BatchEnv, EnvError, Episode, NoiseAt, Stream};

/// The finished episodes of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Exactly the requested number of episodes.
    pub episodes: Vec<Episode>,
}

impl Evaluation {
    /// Mean return.
    pub fn mean_return(&self) -> f64 {
        self.returns().sum::<f64>() / self.episodes.len() as f64
    }

    /// Population standard deviation of the return.
    pub fn std_return(&self) -> f64 {
        let mean = self.mean_return();
        let squares = self.returns().map(|r| (r - mean).powi(2));
        (squares.sum::<f64>() / self.episodes.len() as f64).sqrt()
    }

    /// Mean length, in steps.
    pub fn mean_length(&self) -> f64 {
        let total: f64 = self.episodes.iter().map(|e| f64::from(e.length)).sum();
        total / self.episodes.len() as f64
    }

    /// Returns, one per episode.
    pub fn returns(&self) -> impl Iterator<Item = f64> + '_ {
        self.episodes.iter().map(|e| e.episode_return)
    }
}

/// Runs `episodes` episodes of `actor` after a reset with `seed`, with actions without exploration
/// ([`Dist::greedy`](uphill_core::dist::Dist::greedy)), or sampled ones if `stochastic`.
///
/// Every copy has a quota of episodes: counting the episodes that finish first would favour short ones. Episodes that
/// never end would never be counted, so the environment needs a time limit or a termination.
///
/// # Errors
///
/// Any failure of the environment.
pub fn evaluate(
    actor: &Actor,
    env: &mut dyn BatchEnv,
    episodes: usize,
    seed: u64,
    stochastic: bool,
) -> Result<Evaluation, EnvError> {
    let copies = env.num_envs();
    let quota = |copy: usize| episodes / copies + usize::from(copy < episodes % copies);
    let mut finished: Vec<Vec<Episode>> = vec![Vec::new(); copies];
    let mut obs = env.reset(seed);
    let mut state = actor.net.start(copies);
    let device = obs.device();
    let mut t = 0;
    while (0..copies).any(|copy| finished[copy].len() < quota(copy)) {
        let (dist, after) = actor.step(obs, state);
        let actions = if stochastic {
            let at = NoiseAt::new(seed, Stream::EvalAction, t);
            let noise = action_noise(&actor.kind, at, [1, copies], &device);
            dist.sample(noise.squeeze_dim(0))
        } else {
            dist.greedy()
        };
        let step = env.step(actor.kind.env_actions(actions));
        if let Some(error) = env.failure() {
            return Err(error.clone());
        }
        state = forget(after, &step);
        obs = step.obs;
        t += 1;
        for episode in env.take_episodes() {
            let copy = episode.env;
            if finished[copy].len() < quota(copy) {
                finished[copy].push(episode);
            }
        }
    }
    Ok(Evaluation {
        episodes: finished.concat(),
    })
}
