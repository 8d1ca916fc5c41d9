//! Saving a run to a checkpoint and restoring it.

use super::{TrainError, Trainer};
use crate::{
    Learner,
    checkpoint::{Checkpoint, CheckpointError},
    collect::start,
};
use uphill_core::{policy::Actor, rollout::Memory};
use uphill_envs::BatchEnv;

impl Trainer {
    /// A notice that checkpoints of this run do not contain its environments, if so: the run then resumes from the
    /// start of episodes.
    pub fn inexact_resume(&self) -> Option<String> {
        inexact_resume(&self.envs)
    }

    /// Saves everything that is needed to continue exactly from here.
    pub fn save(&self) -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        checkpoint.put_net("actor", &self.actor.net);
        checkpoint.put_net("critic", &self.critic.net);
        if let Some(norm) = &self.actor.obs_norm {
            checkpoint.put_moments("obs_norm", &norm.moments);
        }
        if let Some(scaler) = &self.reward_scaler {
            checkpoint.put_reward_scaler(scaler);
        }
        for (name, state) in [
            ("actor", &self.memory.actor),
            ("critic", &self.memory.critic),
        ] {
            if let Some(state) = state {
                checkpoint.put_tensor(&format!("memory.{name}"), state.clone());
            }
        }
        match &self.learner {
            Learner::Synchronous(algorithm) => algorithm.save(&mut checkpoint),
            Learner::Asynchronous(a3c) => a3c.save(&mut checkpoint),
        }
        for (worker, env) in self.envs.iter().enumerate() {
            checkpoint.put_env(worker, &env.save());
        }
        self.save_progress(&mut checkpoint);
        checkpoint
    }

    /// Adds the counters and the configuration.
    pub(crate) fn save_progress(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put_json("counters", &self.counters);
        checkpoint.put_config(&self.config);
    }

    /// Continues from the state in `checkpoint`. After an error, some of it may have been restored: build a new
    /// trainer.
    ///
    /// The continuation is exact if the configuration is [the same](Checkpoint::config); only what must fit is checked
    /// here.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        load_actor(&mut self.actor, checkpoint)?;
        self.critic.net = checkpoint.net("critic", &self.critic.net)?;
        self.critic.obs_norm = self.actor.obs_norm.clone();
        if let Some(scaler) = &mut self.reward_scaler {
            scaler.moments = checkpoint.moments("reward_scaler", &scaler.moments)?;
            scaler.discounted =
                checkpoint.tensor("reward_scaler.discounted", &scaler.discounted)?;
        }
        let Memory { actor, critic } = &mut self.memory;
        for (name, state) in [("actor", actor), ("critic", critic)] {
            if let Some(state) = state {
                *state = checkpoint.tensor(&format!("memory.{name}"), state)?;
            }
        }
        match &mut self.learner {
            Learner::Synchronous(algorithm) => algorithm.load(checkpoint)?,
            Learner::Asynchronous(a3c) => a3c.load(checkpoint)?,
        }
        for (worker, env) in self.envs.iter_mut().enumerate() {
            env.restore(&checkpoint.env(worker)?)?;
        }
        if self.inexact_resume().is_some() {
            self.memory = start(&self.actor, &self.critic, self.config.num_envs);
            if let Some(scaler) = &mut self.reward_scaler {
                scaler.discounted = scaler.discounted.zeros_like();
            }
        }
        self.counters = checkpoint.json("counters")?;
        Ok(())
    }
}

/// A notice that environments cannot be saved, if so.
pub(super) fn inexact_resume(envs: &[Box<dyn BatchEnv>]) -> Option<String> {
    let env = envs.iter().find(|env| !env.saves_copies())?;
    let name = &env.spec().name;
    Some(format!(
        "environment `{name}` cannot save its state: a run resumed from a checkpoint begins new episodes, and is not bit for bit \
         the run that was never stopped"
    ))
}

/// Restores an actor's parameters and normaliser from a checkpoint.
pub fn load_actor(actor: &mut Actor, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    actor.net = checkpoint.net("actor", &actor.net)?;
    if let Some(norm) = &mut actor.obs_norm {
        norm.moments = checkpoint.moments("obs_norm", &norm.moments)?;
    }
    Ok(())
}
