//! One step of some neighbouring copies, split over threads.

use super::HostEnv;
use crate::{Episode, Philox, Stream};

/// Copies that one thread steps at a time, at most.
///
/// A step of CartPole takes about 30 ns per copy, so this is 30 µs of work: several times what it costs to hand
/// rows to another thread and wait for them. Measured on two cores, smaller tasks gained nothing.
const ROWS_PER_TASK: usize = 1024;

/// Where one copy is in its episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Clock {
    /// Steps since the episode began; the time limit counts these.
    pub(crate) age: u32,
    /// Age at which this episode began: 0, but for a random one in a first episode.
    pub(crate) start_age: u32,
    /// Episodes of this copy that have ended.
    pub(crate) episode: u32,
    /// Rewards of this episode so far.
    pub(crate) episode_return: f64,
}

impl Clock {
    /// A first episode that begins at `age`.
    pub(super) fn at_age(age: u32) -> Self {
        Self {
            age,
            start_age: age,
            ..Self::default()
        }
    }

    fn next_episode(&mut self) {
        *self = Self {
            episode: self.episode.wrapping_add(1),
            ..Self::default()
        };
    }
}

/// A view of neighbouring copies in the buffers of a batch; `R` is their number.
pub(super) struct Rows<'a> {
    /// Index of the first copy.
    pub(super) first: usize,
    /// `[R]`
    pub(super) clocks: &'a mut [Clock],
    /// `[R, S]`
    pub(super) states: &'a mut [f32],
    /// `[R, A]`
    pub(super) actions: &'a [f32],
    /// `[R, O]`
    pub(super) obs: &'a mut [f32],
    /// `[R, O]`
    pub(super) next_obs: &'a mut [f32],
    /// `[R]`
    pub(super) rewards: &'a mut [f32],
    /// `[R]`
    pub(super) terminated: &'a mut [bool],
    /// `[R]`
    pub(super) truncated: &'a mut [bool],
}

/// Everything about a step that is the same for all copies.
pub(super) struct Stepper<'a, E> {
    pub(super) env: &'a E,
    pub(super) seed: u64,
    pub(super) step: u32,
    pub(super) time_limit: Option<u32>,
    pub(super) state_size: usize,
    pub(super) action_width: usize,
    pub(super) obs_dim: usize,
}

/// A list for each of the [`tasks`] of a step of `rows` copies, with room for whatever may finish in it.
pub(super) fn lists(rows: usize) -> Vec<Vec<Episode>> {
    let list = |_| Vec::with_capacity(rows.min(ROWS_PER_TASK));
    (0..tasks(rows)).map(list).collect()
}

/// Number of tasks that a step of `rows` copies is made of.
fn tasks(rows: usize) -> usize {
    if rows <= ROWS_PER_TASK {
        return 1;
    }
    let half = rows / 2;
    tasks(half) + tasks(rows - half)
}

impl<E: HostEnv> Stepper<'_, E> {
    /// Steps all rows, in halves on two threads while they are many; adds what finished, in order of copies, to
    /// [`lists`].
    pub(super) fn run(&self, rows: Rows<'_>, finished: &mut [Vec<Episode>]) {
        if let [finished] = finished {
            return self.run_here(rows, finished);
        }
        let (left, right) = self.halves(rows);
        let (of_left, of_right) = finished.split_at_mut(tasks(left.clocks.len()));
        rayon::join(|| self.run(left, of_left), || self.run(right, of_right));
    }

    fn run_here(&self, rows: Rows<'_>, finished: &mut Vec<Episode>) {
        let (s, a, o) = (self.state_size, self.action_width, self.obs_dim);
        for (row, clock) in rows.clocks.iter_mut().enumerate() {
            let env = rows.first + row;
            let state = &mut rows.states[row * s..][..s];
            let obs = &mut rows.obs[row * o..][..o];
            let next_obs = &mut rows.next_obs[row * o..][..o];

            let mut rng = Philox::new(self.seed, Stream::Step, self.step, env as u32);
            let outcome = self
                .env
                .step(state, &rows.actions[row * a..][..a], &mut rng);
            self.env.observe(state, next_obs);
            clock.age = clock.age.saturating_add(1);
            clock.episode_return += f64::from(outcome.reward);

            let truncated =
                !outcome.terminated && self.time_limit.is_some_and(|limit| clock.age >= limit);
            if outcome.terminated || truncated {
                if clock.start_age == 0 {
                    finished.push(Episode {
                        env,
                        episode_return: clock.episode_return,
                        length: clock.age,
                        terminated: outcome.terminated,
                    });
                }
                clock.next_episode();
                let mut rng = Philox::new(self.seed, Stream::Reset, clock.episode, env as u32);
                self.env.reset(state, &mut rng);
                self.env.observe(state, obs);
            } else {
                obs.copy_from_slice(next_obs);
            }
            rows.rewards[row] = outcome.reward;
            rows.terminated[row] = outcome.terminated;
            rows.truncated[row] = truncated;
        }
    }

    fn halves<'r>(&self, rows: Rows<'r>) -> (Rows<'r>, Rows<'r>) {
        let half = rows.clocks.len() / 2;
        let (clocks_l, clocks_r) = rows.clocks.split_at_mut(half);
        let (states_l, states_r) = rows.states.split_at_mut(half * self.state_size);
        let (actions_l, actions_r) = rows.actions.split_at(half * self.action_width);
        let (obs_l, obs_r) = rows.obs.split_at_mut(half * self.obs_dim);
        let (next_obs_l, next_obs_r) = rows.next_obs.split_at_mut(half * self.obs_dim);
        let (rewards_l, rewards_r) = rows.rewards.split_at_mut(half);
        let (terminated_l, terminated_r) = rows.terminated.split_at_mut(half);
        let (truncated_l, truncated_r) = rows.truncated.split_at_mut(half);
        let left = Rows {
            first: rows.first,
            clocks: clocks_l,
            states: states_l,
            actions: actions_l,
            obs: obs_l,
            next_obs: next_obs_l,
            rewards: rewards_l,
            terminated: terminated_l,
            truncated: truncated_l,
        };
        let right = Rows {
            first: rows.first + half,
            clocks: clocks_r,
            states: states_r,
            actions: actions_r,
            obs: obs_r,
            next_obs: next_obs_r,
            rewards: rewards_r,
            terminated: terminated_r,
            truncated: truncated_r,
        };
        (left, right)
    }
}
