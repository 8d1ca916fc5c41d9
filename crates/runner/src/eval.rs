//! `uphill eval`: evaluation of a trained policy.

use crate::{
    cli::{EvalArgs, Which},
    config,
    console::{note, print},
    device,
    run_dir::RunDir,
    score::score,
    waiting::Waiting,
};
use anyhow::Context;
use serde_json::json;
use std::process::ExitCode;
use uphill_algos::{agent_params, build_actor, eval::evaluate, train::load_actor};
use uphill_envs::BatchOptions;

/// Number of copies over which episodes are spread.
const COPIES: usize = 16;

pub(crate) fn eval(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let run = RunDir::open(&args.run)?;
    let config = config::load_file(&run.config(), &[])?;
    let checkpoint = run.read_checkpoint(args.checkpoint, &config, config::fixed_for_acting)?;
    let episodes = args.episodes as usize;
    let copies = COPIES.min(episodes);
    let spec = uphill_envs::spec_with(&config.env, config.frames)?;

    let options = BatchOptions {
        frames: config.frames,
        ..Default::default()
    };
    let work = device::Workload {
        params: agent_params(&config, &spec)?,
        minibatch: copies,
        host_env: !uphill_envs::steps_on_gpu(&config.env, options)?,
    };
    let chosen = device::choose(args.device, &work).map_err(crate::failure::usage)?;
    if !args.json {
        note(format_args!(
            "device {}: {} ({})",
            chosen.name, chosen.adapter, chosen.reason
        ));
    }
    let mut env = uphill_envs::make_with(&config.env, copies, &chosen.device, options)?;
    let mut actor = build_actor(&config, &spec, &chosen.device)?;
    load_actor(&mut actor, &checkpoint)
        .with_context(|| run.checkpoint(args.checkpoint).display().to_string())?;
    let waiting = Waiting::on(format!("{episodes} episodes"), args.json);
    let result = evaluate(&actor, env.as_mut(), episodes, args.seed, args.stochastic)?;
    drop(waiting);

    let (low, high) = result
        .returns()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), r| {
            (l.min(r), h.max(r))
        });
    let which = match args.checkpoint {
        Which::Latest => "latest",
        Which::Best => "best",
    };
    if args.json {
        let object = json!({
            "run": run.path().to_string_lossy(),
            "checkpoint": which,
            "env": config.env,
            "device": chosen.name,
            "episodes": episodes,
            "seed": args.seed,
            "stochastic": args.stochastic,
            "return_mean": result.mean_return(),
            "return_std": result.std_return(),
            "return_min": low,
            "return_max": high,
            "length_mean": result.mean_length(),
        });
        print(object)?;
    } else {
        print(format_args!(
            "{} on {}, {which} checkpoint, {} actions, {episodes} episodes from seed {}",
            run.path().display(),
            config.env,
            if args.stochastic { "sampled" } else { "greedy" },
            args.seed
        ))?;
        print(format_args!(
            "return {} ± {} (lowest {}, highest {}), length {:.1}",
            score(result.mean_return()),
            score(result.std_return()),
            score(low),
            score(high),
            result.mean_length()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
