//! The processes of an MPI program.

use super::{Error, Joined, Result, Together, check_not_singletons};
use ferrompi::{Communicator, Mpi, MpiDatatype, ThreadLevel};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process waits for the others before it ends all of them; the variable has another number of seconds.
const MOST_WAITED: Duration = Duration::from_secs(3600);
const VARIABLE: &str = "DIABOLO_MPI_MAX_SECONDS";
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Values that each process adds at a time, so that memory does not grow with the network times the processes.
const N_AT_ONCE: usize = 1 << 16;

pub(super) struct Guard(#[expect(dead_code, reason = "held until MPI is to end")] Mpi);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "MPI")
    }
}

/// All processes of an MPI program.
struct World {
    world: Communicator,
    waiting: Arc<Waiting>,
}

/// Since when a process waits for the others.
struct Waiting {
    began: Instant,
    /// In milliseconds after the beginning, plus one; 0 where it does not wait.
    since: AtomicU64,
}

impl Waiting {
    fn milliseconds(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    /// Makes a call that waits.
    fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        self.since.store(self.milliseconds(), Ordering::Relaxed);
        let answer = call();
        self.since.store(0, Ordering::Relaxed);
        answer
    }

    /// Ends all processes once this one has waited for too long, as for one that hangs.
    fn watch(self: Arc<Self>, most: Duration) {
        thread::spawn(move || {
            loop {
                thread::sleep(BETWEEN_LOOKS);
                let since = self.since.load(Ordering::Relaxed);
                let waited = Duration::from_millis(self.milliseconds().saturating_sub(since));
                // The hook of a panic says so and ends all.
                assert!(
                    since == 0 || waited <= most,
                    "waiting for the other processes: found no answer for {} seconds, wanted one in {VARIABLE} seconds; \
                     look for one that hangs, then run the same command again to go on",
                    most.as_secs_f64()
                );
            }
        });
    }
}

/// How long to wait for the others, by the content of the variable.
fn most_waited(variable: Option<&str>) -> Result<Duration> {
    let Some(text) = variable else { return Ok(MOST_WAITED) };
    let seconds = text.parse().ok().filter(|seconds| (1.0..=1e9).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        Error::setting(VARIABLE, format!("{text:?}"), "a number of seconds, 1 or more", "3600 is the default")
    })
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "process {} of {}", self.rank(), self.size())
    }
}

pub(super) fn join_launched(n_launched: usize) -> Result<Joined> {
    let most = most_waited(std::env::var(VARIABLE).ok().as_deref())?;
    // Calls come from one thread at a time, which is not always the one that started MPI.
    let mpi = Mpi::init_thread(ThreadLevel::Serialized).map_err(failed("starting MPI"))?;
    let world = mpi.world();
    check_not_singletons(n_launched, world.size() as usize)?;
    // Unwinding would end in MPI's own end, where this process would wait for the others, and they for it.
    let (before, of_hook) = (std::panic::take_hook(), mpi.world());
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        of_hook.abort(101);
    }));
    let waiting = Arc::new(Waiting { began: Instant::now(), since: AtomicU64::new(0) });
    waiting.clone().watch(most);
    Ok(Joined { together: Arc::new(World { world, waiting }), _mpi: Some(Guard(mpi)) })
}

fn failed(doing: &str) -> impl Fn(ferrompi::Error) -> Error {
    move |error| {
        Error::processes(doing, error.to_string(), "an answer of all processes", "run the command again to go on")
    }
}

impl World {
    /// Each process adds a part of the values, in the order of ranks: MPI's own sum may add in another order each time.
    fn sum_in_order<T: MpiDatatype + Default + Into<f64>>(
        &self,
        values: &mut [T],
        rounded: fn(f64) -> T,
    ) -> Result<()> {
        let doing = failed("adding over all processes");
        let n_processes = self.size();
        for values in values.chunks_mut(N_AT_ONCE * n_processes) {
            let n_each = values.len().div_ceil(n_processes);
            let mut sent = vec![T::default(); n_each * n_processes];
            sent[..values.len()].copy_from_slice(values);
            let mut received = sent.clone();
            self.waiting.during(|| self.world.alltoall(&sent, &mut received)).map_err(&doing)?;
            let sums: Vec<T> = (0..n_each)
                .map(|index| {
                    rounded(received[index..].iter().step_by(n_each).map(|&value| -> f64 { value.into() }).sum())
                })
                .collect();
            self.waiting.during(|| self.world.allgather(&sums, &mut sent)).map_err(&doing)?;
            values.copy_from_slice(&sent[..values.len()]);
        }
        Ok(())
    }
}

impl Together for World {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn sum(&self, values: &mut [f64]) -> Result<()> {
        self.sum_in_order(values, |sum| sum)
    }

    fn sum_floats(&self, values: &mut [f32]) -> Result<()> {
        self.sum_in_order(values, |sum| sum as f32)
    }

    fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
        let doing = failed("sending to all processes");
        let mut parts = bytes.chunks_mut(1 << 26);
        parts.try_for_each(|part| self.waiting.during(|| self.world.broadcast(part, 0))).map_err(doing)
    }

    fn barrier(&self) -> Result<()> {
        self.waiting.during(|| self.world.barrier()).map_err(failed("waiting for all processes"))
    }

    fn abort(&self, code: i32) -> ! {
        self.world.abort(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_number_of_seconds() {
        assert_eq!(most_waited(None).unwrap(), Duration::from_secs(3600));
        assert_eq!(most_waited(Some("2.5")).unwrap(), Duration::from_millis(2500));
        for wrong in ["", "0", "-1", "NaN", "1e300", "an hour"] {
            let message = most_waited(Some(wrong)).unwrap_err().to_string();
            assert!(message.contains("DIABOLO_MPI_MAX_SECONDS") && message.contains("3600"), "{message}");
        }
    }
}
