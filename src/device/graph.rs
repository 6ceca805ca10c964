//! What a GPU is given to do: in a stream, in turns, and recorded as CUDA graphs.

use super::cuda::{call, functions, functions_for};
use crate::Result;
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::{Device, TchError};

/// While it lives, the work of this thread on a GPU goes into a stream of its own, beside that of other threads. Its end waits
/// for the work.
#[derive(Debug)]
pub(crate) struct Stream {
    previous: *mut c_void,
}

impl Stream {
    /// None on a CPU, and where `cuda.cpp` was not built.
    pub(crate) fn enter(device: Device) -> Result<Option<Self>, TchError> {
        let Some((functions, device)) = functions_for(device) else { return Ok(None) };
        let mut previous = std::ptr::null_mut();
        // SAFETY: both pointers are valid for the call.
        call(|(message, capacity)| unsafe { (functions.enter)(device, &raw mut previous, message, capacity) })?;
        Ok(Some(Self { previous }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(functions) = functions() else { return };
        // An error is one of the work in the stream, which whoever reads its results is told as well.
        // SAFETY: `previous` comes from `enter` and is given back once; a stream is not sent to another thread.
        let _ = call(|(message, capacity)| unsafe { (functions.leave)(self.previous, message, capacity) });
    }
}

/// The right to give a GPU work that is not a replay. One thread of the process has it at a time.
///
/// All threads share libtorch's one thread for backward passes, and cuDNN's handle with it: the work of another would be
/// recorded, too, or break the recording. And what a library makes when it is first used, such as a handle, may wait for the
/// whole device, which CUDA forbids while any stream records. Replays, copies and reads take no turn.
#[derive(Debug)]
pub(crate) struct Turn {
    _guard: Option<MutexGuard<'static, ()>>,
}

impl Turn {
    /// Waits until no other thread has it. Not to be asked for again by the thread that has it. Where nothing can be recorded,
    /// as on a CPU, all have it.
    pub(crate) fn wait(device: Device) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        // A panic of another thread leaves nothing half done that this one would see.
        let guard = functions_for(device).map(|_| TURN.lock().unwrap_or_else(PoisonError::into_inner));
        Self { _guard: guard }
    }
}

/// Work that a GPU was given once and can do again by a single launch, on the same memory.
#[derive(Debug)]
pub(crate) struct Graph {
    device: c_int,
    recorded: *mut c_void,
}

// SAFETY: libtorch's graph may be replayed and freed from any thread, one at a time.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` gives to the device, without doing it; with what `work` returns: tensors of it have their values
    /// after a [`Graph::replay`]. None on a CPU and where `cuda.cpp` was not built.
    ///
    /// `work` must have been done before in the same turn, so that libraries have made what they need and work in this stream,
    /// and may not wait for the device. To be called inside a [`Stream`].
    pub(crate) fn record<T>(
        _turn: &Turn,
        device: Device,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<Option<(Self, T)>, TchError> {
        let Some(recording) = Recording::begin(device)? else { return Ok(None) };
        let done = work();
        let graph = recording.end();
        // The first error is the cause.
        let done = done.map_err(|error| TchError::Torch(error.to_string()))?;
        Ok(Some((graph?, done)))
    }

    /// Gives the recorded work to the current stream.
    pub(crate) fn replay(&self) -> Result<(), TchError> {
        let functions = functions().expect("the graph was recorded by them");
        // SAFETY: the graph is one that was recorded.
        call(|(message, capacity)| unsafe { (functions.graph_replay)(self.device, self.recorded, message, capacity) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if let Some(functions) = functions() {
            // SAFETY: it comes from `graph_begin` and is freed once.
            unsafe { (functions.graph_free)(self.recorded) };
        }
    }
}

/// A graph whose stream is recording. It stops before the graph is freed, also when the work panics: else the stream would
/// record for ever, and libtorch ends a process that frees such a graph.
struct Recording(Option<Graph>);

impl Recording {
    fn begin(device: Device) -> Result<Option<Self>, TchError> {
        let Some((functions, device)) = functions_for(device) else { return Ok(None) };
        let mut recorded = std::ptr::null_mut();
        // SAFETY: both pointers are valid for the call.
        call(|(message, capacity)| unsafe { (functions.graph_begin)(device, &raw mut recorded, message, capacity) })?;
        Ok(Some(Self(Some(Graph { device, recorded }))))
    }

    fn end(mut self) -> Result<Graph, TchError> {
        let graph = self.0.take().expect("it ends once");
        Self::stop(&graph).map(|()| graph)
    }

    fn stop(graph: &Graph) -> Result<(), TchError> {
        let functions = functions().expect("the recording was begun by them");
        // SAFETY: the graph was begun, and is ended once, in the same thread.
        call(|(message, capacity)| unsafe { (functions.graph_end)(graph.device, graph.recorded, message, capacity) })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(graph) = &self.0 {
            // The panic is what is told.
            let _ = Self::stop(graph);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{self, calls, with_gpu};
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn record(work: impl FnOnce() -> Result<u8>) -> Result<Option<u8>, TchError> {
        let _stream = Stream::enter(Device::Cpu).unwrap();
        let turn = Turn::wait(Device::Cpu);
        let recorded = Graph::record(&turn, Device::Cpu, work)?;
        Ok(recorded.map(|(graph, done)| {
            graph.replay().unwrap();
            done
        }))
    }

    const WHOLE: [&str; 6] = ["enter", "begin", "end", "replay", "free", "leave"];
    const FAILED: [&str; 5] = ["enter", "begin", "end", "free", "leave"];

    #[test]
    fn a_recording_ends_before_it_is_freed_whatever_becomes_of_its_work() {
        with_gpu(|| {
            assert_eq!(record(|| Ok(3)).unwrap(), Some(3));
            assert_eq!(calls(), WHOLE);

            let failing = record(|| Err(crate::Error::data("working", "a failure", "none", "try again")));
            assert!(failing.unwrap_err().to_string().contains("a failure"));
            assert_eq!(calls(), FAILED);

            let panic = catch_unwind(AssertUnwindSafe(|| record(|| panic!("inside"))));
            assert!(panic.is_err());
            assert_eq!(calls(), FAILED);

            simulated::fail_ends(1);
            assert!(record(|| Ok(3)).unwrap_err().to_string().contains("a simulated failure"));
            assert_eq!(calls(), FAILED);
            // The turn is free again, and so is the stream.
            assert_eq!(record(|| Ok(4)).unwrap(), Some(4));
        });
    }

    #[test]
    fn nothing_is_recorded_on_a_cpu_and_all_have_their_turn() {
        let _turns = [Turn::wait(Device::Cpu), Turn::wait(Device::Cpu)];
        assert_eq!(record(|| unreachable!("nothing is recorded")).unwrap(), None);
    }
}
