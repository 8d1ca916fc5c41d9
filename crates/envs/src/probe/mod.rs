//! Probes: tiny tasks with known optima, each of which passes or fails for one reason.
//!
//! Run them in this order. The first that fails points at the faulty part.
//!
//! | probe | optimum | a failure points at |
//! |---|---|---|
//! | [`ProbeConstant`] | V = 1 | value loss, its optimiser, bootstrapping beyond a termination |
//! | [`ProbeObservation`] | V(o) = o | observations that do not reach the critic, or rows mixed up |
//! | [`ProbeTwoStep`] | V(0) = γ, V(1) = 1 | discounting, bootstrapping, order in time |
//! | [`ProbeAction`] | always action 1 | sign and size of the policy gradient, advantages |
//! | [`ProbeIdentity`] | action = observation | the policy's input, pairing of actions with observations |
//! | [`ProbeDigits`] | both indices = observation | multi-discrete policies |
//! | [`ProbeMask`] | the best allowed action | masks of allowed actions |
//! | [`ProbeImage`] | the bright quarter of an image | images: scale of bytes, order of rows, columns, channels |
//! | [`ProbeStop`] | action = observation | policies on bounds |
//! | [`ProbeLqr`] | u = −k x, V in closed form | Gaussian policies, bootstrapping at a truncation |
//! | [`ProbeLqr17x6`] | the same along six waves | sums over the components of an action |
//! | [`ProbeRecall`] | the cue of the first step | memory: only policies with memory get beyond 0 |

crate::registry::environments! {
    mod constant: ProbeConstant = host("ProbeConstant-v0");
    mod observation: ProbeObservation = host("ProbeObservation-v0");
    mod two_step: ProbeTwoStep = host("ProbeTwoStep-v0");
    mod action: ProbeAction = host("ProbeAction-v0");
    mod identity: ProbeIdentity = host("ProbeIdentity-v0");
    mod digits: ProbeDigits = host("ProbeDigits-v0");
    mod mask: ProbeMask = host("ProbeMask-v0");
    mod image: ProbeImage = with_options("ProbeImage-v0");
    mod stop: ProbeStop = host("ProbeStop-v0");
    pub mod lqr: ProbeLqr = kernel("ProbeLqr-v0");
    pub mod lqr_17x6: ProbeLqr17x6 = host("ProbeLqr17x6-v0");
    pub mod recall: ProbeRecall = host("ProbeRecall-v0");
}
