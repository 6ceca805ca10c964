//! A GPU simulated on the CPU, for tests: the same steps, streams, turns, uploads and recordings, on tensors of the host.
//!
//! Work that is recorded is done, and a replay does nothing, so what is computed is not what a GPU would.

use super::cuda::Functions;
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tch::Tensor;

thread_local! {
    static IS_HERE: Cell<bool> = const { Cell::new(false) };
    static CALLS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    static N_FAILING_ENDS: Cell<usize> = const { Cell::new(0) };
}

/// The thread that records. There is one stream in a simulated GPU for each thread.
static RECORDS: Mutex<Option<ThreadId>> = Mutex::new(None);

static FUNCTIONS: Functions =
    Functions { enter, leave, graph_begin, graph_end, graph_replay, graph_free, free_memory, allow, upload };

/// Does `work` in a thread that takes the CPU for a GPU.
pub(crate) fn with_gpu<T>(work: impl FnOnce() -> T) -> T {
    IS_HERE.set(true);
    let result = work();
    IS_HERE.set(false);
    CALLS.take();
    result
}

pub(crate) fn is_here() -> bool {
    IS_HERE.get()
}

/// What `cuda.cpp` was asked for in this thread since the last question.
pub(crate) fn calls() -> Vec<&'static str> {
    CALLS.take()
}

/// Lets so many recordings of this thread fail at their end.
pub(crate) fn fail_ends(n: usize) {
    N_FAILING_ENDS.set(n);
}

/// To be called where work is given to the device, and not by a replay.
pub(crate) fn is_given_work() {
    if is_here() {
        CALLS.with_borrow_mut(|calls| calls.push("work"));
        let records = *RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(records.is_none_or(|thread| thread == thread::current().id()), "another thread records");
    }
}

pub(super) fn functions() -> Option<&'static Functions> {
    is_here().then_some(&FUNCTIONS)
}

fn called(name: &'static str) -> bool {
    CALLS.with_borrow_mut(|calls| calls.push(name));
    false
}

extern "C" fn enter(_: c_int, _: *mut *mut c_void, _: *mut c_char, _: usize) -> bool {
    called("enter")
}

extern "C" fn leave(_: *mut c_void, _: *mut c_char, _: usize) -> bool {
    called("leave")
}

extern "C" fn graph_begin(_: c_int, _: *mut *mut c_void, _: *mut c_char, _: usize) -> bool {
    let before = RECORDS.lock().unwrap_or_else(PoisonError::into_inner).replace(thread::current().id());
    // A panic cannot leave this function: it would end the process.
    if before.is_some() {
        std::process::abort();
    }
    called("begin")
}

extern "C" fn graph_end(_: c_int, _: *mut c_void, message: *mut c_char, capacity: usize) -> bool {
    // So that others would come in between if they did not wait.
    thread::sleep(Duration::from_millis(2));
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner).take();
    called("end");
    let n_failing = N_FAILING_ENDS.get();
    if n_failing == 0 {
        return false;
    }
    N_FAILING_ENDS.set(n_failing - 1);
    let text = c"a simulated failure".to_bytes_with_nul();
    assert!(text.len() <= capacity);
    // SAFETY: the caller has room for as many bytes.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), message, text.len()) };
    true
}

extern "C" fn graph_replay(_: c_int, _: *mut c_void, _: *mut c_char, _: usize) -> bool {
    called("replay")
}

extern "C" fn graph_free(_: *mut c_void) {
    called("free");
}

extern "C" fn free_memory(_: c_int, n_bytes: *mut u64, _: *mut c_char, _: usize) -> bool {
    // SAFETY: the caller's pointer is valid.
    unsafe { *n_bytes = u64::MAX };
    false
}

extern "C" fn allow(_: bool, _: bool) {}

extern "C" fn upload(destination: *mut c_void, words: *const c_void, _: *mut c_char, _: usize) -> bool {
    // SAFETY: the caller's tensor is contiguous, on the host, and has as many words as there are.
    unsafe {
        let tensor = Tensor::clone_from_ptr(destination.cast());
        std::ptr::copy_nonoverlapping(words.cast::<i64>(), tensor.data_ptr().cast(), tensor.numel());
    }
    called("upload")
}
