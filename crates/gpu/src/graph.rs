//! Recorded launches, replayed all at once.

use burn::backend::{Backend, BackendGraph, Dispatch, DispatchDevice, ExecutionError};
use burn::tensor::Device;

/// Recorded launches on fixed buffers. Scalar arguments of kernels are recorded with them.
#[derive(Debug)]
pub(crate) struct Graph(BackendGraph<Dispatch>);

impl Graph {
    /// Records the operations of `launches` on the buffers of `state`. It is called twice; how often its work is
    /// executed depends on the device.
    ///
    /// Returns the state and the output that a replay writes to. After an error the contents of the state are
    /// undefined.
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
        // The device has to leave capture mode in any case.
        let graph = Dispatch::graph_stop_capture(device);
        let (state, output) = recorded?;
        Ok((Self(graph?), state, output))
    }

    /// Issues the launches.
    ///
    /// The state, the output and all other buffers involved must be in their original places, and the calling thread
    /// must be the one that recorded them.
    pub(crate) fn replay(&self, device: &Device) {
        // Safety: the recording caller keeps the buffers that are read and written, and stays on one thread; buffers
        // that only exist between launches belong to the graph. So all of them are alive, and no other stream uses
        // them.
        #[allow(unsafe_code)]
        let replayed = unsafe { Dispatch::graph_replay(device.as_dispatch(), &self.0) };
        if let Err(error) = replayed {
            panic!("the device fails to do what it has recorded: {error}");
        }
    }
}

/// During recording nothing can be compiled and little allocated, so everything is done once before.
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
