//! PPO: epochs of minibatches, both objectives, each code-level optimisation, with Adam in f64.

use super::{
    AdamF64, COPIES, Case, ENVS, EPSILON, GAMMA, STEPS, agree, difference, norm, scaled, standard,
    sum, tensor,
};
use uphill_algos::{
    optimizer::OptimizerKind,
    ppo::{AdvantageNorm, Objective, PpoConfig},
    random::Order,
};
use uphill_core::schedule::Schedule;

const RATE: f64 = 0.05;
const CRITIC_RATE: f64 = 0.03;
const CLIP: f64 = 0.1;
const ENTROPY_COEF: f64 = 0.02;

/// Schedules that have these values half way through a run.
fn config() -> PpoConfig {
    let falling = |half: f64| Schedule::Linear {
        from: 2.0 * half,
        to: 0.0,
    };
    PpoConfig {
        steps: STEPS,
        epochs: 2,
        minibatches: 3,
        gamma: GAMMA,
        gae_lambda: 0.7,
        learning_rate: falling(RATE),
        critic_learning_rate: falling(CRITIC_RATE),
        adam_epsilon: EPSILON,
        clip: falling(CLIP),
        kl_coef: 0.8,
        value_clip: 0.0,
        value_coef: 0.3,
        entropy_coef: falling(ENTROPY_COEF),
        max_grad_norm: 0.0,
        normalize_advantages: AdvantageNorm::None,
        ..Default::default()
    }
}

fn chosen(values: &[f64], rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|row| values[*row]).collect()
}

/// Shortened to `most` (0: never) by the length of `whole`.
fn shortened(grad: &[f64], whole: &[f64], most: f64) -> Vec<f64> {
    if most > 0.0 && norm(whole) > most {
        scaled(grad, most / norm(whole))
    } else {
        grad.to_vec()
    }
}

/// By how much the parameters of actor and critic change.
fn expected(case: &Case, c: &PpoConfig) -> [Vec<f64>; 2] {
    let mut advantages = case.numbers.gae(GAMMA, 0.7);
    let returns = sum(&advantages, &case.numbers.values);
    if c.normalize_advantages == AdvantageNorm::Batch {
        advantages = standard(&advantages);
    }
    let old_log_probs: Vec<f64> = super::numbers(case.rollout.log_probs.clone());
    let (old, _) = case.stock();
    let before = [case.actor_params(), case.critic_params()];
    let mut params = before.clone();
    let mut adams = [AdamF64::new(params[0].len()), AdamF64::new(params[1].len())];
    let separate = c.optimizer == OptimizerKind::Separate;
    let order = |epoch| {
        let (seed, iteration) = (case.config.seed, 0);
        let order = Order {
            seed,
            iteration,
            epoch,
        };
        order.minibatches(STEPS * COPIES, c.minibatches)
    };
    for rows in (0..c.epochs).flat_map(order) {
        let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
        let mut weights = chosen(&advantages, &rows);
        if c.normalize_advantages == AdvantageNorm::Minibatch {
            weights = standard(&weights);
        }
        let of_actor = case.policy_slope(&params[0], &rows, |dist, actions| {
            let old_log_probs = tensor(&chosen(&old_log_probs, &rows));
            let (ratios, weights) = (
                (dist.log_prob(actions) - old_log_probs).exp(),
                tensor(&weights),
            );
            let surrogate = match c.objective {
                Objective::Clip => {
                    let clipped = ratios.clone().clamp(1.0 - CLIP, 1.0 + CLIP) * weights.clone();
                    (ratios * weights).min_pair(clipped).mean()
                }
                Objective::Kl => {
                    let kl = old.dist(case.obs(&rows)).kl(&dist);
                    (ratios * weights).mean() - kl.mean() * c.kl_coef
                }
            };
            (surrogate + dist.entropy().mean() * ENTROPY_COEF).neg()
        });
        let of_critic = case.value_slope(&params[1], &rows, |values| {
            let old_values = tensor(&chosen(&case.numbers.values, &rows));
            let returns = tensor(&chosen(&returns, &rows));
            let plain = (values.clone() - returns.clone()).square();
            let losses = if c.value_clip > 0.0 {
                let moved = (values - old_values.clone()).clamp(-c.value_clip, c.value_clip);
                plain.max_pair((old_values + moved - returns).square())
            } else {
                plain
            };
            losses.mean() * (0.5 * c.value_coef)
        });
        let both = [of_actor.clone(), of_critic.clone()].concat();
        let (of_actor, of_critic) = if separate {
            let short = |grad: &[f64]| shortened(grad, grad, c.max_grad_norm);
            (short(&of_actor), short(&of_critic))
        } else {
            let short = |grad: &[f64]| shortened(grad, &both, c.max_grad_norm);
            (short(&of_actor), short(&of_critic))
        };
        let critic_rate = if separate { CRITIC_RATE } else { RATE };
        params[0] = sum(&params[0], &adams[0].step(&of_actor, RATE));
        params[1] = sum(&params[1], &adams[1].step(&of_critic, critic_rate));
    }
    [0, 1].map(|i| difference(&params[i], &before[i]))
}

#[test]
fn every_loss_takes_the_steps_of_its_formula() {
    let with = |change: fn(&mut PpoConfig)| {
        let mut c = config();
        change(&mut c);
        c
    };
    let cases = [
        ("clipped", with(|_| {})),
        (
            "penalised",
            with(|c| {
                c.objective = Objective::Kl;
            }),
        ),
        (
            "normalised by minibatch",
            with(|c| c.normalize_advantages = AdvantageNorm::Minibatch),
        ),
        (
            "normalised at once",
            with(|c| c.normalize_advantages = AdvantageNorm::Batch),
        ),
        ("clipped values", with(|c| c.value_clip = 0.3)),
        ("shortened together", with(|c| c.max_grad_norm = 0.05)),
        (
            "shortened one by one",
            with(|c| {
                c.optimizer = OptimizerKind::Separate;
                c.max_grad_norm = 0.05;
            }),
        ),
        (
            "all at once",
            with(|c| {
                c.objective = Objective::Kl;
                c.normalize_advantages = AdvantageNorm::Minibatch;
                c.optimizer = OptimizerKind::Separate;
                c.value_clip = 0.3;
            }),
        ),
    ];
    for env in ENVS {
        for fused in [true, false] {
            for (name, c) in &cases {
                let case = Case::new(env, fused, c.clone());
                let [actor_step, critic_step] = expected(&case, c);
                let moved = case.update(0.5);
                let what = format!("{env}, fused {fused}, {name}");
                agree(&moved.actor_step, &actor_step, &what);
                agree(&moved.critic_step, &critic_step, &what);
            }
        }
    }
}

/// Epochs end once the last of them, not all of them on average, passes the target.
#[test]
fn the_target_kl_is_compared_with_the_last_epoch() {
    for fused in [true, false] {
        let epochs_of = |epochs, target_kl| {
            let c = PpoConfig {
                epochs,
                target_kl,
                ..config()
            };
            let mut case = Case::new("CartPole-v1", fused, c);
            // Of the policy that acted, so that divergence begins at zero.
            let dist = case.actor.dist(case.obs(&case.all()));
            let log_probs = dist.log_prob(case.actions(&case.all()));
            case.rollout.log_probs = log_probs.reshape([STEPS, COPIES]);
            let metrics = case.update(0.5).metrics;
            [metrics.get("approx_kl"), metrics.get("epochs")].map(|x| x.unwrap())
        };
        // Means over the first epochs, and from them each epoch's own.
        let means = [1, 2, 3].map(|epochs| epochs_of(epochs, 0.0)[0]);
        let own = [
            means[0],
            2.0 * means[1] - means[0],
            3.0 * means[2] - 2.0 * means[1],
        ];
        assert!(own[0] < own[1] && own[1] < own[2], "{own:?}");
        // The third epoch alone passes it; all three together do not.
        let target = 0.5 * (own[1].max(means[2]) + own[2]);
        assert!(means[2] < target && own[1] < target && own[2] > target);
        assert_eq!(epochs_of(6, target)[1], 3.0);
        // And it is at least one.
        assert_eq!(epochs_of(6, 0.5 * own[0])[1], 1.0);
    }
}
