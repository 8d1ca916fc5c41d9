//! Training of several agents on a GPU in joint iterations.

use super::Agent;
use std::sync::atomic::AtomicBool;
use uphill_algos::{Cohort, Trainer};

/// Trains the agents until each has spent its budget, has diverged, or is to `stop`, in which case it saves. `tell`
/// reports errors. `false` if they [cannot be trained together](Cohort::of) and are left to the caller.
pub(super) fn together(
    agents: &mut [Agent],
    (stop, interrupted): (&impl Fn() -> bool, &AtomicBool),
    tell: &impl Fn(&Agent),
) -> bool {
    if !catch_up(agents, (stop, interrupted), tell) {
        return true;
    }
    let mut going: Vec<&mut Agent> = agents.iter_mut().filter(|agent| agent.goes_on()).collect();
    let Some(mut cohort) = Cohort::of(&mut trainers(&mut going)) else {
        return false;
    };
    while !stop() && !going.is_empty() {
        let before = going[0].session.trainer().env_steps();
        let mut results = cohort.step(&mut trainers(&mut going)).into_iter();
        let mut save = |trainer: &Trainer| cohort.save(trainer);
        going.retain_mut(|agent| {
            let Some(result) = results.next() else {
                unreachable!("a result for each")
            };
            let result = agent.session.stepped(before, result, &mut save);
            let more = agent.took(result);
            tell(agent);
            more
        });
    }
    for agent in going {
        let mut save = |trainer: &Trainer| cohort.save(trainer);
        agent.error = agent.session.checkpoint(&mut save).err();
        tell(agent);
    }
    true
}

/// Advances agents that were stopped earlier than others to the same iteration; `false` if an iteration was abandoned.
fn catch_up(
    agents: &mut [Agent],
    (stop, interrupted): (&impl Fn() -> bool, &AtomicBool),
    tell: &impl Fn(&Agent),
) -> bool {
    let iteration = |agent: &Agent| agent.session.trainer().iteration();
    let furthest = agents.iter().map(iteration).max().unwrap_or(0);
    for agent in agents {
        agent.session.begin_turn();
        while !stop() && agent.goes_on() && iteration(agent) < furthest {
            let Some(result) = agent.session.step(interrupted).transpose() else {
                return false;
            };
            agent.took(result);
            tell(agent);
        }
        agent.session.begin_turn();
    }
    true
}

fn trainers<'a>(agents: &'a mut [&mut Agent]) -> Vec<&'a mut Trainer> {
    let trainer = |agent: &'a mut &mut Agent| agent.session.trainer_mut();
    agents.iter_mut().map(trainer).collect()
}
