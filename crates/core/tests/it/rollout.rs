use crate::{assert_close, device::device, matrix, numbers};
use burn::tensor::{Tensor, TensorData};
use uphill_core::{
    read_back,
    rollout::{Batch, Memory, Rollout, Sequences, Span},
};

/// Three steps of two copies; every number says where it was: 10 t + n.
fn rollout() -> Rollout {
    let at = matrix([[0.0, 1.0], [10.0, 11.0], [20.0, 21.0]]);
    let flags = |flags: [[bool; 2]; 3]| Tensor::from_data(TensorData::from(flags), &device());
    Rollout {
        obs: at.clone().unsqueeze_dim::<3>(2).repeat_dim(2, 2).into(),
        actions: at.clone().unsqueeze_dim(2),
        log_probs: at.clone() * -1.0,
        values: at.clone() * 2.0,
        next_values: at.clone() * 3.0,
        rewards: at,
        terminated: flags([[true, false], [false, false], [true, false]]),
        truncated: flags([[false, false], [false, true], [false, false]]),
        lengths: None,
        memory: Memory::default(),
        agents: 1,
    }
}

/// The episodes that begin and end in it: step 0 and steps 1 to 2 of copy 0, steps 0 to 1 of copy 1.
fn episodes() -> Rollout {
    let span = |env, start, len| Span { env, start, len };
    rollout().columns(&[span(0, 0, 1), span(0, 1, 2), span(1, 0, 2)])
}

#[test]
fn spans_become_columns_and_the_rest_is_padding() {
    let found = episodes();
    assert_eq!(found.dims(), [2, 3]);
    assert_eq!(found.lengths, Some(vec![1, 2, 2]));
    assert_close(found.mask(), &[1.0, 1.0, 1.0, 0.0, 1.0, 1.0], 0.0);
    let rewards = found.rewards.clone() * found.mask();
    assert_close(rewards, &[0.0, 10.0, 1.0, 0.0, 20.0, 11.0], 0.0);
    let ends = found.terminated.float() * 1.0 + found.truncated.float() * 2.0;
    // Padding repeats the last step.
    assert_close(ends, &[1.0, 0.0, 0.0, 1.0, 1.0, 2.0], 0.0);
}

#[test]
fn states_are_kept_where_no_episode_ended() {
    assert_close(rollout().keep(), &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0], 0.0);
}

#[test]
fn a_memory_is_that_of_either_network() {
    let state = |of: f32| Some(matrix([[of, 2.0]]));
    let of = |actor, critic| Memory { actor, critic };
    assert!(!Memory::default().exists());
    assert!(of(state(1.0), None).exists() && of(None, state(1.0)).exists());
    let doubled = of(state(1.0), state(3.0)).map(|state| state * 2.0);
    assert_eq!(numbers(doubled.actor.unwrap()), [2.0, 4.0]);
    assert_eq!(numbers(doubled.critic.unwrap()), [6.0, 4.0]);
}

#[test]
fn a_batch_of_no_steps_is_empty() {
    let found = rollout();
    let batch = found.flatten(found.values.clone(), found.values.clone());
    let none = batch.select(Tensor::from_ints([0i32; 0], &device()));
    assert_eq!((none.len(), none.is_empty()), (0, true));
}

#[test]
fn a_batch_holds_every_step_once_and_no_padding() {
    let found = episodes();
    let batch = found.flatten(found.values.clone() + 0.5, found.values.clone() + 0.25);
    let steps = [0.0, 10.0, 1.0, 20.0, 11.0];
    assert_eq!(batch.len(), 5);
    assert_close(batch.actions, &steps, 0.0);
    assert_eq!(batch.obs.dims(), [5, 2]);
    assert_close(batch.log_probs, &steps.map(|x| -x), 0.0);
    assert_close(batch.advantages, &steps.map(|x| 2.0 * x + 0.5), 0.0);
    assert_close(batch.returns, &steps.map(|x| 2.0 * x + 0.25), 0.0);
    assert_close(found.flat_obs().floats().narrow(1, 1, 1), &steps, 0.0);
}

#[test]
fn without_lengths_everything_is_a_step() {
    let found = rollout();
    assert_close(found.mask(), &[1.0; 6], 0.0);
    let batch = found.flatten(found.values.clone(), found.values.clone());
    assert_eq!(numbers(batch.actions), [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
}

/// Advantages 0, 2 of one agent and 10, 30 of another: each pair has mean 1 or 20 and an unbiased variance of 2 or 200.
#[test]
fn advantages_of_several_agents_are_standardized_agent_by_agent() {
    let mut rollout = rollout();
    let two_steps = |x: Tensor<2>| x.narrow(0, 0, 2);
    rollout.obs = rollout.obs.narrow(0, 0, 2);
    rollout.actions = rollout.actions.narrow(0, 0, 2);
    for x in [
        &mut rollout.log_probs,
        &mut rollout.values,
        &mut rollout.next_values,
        &mut rollout.rewards,
    ] {
        *x = two_steps(x.clone());
    }
    rollout.terminated = rollout.terminated.narrow(0, 0, 2);
    rollout.truncated = rollout.truncated.narrow(0, 0, 2);
    // One step of two copies each.
    rollout.agents = 2;
    assert_eq!(rollout.trace().agents, 2);
    let advantages = matrix([[0.0, 2.0], [10.0, 30.0]]);
    let mut batch = rollout.flatten(advantages.clone(), advantages);
    assert_eq!((batch.agents, batch.len()), (2, 4));
    batch.standardize(&uphill_core::peers::Alone);
    let unit = 0.5_f64.sqrt();
    assert_close(batch.advantages, &[-unit, unit, -unit, unit], 1e-6);
}

#[test]
fn a_minibatch_of_sequences_is_those_copies_in_order_of_time() {
    let found = rollout();
    let mut batch = found.flatten(found.values.clone(), found.values.clone());
    assert!((batch.units(), batch.len(), batch.is_empty()) == (6, 6, false));
    batch.sequences = Some(Sequences {
        obs: found.obs.clone(),
        keep: matrix([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        memory: Memory::default(),
        rows: None,
    });
    assert_eq!(batch.units(), 2, "copies");
    let pick = |copies: &[i32]| -> Batch { batch.select(Tensor::from_ints(copies, &device())) };
    let second = pick(&[1]);
    assert_close(second.actions, &[1.0, 11.0, 21.0], 0.0);
    assert_close(second.log_probs, &[-1.0, -11.0, -21.0], 0.0);
    let sequences = second.sequences.unwrap();
    assert_close(sequences.keep, &[1.0, 0.0, 1.0], 0.0);
    assert_close(
        sequences.obs.floats(),
        &[1.0, 1.0, 11.0, 11.0, 21.0, 21.0],
        0.0,
    );
    let both = pick(&[1, 0]);
    assert_close(both.actions, &[1.0, 0.0, 11.0, 10.0, 21.0, 20.0], 0.0);
}

#[test]
fn all_numbers_of_several_tensors_are_read_at_once() {
    let before = read_back::times();
    let numbers = read_back::read_all(vec![crate::vector(&[1.0, 2.0]), crate::vector(&[3.0])]);
    assert_eq!(numbers, [1.0, 2.0, 3.0]);
    assert_eq!(read_back::times(), before + 1);
    assert_eq!(read_back::read(matrix([[4.0], [5.0]])), [4.0, 5.0]);
    assert_eq!(read_back::times(), before + 2);
}
