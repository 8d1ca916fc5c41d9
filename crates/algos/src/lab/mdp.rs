//! Markov decision processes small enough to enumerate.

use burn::tensor::{Device, Int, Tensor, TensorData, assert_shape};
use uphill_core::{
    policy::Actor,
    rollout::{Memory, Rollout},
};
use uphill_envs::{ActionSpace, EnvSpec, ObsSpace, Philox};

/// A process with `S` states, `K` actions, and episodes of at most `H` steps. Observations are one-hot states, `O` =
/// `S`; the policy does not observe the time.
#[derive(Clone, Debug)]
pub struct TinyMdp {
    /// Maximum length of an episode `H`, at least 1.
    pub horizon: usize,
    /// P(s₀), `[S]`.
    pub start: Vec<f64>,
    /// P(s'|s, a), `[S][K][S]`. The difference between a row's sum and 1 is the probability that the episode ends.
    pub transitions: Vec<Vec<Vec<f64>>>,
    /// r(s, a), `[S][K]`.
    pub rewards: Vec<Vec<f64>>,
}

/// One possible course of an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// States, starting with the first.
    pub states: Vec<usize>,
    /// Actions, as many as states.
    pub actions: Vec<usize>,
    /// P(s₀) Π P(s_{t+1}|s_t, a_t): the probability without the policy's factors.
    pub chance: f64,
}

impl TinyMdp {
    /// Names of the processes that [`named`](Self::named) returns.
    pub const NAMES: [&str; 2] = ["TinyMdp", "TinyWalk"];

    /// The process with this name: [`example`](Self::example) for `TinyMdp`, [`walk`](Self::walk) for `TinyWalk`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "TinyMdp" => Some(Self::example()),
            "TinyWalk" => Some(Self::walk()),
            _ => None,
        }
    }

    /// Two states, two actions, at most three steps. Actions have immediate and delayed effects, episodes differ in
    /// length, and all values differ.
    pub fn example() -> Self {
        Self {
            horizon: 3,
            start: vec![0.75, 0.25],
            transitions: vec![
                vec![vec![0.0, 1.0], vec![0.5, 0.0]],
                vec![vec![0.0, 0.0], vec![1.0, 0.0]],
            ],
            rewards: vec![vec![1.0, -0.5], vec![2.0, 3.5]],
        }
    }

    /// Five states in a row with steps to the left and right, one in five of which goes the wrong way, and at most
    /// twenty steps. Being at the right end yields reward, moving there costs, and from there one step in four ends the
    /// episode. Episodes are long enough for n-step and λ to matter and too long to enumerate, but gradient and values
    /// are exact by dynamic programming.
    pub fn walk() -> Self {
        const STATES: usize = 5;
        const SLIP: f64 = 0.2;
        let last = STATES - 1;
        let row = |state: usize, action: usize| {
            let (left, right) = (state.saturating_sub(1), (state + 1).min(last));
            let (wanted, other) = if action == 0 {
                (left, right)
            } else {
                (right, left)
            };
            let stay = if state == last { 0.75 } else { 1.0 };
            let mut row = vec![0.0; STATES];
            row[wanted] += stay * (1.0 - SLIP);
            row[other] += stay * SLIP;
            row
        };
        let reward = |state: usize, action: usize| {
            let at_the_end = if state == last { 1.0 } else { 0.0 };
            at_the_end - 0.1 * action as f64
        };
        let table = |state| vec![row(state, 0), row(state, 1)];
        Self {
            horizon: 20,
            start: vec![0.2; STATES],
            transitions: (0..STATES).map(table).collect(),
            rewards: (0..STATES)
                .map(|state| vec![reward(state, 0), reward(state, 1)])
                .collect(),
        }
    }

    /// Specification of the process under this name, for building networks.
    pub fn spec(&self, name: &str) -> EnvSpec {
        EnvSpec {
            name: name.to_owned(),
            obs: ObsSpace::between(0.0, 1.0, self.states()),
            action: ActionSpace::Discrete { n: self.actions() },
            time_limit: None,
            reward_threshold: None,
        }
    }

    /// Number of states `S`.
    pub fn states(&self) -> usize {
        self.start.len()
    }

    /// Number of actions `K`.
    pub fn actions(&self) -> usize {
        self.rewards[0].len()
    }

    /// All possible trajectories.
    pub fn trajectories(&self) -> Vec<Trajectory> {
        self.few_trajectories(usize::MAX).unwrap_or_default()
    }

    /// All possible trajectories, if there are at most `most`.
    pub fn few_trajectories(&self, most: usize) -> Option<Vec<Trajectory>> {
        let begin = |(state, &chance): (usize, &f64)| Trajectory {
            states: vec![state],
            actions: vec![],
            chance,
        };
        let mut open: Vec<Trajectory> = self.start.iter().enumerate().map(begin).collect();
        let mut ended = vec![];
        while let Some(path) = open.pop() {
            if ended.len() > most {
                return None;
            }
            let state = path.states[path.states.len() - 1];
            for action in 0..self.actions() {
                let mut path = path.clone();
                path.actions.push(action);
                let next = &self.transitions[state][action];
                let last = path.actions.len() == self.horizon;
                let end = if last {
                    1.0
                } else {
                    1.0 - next.iter().sum::<f64>()
                };
                for (state, &chance) in next.iter().enumerate().filter(|_| !last) {
                    let mut longer = path.clone();
                    longer.states.push(state);
                    longer.chance *= chance;
                    open.push(longer);
                }
                path.chance *= end;
                if path.chance > 0.0 {
                    ended.push(path);
                }
            }
            open.retain(|path| path.chance > 0.0);
        }
        (ended.len() <= most).then_some(ended)
    }

    /// One random trajectory under the policy π(a|s) `[S · K]`.
    pub fn sample(&self, policy: &[f64], rng: &mut Philox) -> Trajectory {
        let count = self.actions();
        let mut state = draw(&self.start, rng).unwrap_or(0);
        let mut path = Trajectory {
            states: vec![],
            actions: vec![],
            chance: self.start[state],
        };
        loop {
            // If rounding leaves the probabilities below 1, the last action gets the difference.
            let action = draw(&policy[state * count..][..count], rng).unwrap_or(count - 1);
            path.states.push(state);
            path.actions.push(action);
            if path.actions.len() == self.horizon {
                return path;
            }
            let row = &self.transitions[state][action];
            match draw(row, rng) {
                Some(next) => {
                    path.chance *= row[next];
                    state = next;
                }
                None => {
                    path.chance *= 1.0 - row.iter().sum::<f64>();
                    return path;
                }
            }
        }
    }

    /// log π(a|s) for all states and actions, `[S, K]`.
    pub fn log_probs(&self, actor: &Actor) -> Tensor<2> {
        let device = actor.net.device();
        let (states, actions) = (self.states(), self.actions());
        let eye = Tensor::<2>::eye(states, &device);
        let dist = actor.dist(eye);
        let column = |action| {
            let actions = Tensor::<2>::ones([states, 1], &device) * action as f64;
            dist.log_prob(actions)
        };
        Tensor::stack((0..actions).map(column).collect(), 1)
    }

    /// Exact values at each time step, `[H, S]`, of a policy with these `log_probs` `[S, K]`: V_t(s) = Σ_a π(a|s) (r(s,
    /// a) + γ Σ_s' P(s'|s, a) V_{t+1}(s')).
    pub fn values(&self, log_probs: Tensor<2>, gamma: f64) -> Tensor<2> {
        let (states, actions) = (self.states(), self.actions());
        assert_shape!(log_probs, [states, actions]);
        let device = log_probs.device();
        let rewards = tensor(self.rewards.concat(), &device).reshape([states, actions]);
        let transitions = tensor(self.transitions.concat().concat(), &device);
        let transitions: Tensor<2> = transitions.reshape([states * actions, states]);
        let policy = log_probs.exp();
        let mut next: Tensor<2> = Tensor::zeros([states, 1], &device);
        let mut rows = vec![];
        for _ in 0..self.horizon {
            let later = transitions.clone().matmul(next) * gamma;
            let worth = rewards.clone() + later.reshape([states, actions]);
            next = (policy.clone() * worth).sum_dim(1);
            rows.push(next.clone());
        }
        rows.reverse();
        Tensor::cat(rows, 1).transpose()
    }

    /// E[Σ_t γᵗ r_t] = Σ_s P(s₀ = s) V_0(s), `[1]`.
    pub fn objective(&self, log_probs: Tensor<2>, gamma: f64) -> Tensor<1> {
        let start = tensor(self.start.clone(), &log_probs.device());
        let first: Tensor<1> = self.values(log_probs, gamma).narrow(0, 0, 1).squeeze_dim(0);
        (first * start).sum()
    }

    /// Probability of each trajectory under a policy with these `log_probs` `[S, K]`.
    pub fn probabilities(&self, trajectories: &[Trajectory], log_probs: Tensor<2>) -> Tensor<1> {
        let (states, actions) = (self.states(), self.actions());
        let device = log_probs.device();
        let log_probs = log_probs.reshape([states * actions]);
        let probability = |path: &Trajectory| {
            let steps = path.states.iter().zip(&path.actions);
            let taken = steps.map(|(s, a)| (s * actions + a) as i32).collect();
            let taken = TensorData::new(taken, [path.actions.len()]);
            let taken = Tensor::<1, Int>::from_data(taken, &device);
            log_probs.clone().select(0, taken).sum().exp() * path.chance
        };
        Tensor::cat(trajectories.iter().map(probability).collect(), 0)
    }

    /// Discounted return of a trajectory.
    pub fn discounted_return(&self, path: &Trajectory, gamma: f64) -> f64 {
        let steps = path.states.iter().zip(&path.actions);
        let rewards = steps.map(|(&s, &a)| self.rewards[s][a]);
        rewards.rev().fold(0.0, |later, r| r + gamma * later)
    }

    /// The trajectories as the columns of a rollout of whole episodes. V(s_t) is the entry of `values` `[H, S]` at time
    /// t.
    pub fn rollout(
        &self,
        trajectories: &[&Trajectory],
        actor: &Actor,
        values: Tensor<2>,
    ) -> Rollout {
        let (states, device) = (self.states(), actor.net.device());
        let (steps, count) = (self.horizon, trajectories.len());
        let mut obs = vec![0.0; steps * count * states];
        let (mut actions, mut rewards) = (vec![0.0; steps * count], vec![0.0; steps * count]);
        let mut terminated = vec![false; steps * count];
        // Indices of V(s_t) and V(s_{t+1}) in the table; those of padding and ends are arbitrary.
        let (mut now, mut next) = (vec![0_i32; steps * count], vec![0_i32; steps * count]);
        for (n, path) in trajectories.iter().enumerate() {
            let len = path.actions.len();
            for (t, (&state, &action)) in path.states.iter().zip(&path.actions).enumerate() {
                let at = t * count + n;
                obs[at * states + state] = 1.0;
                actions[at] = action as f64;
                rewards[at] = self.rewards[state][action];
                terminated[at] = t + 1 == len;
                now[at] = (t * states + state) as i32;
                if t + 1 < len {
                    next[at] = ((t + 1) * states + path.states[t + 1]) as i32;
                }
            }
        }
        let table = values.reshape([steps * states]);
        let look_up = |at: Vec<i32>| {
            let at = Tensor::<1, Int>::from_data(TensorData::new(at, [steps * count]), &device);
            table.clone().select(0, at).reshape([steps, count])
        };
        let obs: Tensor<2> = tensor(obs, &device).reshape([steps * count, states]);
        let actions: Tensor<2> = tensor(actions, &device).reshape([steps * count, 1]);
        let log_probs = actor.dist(obs.clone()).log_prob(actions.clone());
        let flags =
            |flags: Vec<bool>| Tensor::from_data(TensorData::new(flags, [steps, count]), &device);
        Rollout {
            obs: obs.reshape([steps, count, states]).into(),
            actions: actions.reshape([steps, count, 1]),
            log_probs: log_probs.reshape([steps, count]),
            values: look_up(now),
            next_values: look_up(next),
            rewards: tensor(rewards, &device).reshape([steps, count]),
            terminated: flags(terminated),
            truncated: flags(vec![false; steps * count]),
            lengths: Some(trajectories.iter().map(|path| path.actions.len()).collect()),
            memory: Memory::default(),
            agents: 1,
        }
    }
}

/// An index with these probabilities, or none with the probability missing to 1.
fn draw(probabilities: &[f64], rng: &mut Philox) -> Option<usize> {
    let mut left = f64::from(rng.uniform());
    probabilities.iter().position(|p| {
        left -= p;
        left < 0.0
    })
}

fn tensor(values: Vec<f64>, device: &Device) -> Tensor<1> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}
