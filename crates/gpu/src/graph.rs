//! Launches that a device has recorded, to be issued all at once.

use burn::backend::{Backend, BackendGraph, Dispatch, DispatchDevice, ExecutionError};
use burn::tensor::Device;

/// Launches on buffers that stay where they are. Numbers that kernels are told by value are recorded with them.
#[derive(Debug)]
pub(crate) struct Graph(BackendGraph<Dispatch>);

impl Graph {
    /// Records what `launches` does to the buffers of `state`. It is called twice, and it depends on the device
    /// how often its work is done.
    ///
    /// Gives the state and the output that a replay writes to. After an error there is nothing to be read from the
    /// state any more.
    pub(crate) fn record<S, T>(
        device: &Device,
        state: S,
        launches: impl Fn(S) -> (S, T),
    ) -> Result<(Self, S, T), ExecutionError> {
        let device = device.as_dispatch();
        Dispatch::graph_prepare(device)?;
        let recorded = rehearse(device, state, &launches).and_then(|state| {
            Dispatch::graph_start_capture(device)?;
            Ok(launches(state))
        });
        // Whatever has happened, the device has to leave this mode.
        let graph = Dispatch::graph_stop_capture(device);
        let (state, output) = recorded?;
        Ok((Self(graph?), state, output))
    }

    /// Issues the launches.
    ///
    /// The state, the output and everything else that they read have to be where they were, and the calling
    /// thread has to be the one that recorded them.
    pub(crate) fn replay(&self, device: &Device) {
        // Safety: whoever records keeps the buffers that are read and written, and is on one thread; those that
        // only exist between launches are the graph's own. So all of them are alive, and no other stream uses them.
        #[allow(unsafe_code)]
        let replayed = unsafe { Dispatch::graph_replay(device.as_dispatch(), &self.0) };
        if let Err(error) = replayed {
            panic!("the device fails to do what it has recorded: {error}");
        }
    }
}

/// While a device records, nothing can be compiled and little allocated: everything is done once before.
fn rehearse<S, T>(
    device: &DispatchDevice,
    state: S,
    launches: impl Fn(S) -> (S, T),
) -> Result<S, ExecutionError> {
    let (state, output) = launches(state);
    Dispatch::sync(device)?;
    drop(output);
    Ok(state)
}
