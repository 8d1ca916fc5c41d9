//! The laboratory measures what theory says. Exact statements are in `tests/gradients.rs`; here are
//! samples, with fixed seeds and margins of several standard errors.

use burn::tensor::{Device, Tensor};
use uphill_algos::{
    AlgoConfig, RunConfig, build_actor, build_critic,
    lab::{
        enumerate,
        estimator::GradientEstimator,
        mdp::{TinyMdp, Trajectory},
        measure::{Measurement, Reference, compare, groups, measure},
        problem::{Problem, Values},
        study::{self, StudyConfig},
    },
    reinforce::{Baseline, Credit, ReinforceConfig},
};
use uphill_core::{
    advantage::{Estimator, discounts},
    policy::Actor,
    rollout::Rollout,
};

use uphill_envs::{Philox, Stream};

const GAMMA: f64 = 0.95;

fn device() -> Device {
    Device::flex()
}

fn study_config(repeats: usize) -> StudyConfig {
    StudyConfig {
        gamma: GAMMA,
        repeats,
        reference: 2048,
        fit: 256,
        critic_steps: 200,
        critic_learning_rate: 1e-2,
        seed: 5,
    }
}

fn run_config(env: &str) -> RunConfig {
    let mut config = RunConfig::new(env, 1, 1, AlgoConfig::from(ReinforceConfig::default()));
    config.network.hidden = vec![8];
    config
}

fn walk() -> (Problem, Actor) {
    let mdp = TinyMdp::walk();
    let actor = build_actor(&run_config("walk"), &mdp.spec("walk"), &device()).unwrap();
    (Problem::Mdp(mdp), actor)
}

fn reinforce(credit: Credit, baseline: Baseline) -> GradientEstimator {
    GradientEstimator::Reinforce { credit, baseline }
}

fn gae(lambda: f64) -> GradientEstimator {
    GradientEstimator::Advantage(Estimator::Gae { lambda })
}

/// Measurements of one problem: `repeats` groups of `size` trajectories.
struct Bench {
    actor: Actor,
    reference: Reference,
    groups: Vec<Rollout>,
}

impl Bench {
    fn walk(values: Values, size: usize, repeats: usize) -> Self {
        let (mut problem, actor) = walk();
        Self::of(&mut problem, actor, (values, size, repeats))
    }

    fn of(
        problem: &mut Problem,
        actor: Actor,
        (values, size, repeats): (Values, usize, usize),
    ) -> Self {
        let config = study_config(repeats);
        let reference = study::reference(problem, &actor, &config);
        let pool = study::measured(problem, &actor, &config, (values, size * repeats));
        Self {
            groups: groups(&pool, size, repeats),
            actor,
            reference,
        }
    }

    fn measure(&self, estimator: GradientEstimator) -> Measurement {
        measure(estimator, &self.actor, &self.groups, GAMMA, &self.reference)
    }
}

/// Estimates (1, 0), (3, 0), (2, 3) of the gradient (1, 1): the mean is (2, 1), its distance 1; squared
/// deviations are 2, 2, 4, the variance their sum over 2.
#[test]
fn a_measurement_by_hand() {
    let rows = [[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]];
    let estimates = Tensor::<2>::from_data(rows, &device());
    let reference = Reference::exact(Tensor::from_data([1.0, 1.0], &device()));
    let found = compare(estimates, &reference);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b} {found:?}");
    assert_eq!((found.repeats, found.params), (3, 2));
    close(found.distance, 1.0);
    close(found.variance, 4.0);
    close(found.standard_error.powi(2), 4.0 / 3.0);
    close(found.bias_squared, 1.0 - 4.0 / 3.0);
    let cosines = [1.0, 1.0, 5.0 / 13_f64.sqrt()].map(|c| c / 2_f64.sqrt());
    close(found.cosine, cosines.iter().sum::<f64>() / 3.0);
    close(found.cosine_of_mean, 3.0 / 10_f64.sqrt());
}

/// Estimates 1, 3, 8 of the gradient 2, which is known to ½: squared deviations 9, 1, 16 around 4, a variance of 13.
#[test]
fn errors_of_a_measurement_by_hand() {
    let estimates = Tensor::<2>::from_data([[1.0], [3.0], [8.0]], &device());
    let reference = Reference {
        standard_error: 0.5,
        ..Reference::exact(Tensor::from_data([2.0], &device()))
    };
    let found = compare(estimates, &reference);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-5, "{a} {b} {found:?}");
    close(found.variance, 13.0);
    close(found.standard_error, (13.0f64 / 3.0 + 0.25).sqrt());
    close(
        found.variance_error,
        ((16.0f64 + 144.0 + 9.0) / 2.0 / 3.0).sqrt(),
    );
    let at = |distance| Measurement {
        distance,
        standard_error: 1.0,
        ..found
    };
    assert!(!at(3.0).is_biased() && at(3.1).is_biased());
}

#[test]
fn estimators_and_values_have_names() {
    let value = reinforce(Credit::Trajectory, Baseline::Value);
    let average = reinforce(Credit::RewardToGo, Baseline::Average);
    assert_eq!(value.to_string(), "trajectory value");
    assert_eq!(average.to_string(), "reward-to-go average");
    assert!(value.uses_values() && gae(0.9).uses_values() && !average.uses_values());
    let (problem, _) = walk();
    let names = [Values::Good, Values::Poor].map(|values| values.name(&problem));
    assert_eq!(names, ["exact", "halved"]);
}

#[test]
fn processes_have_names() {
    let states = |name| TinyMdp::named(name).map(|mdp| mdp.states());
    assert_eq!(TinyMdp::NAMES.map(states), [Some(2), Some(5)]);
    assert_eq!(states("TinyHike"), None);
}

#[test]
fn the_walk_slips_and_pays_at_its_end() {
    let walk = TinyMdp::walk();
    let close = |found: &[f64], expected: &[f64]| {
        let near = found
            .iter()
            .zip(expected)
            .all(|(f, e)| (f - e).abs() < 1e-12);
        assert!(near && found.len() == expected.len(), "{found:?}");
    };
    close(&walk.transitions[1][0], &[0.8, 0.0, 0.2, 0.0, 0.0]);
    close(&walk.transitions[1][1], &[0.2, 0.0, 0.8, 0.0, 0.0]);
    close(&walk.transitions[0][0], &[0.8, 0.2, 0.0, 0.0, 0.0]);
    close(&walk.transitions[4][1], &[0.0, 0.0, 0.0, 0.15, 0.6]);
    for (state, rewards) in walk.rewards.iter().enumerate() {
        let end = if state == 4 { 1.0 } else { 0.0 };
        close(rewards, &[end, end - 0.1]);
    }
}

/// A sampled trajectory is one of those that there are, with its chance.
#[test]
fn sampled_trajectories_know_their_chance() {
    let mdp = TinyMdp::example();
    let all = mdp.trajectories();
    let policy = [0.3, 0.7, 0.6, 0.4];
    for lane in 0..200 {
        let path = mdp.sample(&policy, &mut Philox::new(1, Stream::Lab, 0, lane));
        let same =
            |other: &&Trajectory| (&other.states, &other.actions) == (&path.states, &path.actions);
        let known = all.iter().find(same).unwrap();
        assert!((known.chance - path.chance).abs() < 1e-12, "{path:?}");
    }
}

/// A policy that does action s in state s, and one that leaves its whole probability to the last action.
#[test]
fn actions_are_those_of_the_policy_in_the_state() {
    let mdp = TinyMdp::example();
    for lane in 0..50 {
        let sample = |policy| mdp.sample(policy, &mut Philox::new(2, Stream::Lab, 0, lane));
        let path = sample(&[1.0, 0.0, 0.0, 1.0]);
        assert_eq!(path.actions, path.states);
        assert!(sample(&[0.0; 4]).actions.iter().all(|action| *action == 1));
    }
}

/// π(1|s) = (s + 1) / 10: 0.9 · 0.2 · 0.3 and the chance of the way.
#[test]
fn the_probability_of_a_way_is_that_of_its_actions_and_its_chance() {
    let walk = TinyMdp::walk();
    let path = Trajectory {
        states: vec![0, 1, 2],
        actions: vec![0, 1, 1],
        chance: 0.25,
    };
    let rows: Vec<f64> = (1..=5)
        .flat_map(|s| [1.0 - s as f64 / 10.0, s as f64 / 10.0])
        .collect();
    let policy = Tensor::<1>::from_data(rows.as_slice(), &device()).reshape([5, 2]);
    let found = walk.probabilities(&[path], policy.log());
    let found = found.into_scalar::<f64>();
    assert!((found - 0.25 * 0.9 * 0.2 * 0.3).abs() < 1e-7, "{found}");
}

/// On the same trajectories, with values and with half of them.
#[test]
fn estimators_that_use_values_change_with_them() {
    let (mut problem, actor) = walk();
    let mut pool = |values| study::measured(&mut problem, &actor, &study_config(2), (values, 8));
    let pools = [pool(Values::Good), pool(Values::Poor)];
    let mut count = 0;
    for credit in [Credit::Trajectory, Credit::RewardToGo] {
        for estimator in [
            reinforce(credit, Baseline::None),
            reinforce(credit, Baseline::Average),
            reinforce(credit, Baseline::Optimal),
            reinforce(credit, Baseline::Value),
            GradientEstimator::Constant {
                credit,
                constant: 2.0,
            },
            gae(0.5),
        ] {
            let [good, poor] = [&pools[0], &pools[1]].map(|rollout| -> Vec<f64> {
                let estimate = estimator.estimate(&actor, rollout, GAMMA);
                estimate.into_data().iter().collect()
            });
            assert_eq!(estimator.uses_values(), good != poor, "{estimator}");
            count += usize::from(good != poor);
        }
    }
    assert_eq!(count, 4);
}

#[test]
fn a_reference_made_of_estimates_knows_its_error() {
    let rows = [[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]];
    let reference = Reference::mean_of(Tensor::from_data(rows, &device()));
    assert!((reference.norm() - 5_f64.sqrt()).abs() < 1e-6);
    assert!((reference.standard_error.powi(2) - 4.0 / 3.0).abs() < 1e-6);
}

/// Sampled trajectories against all there are, weighted with their probabilities.
#[test]
fn sampling_agrees_with_enumeration() {
    const REPEATS: usize = 4000;
    let mdp = TinyMdp::example();
    let actor = build_actor(&run_config("tiny"), &mdp.spec("tiny"), &device()).unwrap();
    let values = mdp.values(mdp.log_probs(&actor), GAMMA);
    let estimator = reinforce(Credit::RewardToGo, Baseline::None);
    let exact = enumerate(&mdp, &actor, values, 1, |rollout| {
        estimator.estimate(&actor, rollout, GAMMA)
    });
    let exact_variance = exact.variance.into_scalar::<f64>();
    let found =
        Bench::of(&mut Problem::Mdp(mdp), actor, (Values::Good, 1, REPEATS)).measure(estimator);
    let off = (found.variance - exact_variance) / found.variance_error;
    assert!(
        off.abs() < 3.0,
        "{off}: {found:?}, exactly {exact_variance}"
    );
    assert!(!found.is_biased(), "{found:?}");
}

#[test]
fn variance_falls_as_one_over_the_number_of_trajectories() {
    let (mut problem, actor) = walk();
    const REPEATS: usize = 600;
    let config = study_config(REPEATS);
    let reference = study::reference(&mut problem, &actor, &config);
    let what = (Values::Good, 16 * REPEATS);
    let pool = study::measured(&mut problem, &actor, &config, what);
    for estimator in [reinforce(Credit::RewardToGo, Baseline::None), gae(0.9)] {
        // N · Var and its standard error, which do not depend on N.
        let scaled = |size: usize| {
            let groups = groups(&pool, size, REPEATS);
            let found = measure(estimator, &actor, &groups, GAMMA, &reference);
            let size = size as f64;
            (found.variance * size, found.variance_error * size)
        };
        let [one, four, sixteen] = [1, 4, 16].map(scaled);
        for other in [four, sixteen] {
            let error = one.1.hypot(other.1);
            assert!(error < 0.2 * one.0, "{estimator}: too few repeats");
            let off = (other.0 - one.0) / error;
            assert!(off.abs() < 3.0, "{estimator}: {one:?} {other:?}");
        }
    }
}

#[test]
fn credit_and_baselines_reduce_variance_and_keep_the_mean() {
    let bench = Bench::walk(Values::Good, 32, 100);
    let measure = |credit, baseline| {
        let found = bench.measure(reinforce(credit, baseline));
        assert!(!found.is_biased(), "{credit:?} {baseline:?}: {found:?}");
        found.variance
    };
    for credit in [Credit::Trajectory, Credit::RewardToGo] {
        let none = measure(credit, Baseline::None);
        for baseline in [Baseline::Average, Baseline::Optimal, Baseline::Value] {
            let with = measure(credit, baseline);
            assert!(with < 0.95 * none, "{credit:?} {baseline:?}: {with} {none}");
        }
    }
    for baseline in [
        Baseline::None,
        Baseline::Average,
        Baseline::Optimal,
        Baseline::Value,
    ] {
        let whole = measure(Credit::Trajectory, baseline);
        let to_go = measure(Credit::RewardToGo, baseline);
        assert!(to_go < whole, "{baseline:?}: {to_go} {whole}");
    }
}

#[test]
fn only_few_trajectories_are_enumerated() {
    let mdp = TinyMdp::example();
    assert!(mdp.few_trajectories(14).is_none());
    assert_eq!(mdp.few_trajectories(15).unwrap().len(), 15);
    assert!(TinyMdp::walk().few_trajectories(1000).is_none());
}

/// The optimum comes from other trajectories than those it is measured on.
#[test]
fn the_optimal_constant_is_the_best_of_constants() {
    let (mut problem, actor) = walk();
    let bench = Bench::walk(Values::Good, 2, 400);
    let all = study::estimators(&mut problem, &actor, &study_config(2));
    for credit in [Credit::Trajectory, Credit::RewardToGo] {
        let constants = all
            .iter()
            .filter(|e| matches!(e, GradientEstimator::Constant { credit: c, .. } if *c == credit));
        let mut variances: Vec<f64> = constants.map(|e| bench.measure(*e).variance).collect();
        assert_eq!(variances.len(), study::MULTIPLES.len());
        variances.push(bench.measure(reinforce(credit, Baseline::None)).variance);
        let best = variances[study::MULTIPLES.iter().position(|m| *m == 1.0).unwrap()];
        assert!(
            variances.iter().all(|v| *v >= best),
            "{credit:?}: {variances:?}"
        );
    }
}

#[test]
fn with_a_wrong_value_function_lambda_and_n_trade_bias_for_variance() {
    let bench = Bench::walk(Values::Poor, 4, 300);
    let n_step = |n| GradientEstimator::Advantage(Estimator::NStep { n });
    for (short, long) in [(gae(0.0), gae(1.0)), (n_step(0), n_step(19))] {
        let (short, long) = (bench.measure(short), bench.measure(long));
        assert!(short.is_biased() && !long.is_biased(), "{short:?} {long:?}");
        assert!(short.bias_squared > 4.0 * long.bias_squared);
        assert!(short.variance < 0.5 * long.variance, "{short:?} {long:?}");
    }
}

#[test]
fn with_the_exact_value_function_every_advantage_is_unbiased() {
    let bench = Bench::walk(Values::Good, 2, 300);
    let lambdas = study::LAMBDAS.map(|lambda| Estimator::Gae { lambda });
    let steps = study::N_STEPS.map(|n| Estimator::NStep { n });
    for estimator in lambdas.into_iter().chain(steps) {
        let found = bench.measure(GradientEstimator::Advantage(estimator));
        assert!(!found.is_biased(), "{estimator:?}: {found:?}");
    }
}

#[test]
fn a_constant_of_zero_is_no_baseline() {
    let bench = Bench::walk(Values::Good, 2, 2);
    for credit in [Credit::Trajectory, Credit::RewardToGo] {
        let constant = GradientEstimator::Constant {
            credit,
            constant: 0.0,
        };
        let none = reinforce(credit, Baseline::None);
        assert_eq!(bench.measure(constant), bench.measure(none));
    }
}

#[test]
fn an_environment_is_measured_against_a_long_run() {
    let config = run_config("CartPole-v1");
    let spec = uphill_envs::spec("CartPole-v1").unwrap();
    let actor = build_actor(&config, &spec, &device()).unwrap();
    let critic = || build_critic(&config, &spec, &device());
    let mut problem = Problem::Env {
        env: uphill_envs::make("CartPole-v1", 16, &device()).unwrap(),
        good: critic(),
        poor: critic(),
    };
    study::fit_critic(&mut problem, &actor, &study_config(2));
    let bench = Bench::of(&mut problem, actor.clone(), (Values::Good, 4, 60));
    let explained = |values| {
        let pool = study::measured(&mut problem, &actor, &study_config(2), (values, 240));
        assert_eq!(pool.dims()[1], 240);
        let [steps, _] = pool.dims();
        let discounted = (pool.rewards.clone() * pool.mask())
            .mul(discounts(steps, GAMMA, &device()).expand([steps, 240]));
        (
            study::explained(&pool, GAMMA),
            discounted.sum().into_scalar::<f64>(),
        )
    };
    let [(good, same), (poor, episodes)] = [Values::Good, Values::Poor].map(explained);
    assert!(good > 0.2 && good > poor, "{good} {poor}");
    assert_eq!(same, episodes, "other episodes with another critic");

    assert!(bench.reference.standard_error > 0.0);
    assert!(bench.reference.standard_error < 0.5 * bench.reference.norm());
    let none = bench.measure(reinforce(Credit::RewardToGo, Baseline::None));
    let value = bench.measure(reinforce(Credit::RewardToGo, Baseline::Value));
    assert!(
        !none.is_biased() && !value.is_biased(),
        "{none:?} {value:?}"
    );
    assert!(value.variance < 0.8 * none.variance, "{none:?} {value:?}");

    let bench = Bench::of(&mut problem, actor, (Values::Poor, 4, 60));
    let (short, long) = (bench.measure(gae(0.0)), bench.measure(gae(1.0)));
    assert!(short.is_biased() && !long.is_biased(), "{short:?} {long:?}");
    assert!(short.variance < long.variance);
}

/// Every episode is truncated here. The limit belongs to the return that is measured, so that no estimator
/// may lean on a critic beyond it, and those that use every reward are unbiased with any critic.
#[test]
fn a_time_limit_is_the_end_for_every_estimator() {
    let config = run_config("ProbeLqr-v0");
    let spec = uphill_envs::spec("ProbeLqr-v0").unwrap();
    let actor = build_actor(&config, &spec, &device()).unwrap();
    // A critic that is far off, so that leaning on it would show.
    let mut poor = build_critic(&config, &spec, &device());
    poor.net = poor.net.with_flat(poor.net.flat() * 20.0 + 1.0);
    let mut problem = Problem::Env {
        env: uphill_envs::make("ProbeLqr-v0", 16, &device()).unwrap(),
        good: build_critic(&config, &spec, &device()),
        poor,
    };
    let bench = Bench::of(&mut problem, actor, (Values::Poor, 4, 100));
    let group = &bench.groups[0];
    let flags = |flags: Tensor<2, burn::tensor::Bool>| flags.float().sum().into_scalar::<f64>();
    assert_eq!(flags(group.truncated.clone()), 0.0);
    assert!(flags(group.terminated.clone()) > 0.0);
    for estimator in [
        reinforce(Credit::RewardToGo, Baseline::Value),
        gae(1.0),
        GradientEstimator::Advantage(Estimator::NStep { n: 10_000 }),
    ] {
        let found = bench.measure(estimator);
        assert!(!found.is_biased(), "{estimator:?}: {found:?}");
    }
    assert!(
        bench.measure(gae(0.0)).is_biased(),
        "this critic misleads nobody"
    );
}
