//! Loops for the threads that libtorch already has.
//!
//! Between two operations libtorch's threads spin, so that others, as those of `rayon`, find no core when they are woken
//! for a fraction of a millisecond. They are OpenMP's, whose entry for compiled loops every OpenMP library of Linux keeps.
//! Where it is not found, the calling thread does all the work.

use std::ffi::{c_uint, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Calls a function with its argument in so many threads, the caller's among them, and waits for all of them.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// Does `work` for each item, in as many threads as libtorch's operations take. `work` must not panic: that would end the
/// process.
pub(crate) fn for_each<T>(items: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    in_all_threads(&|| {
        while let Some(item) = next() {
            work(item);
        }
    });
}

fn in_all_threads<F: Fn() + Sync>(work: &F) {
    extern "C" fn call<F: Fn()>(work: *mut c_void) {
        // SAFETY: `in_all_threads` passes a reference to an `F`, and returns when all calls have.
        let work = unsafe { &*work.cast::<F>() };
        work();
    }
    static PARALLEL: OnceLock<Option<Parallel>> = OnceLock::new();
    match PARALLEL.get_or_init(openmp) {
        // SAFETY: `call` only reads what `work` points to, and may do so in several threads, since `F` is `Sync`.
        Some(parallel) => unsafe {
            parallel(call::<F>, std::ptr::from_ref(work).cast_mut().cast(), tch::get_num_threads() as c_uint, 0);
        },
        None => work(),
    }
}

/// OpenMP's entry, of the library that libtorch is linked with.
#[cfg(target_os = "linux")]
fn openmp() -> Option<Parallel> {
    use libloading::os::unix::{Library, RTLD_LAZY};
    // SAFETY: it is loaded already, by this crate's own dependency on it.
    let libtorch = unsafe { Library::open(Some("libtorch_cpu.so"), RTLD_LAZY) }.ok()?;
    // SAFETY: the function has this type in libgomp, in LLVM's libomp and in Intel's.
    let parallel = unsafe { libtorch.get::<Parallel>(b"GOMP_parallel\0") }.ok().map(|parallel| *parallel);
    // libtorch is never unloaded.
    std::mem::forget(libtorch);
    parallel
}

#[cfg(not(target_os = "linux"))]
fn openmp() -> Option<Parallel> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread::{self, ThreadId};
    use std::time::{Duration, Instant};

    #[test]
    fn every_item_is_worked_on_once() {
        let mut values = vec![0u32; 10_000];
        for_each(values.chunks_mut(7).enumerate(), |(index, chunk)| {
            chunk.iter_mut().for_each(|value| *value += 1 + index as u32);
        });
        assert!(values.iter().enumerate().all(|(index, &value)| value == 1 + index as u32 / 7));
        for_each(std::iter::empty::<u8>(), |_| unreachable!("there is nothing to do"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn libtorchs_threads_share_the_work() {
        if tch::get_num_threads() < 2 {
            return;
        }
        let seen = Mutex::new(HashSet::<ThreadId>::new());
        let deadline = Instant::now() + Duration::from_secs(20);
        // Each waits for another thread to come.
        for_each(0..2, |_| {
            seen.lock().unwrap().insert(thread::current().id());
            while seen.lock().unwrap().len() < 2 && Instant::now() < deadline {
                thread::yield_now();
            }
        });
        assert_eq!(seen.into_inner().unwrap().len(), 2);
    }
}
