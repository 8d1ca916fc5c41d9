//! A user's own surrogate in the loops: bit for bit what is built in where it computes the same, and the gradient of
//! what it says where it does not.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use uphill_cpu::{
    adam::Adam,
    descent::{Descent, HostStep, Learner, StepDiagnostics},
    dist::{Choices, RowDist},
    kernel::{bounded, exp, select},
    loss::{ActorCriticLoss, Custom, Surrogate},
    minibatch::{Problem, Samples},
    mlp::Weights,
    rows::{self, Rows},
    sample,
    shape::{Activation, MlpShape},
};

const CLIP: f32 = 0.2;
const INPUTS: usize = 3;

/// Numbers in [−1, 1].
fn numbers(len: usize, rng: &mut SmallRng) -> Vec<f32> {
    let number = |_| 2.0 * (rng.next_u32() as f32 / u32::MAX as f32) - 1.0;
    (0..len).map(number).collect()
}

/// A distribution over two numbers or three alternatives, with its network.
fn policy(dist: RowDist, rng: &mut SmallRng) -> (MlpShape, Vec<f32>) {
    let (outputs, log_stds) = match dist {
        RowDist::Categorical(_) => (3, 0),
        RowDist::Gaussian | RowDist::SquashedGaussian { .. } => (2, 2),
    };
    let shape = MlpShape {
        widths: vec![INPUTS, 16, outputs],
        activation: Activation::Tanh,
        log_stds,
        masked: false,
    };
    let params = numbers(shape.num_params(), rng);
    (shape, params)
}

fn dists() -> [RowDist; 3] {
    let choices = Choices::new(&[3]).expect("few choices");
    let ln_scale = 0.3;
    [
        RowDist::Categorical(choices),
        RowDist::Gaussian,
        RowDist::SquashedGaussian { ln_scale },
    ]
}

/// Not a whole number of blocks, and ratios on all sides of the clip range.
fn samples(dist: RowDist, weights: &Weights, rng: &mut SmallRng) -> Samples {
    let len = 150;
    let obs = numbers(len * INPUTS, rng);
    let width = weights.shape().outputs() - weights.shape().log_stds;
    let action_width = if matches!(dist, RowDist::Categorical(_)) {
        1
    } else {
        width
    };
    let outputs = uphill_cpu::mlp::infer(weights, &obs);
    let mut actions = vec![0.0; len * action_width];
    let mut log_probs = numbers(len, rng);
    let rows = outputs.chunks_exact(weights.shape().outputs());
    let rows = rows.zip(actions.chunks_exact_mut(action_width));
    for ((outputs, action), old) in rows.zip(&mut log_probs) {
        let noise = numbers(width, rng);
        *old += dist.sample(&outputs[..width], weights.log_stds(), &noise, action);
    }
    Samples {
        obs: Rows::Floats(obs),
        actions,
        action_width,
        log_probs,
        values: numbers(len, rng),
        advantages: numbers(len, rng),
        returns: numbers(len, rng),
    }
}

fn loss(surrogate: Surrogate) -> ActorCriticLoss {
    ActorCriticLoss {
        surrogate,
        value_clip: 0.0,
        value_coef: 0.5,
        entropy_coef: 0.02,
        standardize: true,
    }
}

fn clipped_again(log_ratio: f32, advantage: f32) -> (f32, f32) {
    let ratio = exp(log_ratio);
    let unclipped = ratio * advantage;
    let clipped = bounded(ratio, 1.0 - CLIP, 1.0 + CLIP) * advantage;
    let held = clipped < unclipped;
    (
        select(held, clipped, unclipped),
        select(held, 0.0, unclipped),
    )
}

/// Dual clipping with c = 1.5 (Ye et al., arXiv:1912.09729).
fn dual(log_ratio: f32, advantage: f32) -> (f32, f32) {
    let (value, slope) = sample::clipped_surrogate(log_ratio, advantage, CLIP);
    let lowest = 1.5 * advantage;
    let held = advantage < 0.0 && value < lowest;
    (select(held, lowest, value), select(held, 0.0, slope))
}

/// Simple policy optimisation: ρ A − |A| (ρ − 1)² / 2ε (Xie et al., arXiv:2401.16025).
fn simple(log_ratio: f32, advantage: f32) -> (f32, f32) {
    let ratio = exp(log_ratio);
    let off = ratio - 1.0;
    let weight = advantage.abs() / (2.0 * CLIP);
    let value = ratio * advantage - weight * off * off;
    (value, ratio * (advantage - 2.0 * weight * off))
}

#[test]
fn the_same_function_gives_the_same_bits() {
    for (seed, dist) in dists().into_iter().enumerate() {
        let mut rng = SmallRng::seed_from_u64(seed as u64);
        let (shape, params) = policy(dist, &mut rng);
        let weights = Weights::new(&shape, &params);
        let samples = samples(dist, &weights, &mut rng);
        let gradient = |surrogate| {
            let problem = Problem::new(Some((dist, &weights)), samples.clone(), &loss(surrogate));
            problem.gradient([Some(&weights), None])
        };
        let built_in = gradient(Surrogate::Clipped { clip: CLIP });
        assert!(built_in.1.clip_fraction > 0.2 && built_in.1.clip_fraction < 0.9);
        let custom = Surrogate::Custom(Custom::new(CLIP, clipped_again));
        assert_eq!(gradient(custom), built_in, "{dist:?}");
        // A function that is another one gives other numbers.
        let other = Surrogate::Custom(Custom::new(CLIP, dual));
        assert_ne!(gradient(other).0, built_in.0, "{dist:?}");
    }
}

#[test]
fn a_descent_goes_down_it() {
    let dist = RowDist::Gaussian;
    let descend = |surrogate| {
        let mut rng = SmallRng::seed_from_u64(7);
        let (shape, params) = policy(dist, &mut rng);
        let weights = Weights::new(&shape, &params);
        let samples = samples(dist, &weights, &mut rng);
        let adam = Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-5,
            first: vec![0.0; params.len()],
            second: vec![0.0; params.len()],
            steps: 0,
        };
        let problem = Problem::new(Some((dist, &weights)), samples, &loss(surrogate));
        let learners = [Some(Learner::new(&shape, params, adam)), None];
        let descent = Descent::new(problem, learners, 150);
        let step = HostStep {
            learning_rates: [1e-3; 2],
            max_grad_norm: 0.5,
            joint_norm: true,
        };
        let steps = descent.epoch(&vec![(0..150).collect(); 20], step);
        let [learnt, _] = descent.finish();
        (steps, learnt.expect("the actor learns").1)
    };
    let built_in = descend(Surrogate::Clipped { clip: CLIP });
    let custom = descend(Surrogate::Custom(Custom::new(CLIP, clipped_again)));
    assert_eq!(custom, built_in);
    let (steps, _) = descend(Surrogate::Custom(Custom::new(CLIP, simple)));
    let value = |step: &StepDiagnostics| step.surrogate + 0.02 * step.entropy;
    let (first, last) = (value(&steps[0]), value(&steps[19]));
    assert!(last > first + 0.01, "{first} to {last}");
}

/// In double precision, written from the papers.
fn exact(which: &str, log_ratio: f64, advantage: f64) -> f64 {
    let (ratio, clip) = (log_ratio.exp(), f64::from(CLIP));
    let clipped = (ratio * advantage).min(ratio.clamp(1.0 - clip, 1.0 + clip) * advantage);
    match which {
        "clipped" => clipped,
        "dual" if advantage < 0.0 => clipped.max(1.5 * advantage),
        "dual" => clipped,
        "simple" => {
            ratio * advantage - advantage.abs() / (2.0 * clip) * (ratio - 1.0) * (ratio - 1.0)
        }
        "ratio" => ratio * advantage,
        _ => unreachable!("{which}"),
    }
}

/// A surrogate, by its name in [`exact`].
type Named = (&'static str, fn(f32, f32) -> (f32, f32));

#[test]
fn slopes_are_finite_differences() {
    let built_in = |log_ratio, advantage| sample::clipped_surrogate(log_ratio, advantage, CLIP);
    let all: [Named; 4] = [
        ("clipped", built_in),
        ("dual", dual),
        ("simple", simple),
        ("ratio", sample::ratio_surrogate),
    ];
    for (which, surrogate) in all {
        let mut held = 0;
        for i in -40..=40 {
            // Away from the kinks at ln 0.8, ln 1.2 and ln 1.5.
            let log_ratio = 0.0251 * f64::from(i);
            for advantage in [-1.3, -0.2, 0.4, 2.0] {
                let (value, slope) = surrogate(log_ratio as f32, advantage as f32);
                let at = |x: f64| exact(which, x, advantage);
                let difference = (at(log_ratio + 1e-6) - at(log_ratio - 1e-6)) / 2e-6;
                let off = (f64::from(value) - at(log_ratio)).abs();
                assert!(off < 1e-5, "{which}({log_ratio}, {advantage}) = {value}");
                let off = (f64::from(slope) - difference).abs();
                assert!(
                    off < 1e-4,
                    "{which}′({log_ratio}, {advantage}) = {slope}, not {difference}"
                );
                held += i32::from(slope == 0.0);
            }
        }
        assert_eq!(held > 0, ["clipped", "dual"].contains(&which), "{which}");
    }
}

#[test]
fn any_number_of_samples_can_be_evaluated() {
    let mut rng = SmallRng::seed_from_u64(3);
    let custom = Custom::new(CLIP, simple);
    for len in [0, 1, 64, 65, 200] {
        let (log_ratios, advantages) = (numbers(len, &mut rng), numbers(len, &mut rng));
        let [values, slopes] = custom.evaluate(&log_ratios, &advantages);
        assert_eq!([values.len(), slopes.len()], [len; 2]);
        for i in 0..len {
            let (value, slope) = simple(log_ratios[i], advantages[i]);
            let off = (value - values[i]).abs().max((slope - slopes[i]).abs());
            assert!(off < 1e-5, "{i} of {len}");
        }
    }
}

/// The policy gradient and PPO measure the same divergence.
#[test]
fn the_policy_gradient_measures_the_kl_too() {
    for (seed, dist) in dists().into_iter().enumerate() {
        let mut rng = SmallRng::seed_from_u64(seed as u64);
        let (shape, params) = policy(dist, &mut rng);
        let weights = Weights::new(&shape, &params);
        let samples = samples(dist, &weights, &mut rng);
        let approx_kl = |surrogate| {
            let problem = Problem::new(Some((dist, &weights)), samples.clone(), &loss(surrogate));
            problem.gradient([Some(&weights), None]).1.approx_kl
        };
        let found = approx_kl(Surrogate::LogProb);
        assert!(found > 0.01, "{found}");
        assert_eq!(found, approx_kl(Surrogate::Clipped { clip: CLIP }));
    }
}

/// (a − mean) / (std + 1e-8) of advantages whose standard deviation is 1e-8 is half of what it is for large ones.
#[test]
fn the_smallest_spread_is_not_divided_by_alone() {
    let dist = RowDist::Gaussian;
    let mut rng = SmallRng::seed_from_u64(3);
    let (shape, params) = policy(dist, &mut rng);
    let weights = Weights::new(&shape, &params);
    let samples = samples(dist, &weights, &mut rng);
    let loss = ActorCriticLoss {
        entropy_coef: 0.0,
        ..loss(Surrogate::LogProb)
    };
    let gradient = |scale: f32| {
        let mut samples = samples.clone();
        samples.advantages.iter_mut().for_each(|a| *a *= scale);
        let problem = Problem::new(Some((dist, &weights)), samples, &loss);
        let ([actor, _], _) = problem.gradient([Some(&weights), None]);
        actor
    };
    let (len, all) = (samples.advantages.len() as f64, samples.advantages.iter());
    let wide = all.map(|a| f64::from(*a));
    let mean = wide.clone().sum::<f64>() / len;
    let std = (wide.map(|a| (a - mean).powi(2)).sum::<f64>() / (len - 1.0)).sqrt();
    let (large, small) = (gradient(1.0), gradient((1e-8 / std) as f32));
    for (large, small) in large.iter().zip(&small) {
        assert!(
            (small - 0.5 * large).abs() < 1e-3 * large.abs().max(0.01),
            "{small} of {large}"
        );
    }
    assert!(large.iter().any(|g| g.abs() > 0.02));
}

/// More rows than are read at a time.
#[test]
fn a_divergence_from_the_policy_that_saw_bytes_is_that_of_floats() {
    let dist = RowDist::Gaussian;
    let mut rng = SmallRng::seed_from_u64(5);
    // Rows of three words.
    let width = 9;
    let shape = MlpShape {
        widths: vec![width, 16, 2],
        ..policy(dist, &mut rng).0
    };
    let params = numbers(shape.num_params(), &mut rng);
    let (acted, moved) = (
        Weights::new(&shape, &params),
        numbers(params.len(), &mut rng),
    );
    let weights = Weights::new(&shape, &moved);
    let (rows, unit) = (1200, 1.0 / 255.0);
    let bytes: Vec<u8> = (0..rows * width)
        .map(|i| (i * 167 + i / 256) as u8)
        .collect();
    let floats = bytes.iter().map(|byte| rows::scaled(*byte, unit)).collect();
    let samples = Samples {
        obs: Rows::Floats(floats),
        actions: numbers(2 * rows, &mut rng),
        action_width: 2,
        log_probs: numbers(rows, &mut rng),
        values: numbers(rows, &mut rng),
        advantages: numbers(rows, &mut rng),
        returns: numbers(rows, &mut rng),
    };
    let of_bytes = Samples {
        obs: Rows::Bytes {
            words: rows::packed(&bytes, width),
            width,
            unit,
        },
        ..samples.clone()
    };
    let surrogate = || Surrogate::Penalised {
        kl_coef: 0.7,
        clip: CLIP,
    };
    let [found, expected] = [of_bytes, samples].map(|samples| {
        let problem = Problem::new(Some((dist, &acted)), samples, &loss(surrogate()));
        problem.gradient([Some(&weights), None])
    });
    assert_eq!(found, expected);
}
