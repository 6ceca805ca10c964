//! Loops for the threads that libtorch already has.
//!
//! Between two operations libtorch's threads spin, so that others, as those of `rayon`, find no core when they are woken
//! for a fraction of a millisecond. They are OpenMP's, whose entry for compiled loops every OpenMP library of Linux keeps.
//! Where it is not found, [`suit`] says no and libtorch's own operations are taken.

use std::any::Any;
use std::ffi::{c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Calls a function with its argument in so many threads, the caller's among them, and waits for all of them.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// Whether loops by [`for_each`] are worth it for tensors of this device: those of the host, where libtorch's threads can
/// be had. In one thread they would be slower than libtorch's own operations, which use all of them.
pub(crate) fn suit(device: tch::Device) -> bool {
    super::is_host(device) && parallel().is_some()
}

/// Does `work` for each item, in as many threads as libtorch's operations take. A panic of `work` is passed on to the
/// caller when all threads have ended.
pub(crate) fn for_each<T>(items: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    let items = Mutex::new(items);
    let panicked: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
    in_all_threads(&|| {
        let next = || locked(&items).next();
        let work_on_all = || {
            while let Some(item) = next() {
                work(item);
            }
        };
        // OpenMP's threads cannot be unwound: the process would be ended. Nobody sees what a panic leaves half done, since
        // the caller is unwound as well.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work_on_all)) {
            locked(&panicked).get_or_insert(panic);
        }
    });
    if let Some(panic) = panicked.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `work` must not panic.
fn in_all_threads<F: Fn() + Sync>(work: &F) {
    extern "C" fn call<F: Fn()>(work: *mut c_void) {
        // SAFETY: `in_all_threads` passes a reference to an `F`, and returns when all calls have.
        let work = unsafe { &*work.cast::<F>() };
        work();
    }
    match parallel() {
        // SAFETY: `call` only reads what `work` points to, and may do so in several threads, since `F` is `Sync`.
        Some(parallel) => unsafe {
            parallel(call::<F>, std::ptr::from_ref(work).cast_mut().cast(), tch::get_num_threads() as c_uint, 0);
        },
        None => work(),
    }
}

fn parallel() -> Option<Parallel> {
    static PARALLEL: OnceLock<Option<Parallel>> = OnceLock::new();
    #[cfg(test)]
    if tests::ARE_MISSING.get() {
        return None;
    }
    *PARALLEL.get_or_init(openmp)
}

/// OpenMP's entry, of the library that libtorch is linked with.
#[cfg(target_os = "linux")]
fn openmp() -> Option<Parallel> {
    let libtorch = loaded_library("libtorch_cpu.so")?;
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

/// A library that the process has loaded. One that it has not stays so: where libtorch is linked in another way, a file
/// of its name may be another libtorch, and two of them in one process end it.
#[cfg(target_os = "linux")]
fn loaded_library(name: &str) -> Option<libloading::os::unix::Library> {
    use libloading::os::unix::{Library, RTLD_LAZY};
    /// As in glibc's and musl's dlfcn.h.
    const RTLD_NOLOAD: std::ffi::c_int = 4;
    // SAFETY: nothing is loaded, so no code of the library runs.
    unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_NOLOAD) }.ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::HashSet;
    use std::thread::{self, ThreadId};
    use std::time::{Duration, Instant};

    thread_local! {
        pub(super) static ARE_MISSING: Cell<bool> = const { Cell::new(false) };
    }

    /// What a computer without these threads does.
    pub(crate) fn without_threads<T>(run: impl FnOnce() -> T) -> T {
        ARE_MISSING.set(true);
        let result = run();
        ARE_MISSING.set(false);
        result
    }

    #[test]
    fn every_item_is_worked_on_once() {
        let mut values = vec![0u32; 10_000];
        let mut add = || {
            for_each(values.chunks_mut(7).enumerate(), |(index, chunk)| {
                chunk.iter_mut().for_each(|value| *value += 1 + index as u32);
            });
        };
        add();
        without_threads(add);
        assert!(values.iter().enumerate().all(|(index, &value)| value == 2 * (1 + index as u32 / 7)));
        for_each(std::iter::empty::<u8>(), |_| unreachable!("there is nothing to do"));
    }

    #[test]
    fn a_panic_in_a_thread_is_the_callers() {
        let run = || for_each(0..1000, |item| assert!(item != 500, "item {item} is wrong"));
        let panic = catch_unwind(run).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "item 500 is wrong");
        // The threads are still there.
        every_item_is_worked_on_once();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn libtorch_is_found_and_nothing_is_loaded() {
        // Of the C library, for debuggers.
        const NEVER_LOADED: &str = "libthread_db.so.1";
        assert!(loaded_library("libtorch_cpu.so").is_some());
        assert!(loaded_library(NEVER_LOADED).is_none());
        assert!(suit(tch::Device::Cpu) && !suit(tch::Device::Cuda(0)));
        assert!(!without_threads(|| suit(tch::Device::Cpu)));
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
