//! Copies of an `Env`, stepped on the threads of the current rayon pool.

use crate::{
    Copies, CopyRows, Element, Env, EnvError, EnvSpec, EnvState, ObsMut, Seeds, host::state,
};

/// Maximum number of copies that one thread steps at a time.
///
/// A step of CartPole takes about 30 ns per copy, so this is 30 µs of work: several times the cost of handing rows to
/// another thread and waiting for it. Measured on two cores, smaller tasks gained nothing.
const ROWS_PER_TASK: usize = 1024;

/// `N` copies of an environment with their states in host memory, stepped on the threads of the current rayon pool if
/// there are many.
pub struct Threads<E> {
    env: E,
    spec: EnvSpec,
    copies: usize,
    state_size: usize,
    /// States of the copies `[N, S]`.
    states: Vec<f32>,
    /// Observations before they become bytes, one per task, `[tasks, O]`; empty for floats.
    numbers: Vec<f32>,
}

impl<E: Env> Threads<E> {
    /// `copies` of `env`. They have no valid state before a reset.
    ///
    /// # Errors
    ///
    /// [`EnvError::NoEnvs`] if `copies` is zero.
    pub fn new(env: E, copies: usize) -> Result<Self, EnvError> {
        if copies == 0 {
            return Err(EnvError::NoEnvs);
        }
        let (spec, state_size) = (env.spec(), env.state_size());
        Ok(Self {
            numbers: match spec.obs.element {
                Element::Float => vec![],
                Element::Byte { .. } => vec![0.0; tasks(copies) * spec.obs.dim()],
            },
            states: vec![0.0; copies * state_size],
            env,
            spec,
            copies,
            state_size,
        })
    }

    /// States `[N, S]`.
    pub(crate) fn states(&self) -> &[f32] {
        &self.states
    }
}

impl<E: Env> Copies for Threads<E> {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn count(&self) -> usize {
        self.copies
    }

    fn reset(&mut self, which: &[bool], seeds: Seeds<'_>, obs: ObsMut<'_>) -> Result<(), EnvError> {
        let (s, o) = (self.state_size, self.spec.obs.dim());
        let mut obs = Observed::new(obs, &mut self.numbers, o);
        for i in (0..self.copies).filter(|i| which[*i]) {
            let state = &mut self.states[i * s..][..s];
            self.env.reset(state, &mut seeds.of_reset(i));
            obs.write(i, |obs| self.env.observe(state, obs));
        }
        Ok(())
    }

    fn step(
        &mut self,
        actions: &[f32],
        seeds: Seeds<'_>,
        into: CopyRows<'_>,
    ) -> Result<(), EnvError> {
        let stepper = Stepper {
            env: &self.env,
            seeds,
            widths: [self.state_size, self.spec.action.width()],
        };
        stepper.run(Rows {
            first: 0,
            states: &mut self.states,
            actions,
            next_obs: Observed::new(into.next_obs, &mut self.numbers, self.spec.obs.dim()),
            rewards: into.rewards,
            terminated: into.terminated,
        });
        into.truncated.fill(false);
        Ok(())
    }

    fn save(&self) -> Option<EnvState> {
        Some(state::of_states(self.states.clone()))
    }

    fn restore(&mut self, saved: &EnvState, obs: ObsMut<'_>) -> Result<(), EnvError> {
        let states = state::states_in(saved, self.states.len())?;
        self.states.copy_from_slice(states);
        let (s, o) = (self.state_size, self.spec.obs.dim());
        let mut obs = Observed::new(obs, &mut self.numbers, o);
        for i in 0..self.copies {
            let state = &self.states[i * s..][..s];
            obs.write(i, |obs| self.env.observe(state, obs));
        }
        Ok(())
    }
}

/// Destination of the observations of `R` copies.
struct Observed<'a> {
    /// Observations `[R, O]`.
    obs: ObsMut<'a>,
    /// One observation per task, before it becomes bytes.
    numbers: &'a mut [f32],
    width: usize,
}

impl<'a> Observed<'a> {
    fn new(obs: ObsMut<'a>, numbers: &'a mut [f32], width: usize) -> Self {
        Self {
            obs,
            numbers,
            width,
        }
    }

    /// Writes row `row` by `observe`.
    fn write(&mut self, row: usize, observe: impl FnOnce(&mut [f32])) {
        let row = row * self.width..(row + 1) * self.width;
        match &mut self.obs {
            ObsMut::Floats(floats) => observe(&mut floats[row]),
            ObsMut::Bytes(bytes) => {
                let numbers = &mut self.numbers[..self.width];
                observe(numbers);
                for (byte, number) in bytes[row].iter_mut().zip(numbers) {
                    *byte = *number as u8;
                }
            }
        }
    }

    /// Splits into the rows before `row`, for `tasks` tasks, and the rest.
    fn split_at(self, row: usize, tasks: usize) -> (Self, Self) {
        let (at, width) = (row * self.width, self.width);
        let of_tasks = self.numbers.len().min(tasks * width);
        let numbers = self.numbers.split_at_mut(of_tasks);
        let (left, right) = match self.obs {
            ObsMut::Floats(floats) => {
                let (left, right) = floats.split_at_mut(at);
                (ObsMut::Floats(left), ObsMut::Floats(right))
            }
            ObsMut::Bytes(bytes) => {
                let (left, right) = bytes.split_at_mut(at);
                (ObsMut::Bytes(left), ObsMut::Bytes(right))
            }
        };
        (
            Self::new(left, numbers.0, width),
            Self::new(right, numbers.1, width),
        )
    }
}

/// Number of tasks into which this many rows are split.
fn tasks(rows: usize) -> usize {
    if rows <= ROWS_PER_TASK {
        return 1;
    }
    tasks(rows / 2) + tasks(rows - rows / 2)
}

/// A view of `R` adjacent copies.
struct Rows<'a> {
    /// Index of the first copy.
    first: usize,
    /// States `[R, S]`.
    states: &'a mut [f32],
    /// Actions `[R, A]`.
    actions: &'a [f32],
    next_obs: Observed<'a>,
    /// Rewards `[R]`.
    rewards: &'a mut [f32],
    /// Whether the task ended, `[R]`.
    terminated: &'a mut [bool],
}

/// Constants of a step that all copies share.
struct Stepper<'a, E> {
    env: &'a E,
    seeds: Seeds<'a>,
    /// Row widths `S` and `A`.
    widths: [usize; 2],
}

impl<E: Env> Stepper<'_, E> {
    /// Steps all rows, recursively halved over two threads while there are many.
    fn run(&self, rows: Rows<'_>) {
        if rows.rewards.len() <= ROWS_PER_TASK {
            return self.run_here(rows);
        }
        let (left, right) = self.halves(rows);
        rayon::join(|| self.run(left), || self.run(right));
    }

    fn run_here(&self, mut rows: Rows<'_>) {
        let [s, a] = self.widths;
        for row in 0..rows.rewards.len() {
            let state = &mut rows.states[row * s..][..s];
            let mut rng = self.seeds.of_step(rows.first + row);
            let action = &rows.actions[row * a..][..a];
            let outcome = self.env.step(state, action, &mut rng);
            rows.next_obs.write(row, |obs| self.env.observe(state, obs));
            rows.rewards[row] = outcome.reward;
            rows.terminated[row] = outcome.terminated;
        }
    }

    fn halves<'r>(&self, rows: Rows<'r>) -> (Rows<'r>, Rows<'r>) {
        let half = rows.rewards.len() / 2;
        let [s, a] = self.widths.map(|width| half * width);
        let states = rows.states.split_at_mut(s);
        let actions = rows.actions.split_at(a);
        let next_obs = rows.next_obs.split_at(half, tasks(half));
        let rewards = rows.rewards.split_at_mut(half);
        let terminated = rows.terminated.split_at_mut(half);
        let left = Rows {
            first: rows.first,
            states: states.0,
            actions: actions.0,
            next_obs: next_obs.0,
            rewards: rewards.0,
            terminated: terminated.0,
        };
        let right = Rows {
            first: rows.first + half,
            states: states.1,
            actions: actions.1,
            next_obs: next_obs.1,
            rewards: rewards.1,
            terminated: terminated.1,
        };
        (left, right)
    }
}
