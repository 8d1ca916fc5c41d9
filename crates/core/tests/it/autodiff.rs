//! Burn's backward passes on several threads at once, which no lock keeps apart: each thread has a graph of its own.

use crate::{device::device, numbers};
use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use uphill_core::{
    dist::DistKind,
    loss::{ActorCriticLoss, Surrogate},
    network::Net,
    nn::MlpConfig,
    policy::{Actor, Critic},
    rollout::Batch,
};

const THREADS: usize = 8;
const PASSES: usize = 60;

/// Gradients of one loss after the other, all different, on Burn's operations.
fn gradients(seed: usize) -> Vec<Vec<f64>> {
    let mut rng = SmallRng::seed_from_u64(seed as u64);
    let device = device();
    let config = MlpConfig {
        hidden: vec![16, 16],
        ..Default::default()
    };
    let mut net = |outputs| Net::stock(config.build(3, outputs, 1.0, &mut rng, &device));
    let mut actor = Actor::new(
        config.build(3, 2, 1.0, &mut SmallRng::seed_from_u64(0), &device),
        DistKind::Categorical { choices: 2 },
    );
    actor.net = net(2);
    let mut critic = Critic::new(config.build(3, 1, 1.0, &mut SmallRng::seed_from_u64(0), &device));
    critic.net = net(1);
    let loss = ActorCriticLoss {
        surrogate: Surrogate::Clipped { clip: 0.2 },
        value_clip: 0.2,
        value_coef: 0.5,
        entropy_coef: 0.01,
        standardize: true,
    };
    let mut gradients = vec![];
    for pass in 0..PASSES {
        let rows = 4 + (pass + seed) % 5;
        let mut random = |len: usize| -> Tensor<1> {
            let unit = |_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5;
            let values: Vec<f32> = (0..len).map(unit).collect();
            Tensor::from_data(TensorData::new(values, [len]), &device)
        };
        let batch = Batch {
            obs: random(3 * rows).reshape([rows, 3]).into(),
            actions: random(rows).greater_elem(0.0).float().reshape([rows, 1]),
            log_probs: random(rows) - 0.7,
            values: random(rows),
            advantages: random(rows),
            returns: random(rows),
            sequences: None,
            agents: 1,
        };
        let nets = [actor.net.tracked(), critic.net.tracked()];
        let agent = (
            actor.with_net(nets[0].clone()),
            critic.with_net(nets[1].clone()),
        );
        let grads = loss
            .on((&agent.0, &agent.1), &actor, &batch)
            .total
            .backward();
        gradients.extend(nets.map(|net| numbers(net.flat_grad(&grads))));
    }
    gradients
}

#[test]
fn threads_do_not_disturb_each_other() {
    let alone: Vec<_> = (0..THREADS).map(gradients).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads = (0..THREADS).map(|seed| scope.spawn(move || gradients(seed)));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (seed, (found, expected)) in together.iter().zip(&alone).enumerate() {
        assert!(
            expected.iter().flatten().any(|g| g.abs() > 1e-2),
            "no gradient to see"
        );
        assert_eq!(found, expected, "thread {seed}");
    }
}
