//! `uphill lab`: bias and variance of policy-gradient estimators.

mod files;
mod picture;
mod report;

use crate::{
    cli::LabArgs,
    config,
    console::{note, print},
    device,
    failure::{UsageError, usage},
    memory,
    run_dir::RunDir,
};
use anyhow::{Context, bail};
use burn::tensor::Device;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use uphill_algos::{
    AlgoConfig, Checkpoint, ConfigError, RunConfig, agent_params, build_actor, build_critic,
    config::MemoryKind,
    lab::{
        estimator::GradientEstimator,
        mdp::TinyMdp,
        measure::{Measurement, Reference, groups, measure},
        problem::{Problem, Values},
        study::{self, PARTS, StudyConfig},
    },
    reinforce::ReinforceConfig,
    train::load_actor,
};
use uphill_core::policy::Actor;
use uphill_envs::{BatchOptions, EnvError, EnvSpec};

/// Number of copies from which episodes are collected.
const COPIES: usize = 64;
/// Learning rate of the critic's fit: three times that of Spinning Up's VPG.
const CRITIC_LEARNING_RATE: f64 = 3e-3;
/// Approximate number of steps of an episode, for choosing a device.
const TYPICAL_LENGTH: usize = 100;

/// Results of a study.
pub(crate) struct Findings {
    pub(crate) env: String,
    pub(crate) config: StudyConfig,
    pub(crate) reference: Reference,
    /// Whether the reference gradient is exact.
    pub(crate) exact: bool,
    /// Names of the better and the worse value function, and the variance that they explain.
    pub(crate) values: [(&'static str, f64); 2],
    /// Numbers of trajectories N, in increasing order.
    pub(crate) trajectories: Vec<usize>,
    pub(crate) rows: Vec<Row>,
}

/// One estimator with one number of trajectories.
pub(crate) struct Row {
    pub(crate) estimator: GradientEstimator,
    /// Value function; `None` if the estimator does not use one.
    pub(crate) values: Option<Values>,
    pub(crate) trajectories: usize,
    pub(crate) measured: Measurement,
}

impl Findings {
    /// Name of a row's value function.
    pub(crate) fn values_name(&self, row: &Row) -> &'static str {
        row.values
            .map_or("-", |values| self.values[values as usize].0)
    }
}

pub(crate) fn lab(args: &LabArgs) -> anyhow::Result<ExitCode> {
    let source = Source::find(args)?;
    let env = source.config.env.clone();
    let mdp = TinyMdp::named(&env.name);
    let spec = match &mdp {
        Some(mdp) => {
            check_memoryless(&source.config)?;
            mdp.spec(&env.name)
        }
        None => uphill_envs::spec_with(&env, source.config.frames).map_err(unknown)?,
    };
    let config = study_config(args, &source.config)?;
    let mut trajectories: Vec<usize> = args.trajectories.iter().map(|n| *n as usize).collect();
    trajectories.sort_unstable();
    trajectories.dedup();

    let work = device::Workload {
        params: agent_params(&source.config, &spec)?,
        minibatch: trajectories[trajectories.len() - 1] * TYPICAL_LENGTH,
        host_env: match &mdp {
            Some(_) => true,
            None => !uphill_envs::steps_on_gpu(&env, BatchOptions::default()).map_err(unknown)?,
        },
    };
    let chosen = device::choose(args.device, &work).map_err(usage)?;
    // At least what a rollout of one episode of each copy wants.
    let episodes = RunConfig {
        num_envs: COPIES,
        algo: ReinforceConfig {
            episodes: 1,
            ..ReinforceConfig::default()
        }
        .into(),
        ..source.config.clone()
    };
    let single = match &mdp {
        Some(_) => spec.clone(),
        None => uphill_envs::spec(&env).map_err(unknown)?,
    };
    memory::check_in(&single, &episodes, &chosen, 1)?;
    let say = |text: &str| {
        if !args.json {
            note(text);
        }
    };
    let out = folder(args.out.as_deref(), &env.name)?;
    let (name, adapter) = (&chosen.name, &chosen.adapter);
    say(&format!("device {name}: {adapter} ({})", chosen.reason));
    let actor = source.actor(&spec, &chosen.device)?;
    let problem = source.problem(mdp, &spec, &actor, &chosen.device)?;
    let findings = find_out(
        problem,
        &actor,
        config,
        (env.to_string(), trajectories),
        say,
    )?;

    files::write_csv(&findings, &out.join("lab.csv"))?;
    picture::draw(&findings, &out.join("lab.svg"))?;
    if args.json {
        print(report::object(&findings, &out))?;
    } else {
        print(report::text(&findings))?;
        print(format_args!(
            "written: {0}/lab.csv, {0}/lab.svg",
            out.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The exact gradient of a decision process is that of a policy without memory.
fn check_memoryless(config: &RunConfig) -> Result<(), ConfigError> {
    let memory = config.network.memory != MemoryKind::None;
    for (key, on) in [("network.memory", memory), ("frames", config.frames > 1)] {
        if on {
            let problem =
                "is for environments; the exact gradient is that of a policy without memory";
            return Err(ConfigError::new(key, problem));
        }
    }
    Ok(())
}

/// Error for an unknown environment, which also lists the laboratory's decision processes.
fn unknown(error: EnvError) -> anyhow::Error {
    let also = TinyMdp::NAMES.join(" and ");
    UsageError(format!("{error}; here also the decision processes {also}")).into()
}

/// A policy: its configuration, and its checkpoint if it has been trained.
struct Source {
    config: RunConfig,
    /// Checkpoint with its file.
    checkpoint: Option<(PathBuf, Checkpoint)>,
}

impl Source {
    fn find(args: &LabArgs) -> anyhow::Result<Self> {
        let Some(source) = &args.source else {
            if !args.set.is_empty() {
                bail!(UsageError(
                    "--set needs a configuration to change".to_owned()
                ));
            }
            let env = args.env.as_deref().unwrap_or("TinyWalk");
            let algo = AlgoConfig::from(ReinforceConfig::default());
            let mut config = RunConfig::new(env, 1, 1, algo);
            config.seed = args.seed;
            return Ok(Self {
                config,
                checkpoint: None,
            });
        };
        if Path::new(source).is_dir() {
            let run = RunDir::open(Path::new(source))?;
            let config = config::load_file(&run.config(), &args.set)?;
            let [own, asked] =
                [&config::load_file(&run.config(), &[])?, &config].map(config::kept::values);
            let (own, asked) = (own?, asked?);
            let fixed =
                |key: &&String| config::fixed_for_acting(key) && own.get(*key) != asked.get(*key);
            if let Some(key) = asked.keys().find(fixed) {
                bail!(UsageError(format!(
                    "--set of {key}: the policy of {source} was trained with its own; \
                     give a configuration in place of the run to change a fresh policy's"
                )));
            }
            if args.env.as_ref().is_some_and(|env| *env != config.env.name) {
                let trained = &config.env;
                let problem = format!("--env: the policy of {source} was trained in {trained}");
                bail!(UsageError(problem));
            }
            let checkpoint =
                run.read_checkpoint(args.checkpoint, &config, config::fixed_for_acting)?;
            return Ok(Self {
                config,
                checkpoint: Some((run.checkpoint(args.checkpoint), checkpoint)),
            });
        }
        let mut config = config::load(source, &args.set)?.config;
        config.seed = args.seed;
        if let Some(env) = &args.env {
            config.env = env.into();
        }
        Ok(Self {
            config,
            checkpoint: None,
        })
    }

    fn actor(&self, spec: &EnvSpec, device: &Device) -> anyhow::Result<Actor> {
        let mut actor = build_actor(&self.config, spec, device)?;
        if let Some((path, checkpoint)) = &self.checkpoint {
            load_actor(&mut actor, checkpoint).with_context(|| path.display().to_string())?;
        }
        Ok(actor)
    }

    /// The critics normalise observations as the actor does; the better one starts from the checkpoint.
    fn problem(
        &self,
        mdp: Option<TinyMdp>,
        spec: &EnvSpec,
        actor: &Actor,
        device: &Device,
    ) -> anyhow::Result<Problem> {
        if let Some(mdp) = mdp {
            return Ok(Problem::Mdp(mdp));
        }
        let mut poor = build_critic(&self.config, spec, device);
        poor.obs_norm = actor.obs_norm.clone();
        let mut good = poor.clone();
        if let Some((path, checkpoint)) = &self.checkpoint {
            let net = checkpoint.net("critic", &good.net);
            good.net = net.with_context(|| path.display().to_string())?;
        }
        let options = BatchOptions {
            frames: self.config.frames,
            ..BatchOptions::default()
        };
        let env = uphill_envs::make_with(&self.config.env, COPIES, device, options)?;
        Ok(Problem::Env { env, good, poor })
    }
}

fn study_config(args: &LabArgs, config: &RunConfig) -> anyhow::Result<StudyConfig> {
    let gamma = args.gamma.unwrap_or(config.algo.settings().gamma());
    if !(0.0..=1.0).contains(&gamma) {
        bail!(UsageError(format!(
            "--gamma: is {gamma}, must lie between 0 and 1"
        )));
    }
    Ok(StudyConfig {
        gamma,
        repeats: args.repeats as usize,
        reference: whole_parts(args.reference as usize),
        fit: args.fit as usize,
        critic_steps: args.critic_steps as usize,
        critic_learning_rate: CRITIC_LEARNING_RATE,
        seed: args.seed,
    })
}

/// Number of trajectories that a reference uses: see [`StudyConfig::reference`].
fn whole_parts(reference: usize) -> usize {
    if reference > PARTS {
        reference.next_multiple_of(PARTS)
    } else {
        reference
    }
}

fn find_out(
    mut problem: Problem,
    actor: &Actor,
    config: StudyConfig,
    (env, trajectories): (String, Vec<usize>),
    say: impl Fn(&str),
) -> anyhow::Result<Findings> {
    say("reference, critic and constants ...");
    study::fit_critic(&mut problem, actor, &config);
    let estimators = study::estimators(&mut problem, actor, &config);
    let reference = study::reference(&mut problem, actor, &config);
    let norm = reference.norm();
    if norm == 0.0 || !norm.is_finite() {
        bail!("the gradient of this policy is zero or not finite: nothing to compare with");
    }
    let count = config.repeats * trajectories[trajectories.len() - 1];
    let mut rows = vec![];
    let mut names = vec![];
    for values in [Values::Good, Values::Poor] {
        let pool = study::measured(&mut problem, actor, &config, (values, count));
        names.push((values.name(&problem), study::explained(&pool, config.gamma)));
        // An estimator without values is the same for both value functions.
        let due = |e: &&GradientEstimator| values == Values::Good || e.uses_values();
        for &size in &trajectories {
            say(&format!("{} values, N = {size} ...", values.name(&problem)));
            let groups = groups(&pool, size, config.repeats);
            rows.extend(estimators.iter().filter(due).map(|&estimator| Row {
                estimator,
                values: estimator.uses_values().then_some(values),
                trajectories: size,
                measured: measure(estimator, actor, &groups, config.gamma, &reference),
            }));
        }
    }
    Ok(Findings {
        env,
        exact: matches!(problem, Problem::Mdp(_)),
        config,
        reference,
        values: [names[0], names[1]],
        trajectories,
        rows,
    })
}

/// The requested folder, or the first free `runs/lab-{env}-{number}`.
fn folder(out: Option<&Path>, env: &str) -> anyhow::Result<PathBuf> {
    match out {
        Some(out) => {
            fs::create_dir_all(out).with_context(|| format!("--out {}", out.display()))?;
            Ok(out.to_owned())
        }
        None => Ok(RunDir::create(None, &format!("lab-{env}"))?
            .path()
            .to_owned()),
    }
}
