use crate::{assert_close, device::device, matrix, numbers};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    heads::{Masked, StateLogStd},
    network::{Net, WithLogStd},
    nn::{Linear, MlpConfig},
    obs::Obs,
    policy::Critic,
    recurrent::{Gru, GruNet, RecurrentNetwork},
};

fn net() -> GruNet {
    let mut rng = SmallRng::seed_from_u64(3);
    let mlp = MlpConfig {
        hidden: vec![4],
        ..Default::default()
    };
    GruNet::new([2, 3], &mlp, 5, 1.0, &mut rng, &device())
}

/// Six steps of two copies.
fn obs() -> Tensor<3> {
    let values: Vec<f32> = (0..24).map(|i| ((i * 7 % 11) as f32 - 5.0) / 5.0).collect();
    Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([6, 2, 2])
}

#[test]
fn a_gated_unit_by_hand() {
    // One input, one unit; weights for r, z, n.
    let linear = |weights: [f32; 3], biases: [f32; 3]| Linear {
        weight: burn::module::Param::from_tensor(matrix([weights])),
        bias: burn::module::Param::from_tensor(Tensor::from_floats(biases, &device())),
    };
    let cell = Gru {
        input: linear([0.5, -1.0, 2.0], [0.1, 0.2, -0.3]),
        hidden: linear([1.5, 0.7, -0.4], [0.0, -0.1, 0.6]),
    };
    let (x, h) = (0.8f64, -0.5f64);
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let r = sigmoid(0.5 * x + 0.1 + 1.5 * h);
    let z = sigmoid(-x + 0.2 + 0.7 * h - 0.1);
    let n = (2.0 * x - 0.3 + r * (-0.4 * h + 0.6)).tanh();
    let expected = (1.0 - z) * n + z * h;
    let input = cell.input.forward(matrix([[0.8]]));
    assert_close(cell.next(input, matrix([[-0.5]])), &[expected], 1e-6);
}

#[test]
fn unrolling_is_stepping() {
    let (net, zeros) = (net(), Tensor::zeros([2, 5], &device()));
    let ones = Tensor::<2>::ones([6, 2], &device());
    let (outputs, states) = net.unroll(obs(), zeros.clone(), ones);
    let mut state = zeros;
    for (t, obs) in obs().iter_dim(0).enumerate() {
        let (output, next) = net.step(obs.squeeze_dim(0), state);
        let rows = |x: &Tensor<2>| x.clone().narrow(0, 2 * t, 2);
        assert_close(rows(&outputs), &numbers(output), 1e-6);
        assert_close(rows(&states), &numbers(next.clone()), 1e-6);
        state = next;
    }
}

#[test]
fn an_episode_forgets_the_one_before() {
    let net = Net::recurrent(net());
    let start = net.start(2);
    assert_close(start.clone().unwrap(), &[0.0; 10], 0.0);
    // Copy 0 ends with step 2.
    let keep = matrix([[1., 1.], [1., 1.], [0., 1.], [1., 1.], [1., 1.], [1., 1.]]);
    let (outputs, _) = net.unroll(obs(), start.clone(), keep);
    let late = obs().narrow(0, 3, 3);
    let (fresh, _) = net.unroll(late, start, Tensor::ones([3, 2], &device()));
    let copy = |x: &Tensor<2>, t: usize, n: usize| numbers(x.clone().narrow(0, 2 * t + n, 1));
    for t in 0..3 {
        assert_close(
            fresh.clone().narrow(0, 2 * t, 1),
            &copy(&outputs, t + 3, 0),
            1e-6,
        );
        // Copy 1 went on.
        let (a, b) = (copy(&fresh, t, 1), copy(&outputs, t + 3, 1));
        assert!(a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-4));
    }
}

/// Sum of all observations of the episode, which is its own state.
#[derive(Module, Debug)]
struct Total {
    scale: Linear,
}

impl RecurrentNetwork for Total {
    fn state_width(&self) -> usize {
        1
    }

    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let state = state + obs;
        (self.scale.forward(state.clone()), state)
    }
}

#[test]
fn a_module_that_only_steps_is_unrolled_step_by_step() {
    let scale = Linear {
        weight: Param::from_tensor(matrix([[10.0]])),
        bias: Param::from_tensor(Tensor::from_floats([0.0], &device())),
    };
    let obs = matrix([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]).unsqueeze_dim::<3>(2);
    // Copy 0 ends with step 1.
    let keep = matrix([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]);
    let (outputs, states) = Total { scale }.unroll(obs, matrix([[0.0], [5.0]]), keep);
    assert_close(states, &[1.0, 6.0, 3.0, 8.0, 3.0, 11.0], 0.0);
    assert_close(outputs, &[10.0, 60.0, 30.0, 80.0, 30.0, 110.0], 0.0);
}

#[test]
fn heads_have_the_memory_of_their_network() {
    for net in [
        Net::recurrent(Masked::new(net())),
        Net::recurrent(StateLogStd::new(
            GruNet::new(
                [2, 2],
                &MlpConfig::default(),
                5,
                1.0,
                &mut SmallRng::seed_from_u64(3),
                &device(),
            ),
            -0.5,
        )),
    ] {
        assert_eq!(net.start(3).unwrap().dims(), [3, 5]);
    }
}

/// Steps of a network without memory are rows of one pass.
#[test]
fn without_a_memory_unrolling_is_one_pass() {
    let mut rng = SmallRng::seed_from_u64(1);
    let net = Net::new(MlpConfig::default().build(2, 3, 1.0, &mut rng, &device()));
    let rows = obs().reshape([12, 2]);
    let keep = Tensor::ones([6, 2], &device());
    let (outputs, state) = net.unroll(obs(), None, keep.clone());
    assert!(state.is_none());
    assert_eq!(numbers(outputs), numbers(net.forward(rows.clone())));
    let direction = net.flat() * 0.5 + 0.1;
    let tangent = net.unroll_jvp(obs(), None, keep, direction.clone());
    assert_eq!(numbers(tangent), numbers(net.jvp(rows, direction)));
}

#[test]
#[should_panic(expected = "with memory was given no state")]
fn a_memory_needs_its_state() {
    Net::recurrent(net()).step(matrix([[0.0, 0.0]]), None);
}

#[test]
fn values_along_a_rollout_are_those_of_steps_one_by_one() {
    let mlp = MlpConfig {
        hidden: vec![4],
        ..Default::default()
    };
    let mut rng = SmallRng::seed_from_u64(3);
    let critic = Critic::recurrent(GruNet::new([2, 1], &mlp, 5, 1.0, &mut rng, &device()));
    // Copy 0 ends with step 2, copy 1 with the last.
    let keep = matrix([[1., 1.], [1., 1.], [0., 1.], [1., 1.], [1., 1.], [1., 0.]]);
    let next_obs = obs() * 0.5 + 0.1;
    let start = Some(Tensor::full([2, 5], 0.3, &device()));
    let ([values, next_values], last) = critic.follow(
        [obs(), next_obs.clone()].map(Obs::from),
        keep.clone(),
        start.clone(),
    );
    let mut state = start;
    for t in 0..6 {
        let row = |x: Tensor<3>| x.narrow(0, t, 1).squeeze_dim::<2>(0);
        let (value, after) = critic.step(row(obs()), state);
        let (next_value, _) = critic.step(row(next_obs.clone()), after.clone());
        let of_step = |x: &Tensor<1>| x.clone().narrow(0, 2 * t, 2);
        assert_close(of_step(&values), &numbers(value), 1e-6);
        assert_close(of_step(&next_values), &numbers(next_value), 1e-6);
        let kept = keep.clone().narrow(0, t, 1).transpose();
        state = after.map(|state| state * kept);
    }
    assert_close(last.unwrap(), &numbers(state.unwrap()), 1e-6);
}

#[test]
fn appended_log_stds_have_the_tangents_of_their_parameters() {
    let (policy, along) = (
        WithLogStd::new(net(), 3, -0.5, &device()),
        WithLogStd::new(net(), 3, 0.25, &device()),
    );
    let (state, keep) = (
        Tensor::zeros([2, 5], &device()),
        Tensor::ones([6, 2], &device()),
    );
    let found = policy.unroll_jvp(&along, obs(), state, keep).unwrap();
    assert_eq!(found.dims(), [12, 6]);
    assert_close(found.narrow(1, 3, 3), &[0.25; 36], 1e-7);
}
