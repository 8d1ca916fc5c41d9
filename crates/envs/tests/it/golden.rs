//! Comparison with trajectories recorded from Gymnasium by `scripts/golden_envs.py`.

use std::f64::consts::PI;

use uphill_envs::{BatchEnv, CartPole, Env, EnvState, HostBatch, Pendulum};

use crate::tools::{actions, bools, device, floats};

/// Steps after which a running copy is put back onto the recorded state. The upright pole magnifies the rounding
/// of f32 e-fold every quarter of a second (12 steps): 50 steps keep it below 1e-4, and a whole episode of
/// recorded actions could not be followed in any arithmetic but the one that recorded it.
const STRETCH: usize = 50;

struct Row {
    state: Vec<f64>,
    action: f32,
    next_state: Vec<f64>,
    reward: f64,
    terminated: bool,
    truncated: bool,
}

type Recording = Vec<Vec<Row>>;

fn read(csv: &str, state_size: usize) -> Recording {
    let mut episodes = Recording::new();
    for record in csv::Reader::from_reader(csv.as_bytes()).records() {
        let record = record.unwrap();
        let numbers: Vec<f64> = record.iter().map(|field| field.parse().unwrap()).collect();
        let (index, rest) = (numbers[0] as usize, &numbers[2..]);
        if index == episodes.len() {
            episodes.push(Vec::new());
        }
        let (state, rest) = rest.split_at(state_size);
        let (next_state, end) = rest[1..].split_at(state_size);
        assert_eq!(episodes[index].len(), numbers[1] as usize);
        episodes[index].push(Row {
            state: state.to_vec(),
            action: rest[0] as f32,
            next_state: next_state.to_vec(),
            reward: end[0],
            terminated: end[1] == 1.0,
            truncated: end[2] == 1.0,
        });
    }
    episodes
}

fn cartpole() -> Recording {
    read(include_str!("../golden/cartpole.csv"), 4)
}

fn pendulum() -> Recording {
    read(include_str!("../golden/pendulum.csv"), 2)
}

fn close(found: f32, expected: f64, tolerance: f64) -> bool {
    (f64::from(found) - expected).abs() <= tolerance * expected.abs().max(1.0)
}

#[test]
fn every_step_of_cartpole_is_that_of_gymnasium() {
    let obs = |state: &[f64]| state.to_vec();
    teacher_forced(CartPole, &cartpole(), |x| x, &obs);
}

#[test]
fn every_step_of_pendulum_is_that_of_gymnasium() {
    // Angles are equal if they are the same direction: the nearest turn of `found` counts.
    let obs = |state: &[f64]| vec![state[0].cos(), state[0].sin(), state[1]];
    teacher_forced(
        Pendulum,
        &pendulum(),
        |x| (x + PI).rem_euclid(2.0 * PI) - PI,
        &obs,
    );
}

/// One step from each recorded state. `first` brings the first component into the form the environment keeps.
fn teacher_forced<E: Env + Copy + 'static>(
    env: E,
    recording: &Recording,
    first: fn(f64) -> f64,
    observe: &dyn Fn(&[f64]) -> Vec<f64>,
) {
    let rows: Vec<&Row> = recording.iter().flatten().collect();
    assert!(rows.len() > 5000 && recording.len() >= 50);
    let canonical = |state: &[f64]| -> Vec<f64> {
        let mut state = state.to_vec();
        state[0] = first(state[0]);
        state
    };

    let mut batch = HostBatch::new(env, rows.len(), &device()).unwrap();
    put(&mut batch, |i| Some(canonical(&rows[i].state)));
    let taken: Vec<f32> = rows.iter().map(|row| row.action).collect();
    let step = batch.step(actions(&taken, 1));
    let (next_obs, rewards) = (floats(&step.next_obs), floats(&step.rewards));
    let (terminated, states) = (bools(&step.terminated), &batch.save().floats["state"]);
    let (dim, size) = (batch.spec().obs.dim(), rows[0].state.len());
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(terminated[i], row.terminated, "row {i}");
        assert!(
            close(rewards[i], row.reward, 1e-5),
            "row {i}: {} {}",
            rewards[i],
            row.reward
        );
        for (found, expected) in next_obs[i * dim..][..dim]
            .iter()
            .zip(observe(&row.next_state))
        {
            assert!(close(*found, expected, 1e-5), "row {i}: {found} {expected}");
        }
        if !terminated[i] {
            let found = &states[i * size..][..size];
            // Compared around the found angle, because −π and π are the same direction.
            let turned = f64::from(found[0]) + first(row.next_state[0] - f64::from(found[0]));
            assert!(
                close(found[0], turned, 1e-5),
                "row {i}: {} {turned}",
                found[0]
            );
            assert!(
                (1..size).all(|k| close(found[k], row.next_state[k], 1e-5)),
                "row {i}"
            );
        }
    }
}

#[test]
fn whole_episodes_of_cartpole_end_as_recorded() {
    let recording = cartpole();
    let ends = |end: fn(&Row) -> bool| {
        recording
            .iter()
            .filter(|rows| end(&rows[rows.len() - 1]))
            .count()
    };
    assert!(ends(|row| row.truncated) >= 5);
    assert!(ends(|row| row.next_state[0].abs() > 2.4) >= 5);
    assert!(ends(|row| row.terminated && row.next_state[0].abs() < 2.4) >= 20);
    free_running(CartPole, &recording);
}

#[test]
fn whole_episodes_of_pendulum_end_as_recorded() {
    free_running(Pendulum, &pendulum());
}

/// All episodes side by side, one copy each, from their recorded starts.
fn free_running<E: Env + 'static>(env: E, recording: &Recording) {
    let mut batch = HostBatch::new(env, recording.len(), &device()).unwrap();
    let longest = recording.iter().map(Vec::len).max().unwrap();
    for t in 0..longest {
        if t % STRETCH == 0 {
            put(&mut batch, |i| {
                recording[i].get(t).map(|row| row.state.clone())
            });
        }
        let taken: Vec<f32> = recording
            .iter()
            .map(|rows| rows.get(t).map_or(0.0, |row| row.action))
            .collect();
        let step = batch.step(actions(&taken, 1));
        let (terminated, truncated) = (bools(&step.terminated), bools(&step.truncated));
        for (i, rows) in recording.iter().enumerate() {
            if let Some(row) = rows.get(t) {
                let (found, expected) = (
                    (terminated[i], truncated[i]),
                    (row.terminated, row.truncated),
                );
                assert_eq!(found, expected, "episode {i}, step {t}");
            }
        }
    }
    // The first report of each copy is its recorded episode; what followed had no recording.
    let episodes = batch.take_episodes();
    for (i, rows) in recording.iter().enumerate() {
        let episode = episodes.iter().find(|episode| episode.env == i).unwrap();
        assert_eq!(episode.length as usize, rows.len(), "episode {i}");
        assert_eq!(
            episode.terminated,
            rows[rows.len() - 1].terminated,
            "episode {i}"
        );
    }
}

/// Puts the copies into the given states, where there is one; their clocks go on.
fn put<E: Env>(batch: &mut HostBatch<E>, state: impl Fn(usize) -> Option<Vec<f64>>) {
    let mut saved: EnvState = batch.save();
    let states = saved.floats.get_mut("state").unwrap();
    let size = states.len() / batch.num_envs();
    for (i, row) in states.chunks_exact_mut(size).enumerate() {
        if let Some(state) = state(i) {
            row.iter_mut().zip(state).for_each(|(x, y)| *x = y as f32);
        }
    }
    batch.restore(&saved).unwrap();
}
