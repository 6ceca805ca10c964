//! The processes that do one training together: one, unless MPI has started more.
//!
//! Everything else knows [`Together`] alone; only `mpi.rs` knows MPI.

#[cfg(feature = "mpi")]
mod mpi;

use crate::{Error, Result};
use std::fmt::Debug;
use std::sync::Arc;

/// What processes that train together do with each other. All of them make the same calls in the same order.
///
/// # Example
/// ```
/// let joined = diabolo::together::join()?;
/// let together = joined.together();
/// assert_eq!((together.rank(), together.size()), (0, 1));
/// let mut values = [0.5, 2.0];
/// together.sum(&mut values)?;
/// assert_eq!(values, [0.5, 2.0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub trait Together: Debug + Send + Sync {
    /// Which of them this is, from 0; process 0 decides, keeps and writes.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Replaces values by their sums over all processes, added in the order of ranks: the same bits everywhere, each time.
    ///
    /// # Errors
    /// [`Error::Processes`] when the others cannot be reached.
    fn sum(&self, values: &mut [f64]) -> Result<()>;

    /// The same of 32-bit floats, added in double precision and then rounded.
    ///
    /// # Errors
    /// Those of [`Together::sum`].
    fn sum_floats(&self, values: &mut [f32]) -> Result<()>;

    /// Replaces bytes by those of process 0.
    ///
    /// # Errors
    /// Those of [`Together::sum`].
    fn broadcast(&self, bytes: &mut [u8]) -> Result<()>;

    /// Waits for all.
    ///
    /// # Errors
    /// Those of [`Together::sum`].
    fn barrier(&self) -> Result<()>;

    /// Ends all of them with this exit code, since the others would wait for this one for ever.
    fn abort(&self, code: i32) -> !;
}

/// One process.
#[derive(Debug, Clone, Copy)]
struct Alone;

impl Together for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn sum_floats(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn broadcast(&self, _: &mut [u8]) -> Result<()> {
        Ok(())
    }

    fn barrier(&self) -> Result<()> {
        Ok(())
    }

    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}

/// One process, whatever it was started by.
pub(crate) fn alone() -> Arc<dyn Together> {
    Arc::new(Alone)
}

/// The bytes of process 0, of any length.
pub(crate) fn broadcast_bytes(together: &dyn Together, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut length = (bytes.len() as u64).to_le_bytes();
    together.broadcast(&mut length)?;
    let mut bytes = bytes;
    bytes.resize(u64::from_le_bytes(length) as usize, 0);
    together.broadcast(&mut bytes)?;
    Ok(bytes)
}

/// Bytes of each process, of any length, in the order of ranks: all of them in all processes.
///
/// # Errors
/// Those of [`Together::sum`].
///
/// # Example
/// ```
/// let joined = diabolo::together::join()?;
/// assert_eq!(diabolo::together::gather_bytes(&*joined.together(), b"of one")?, [b"of one"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn gather_bytes(together: &dyn Together, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    /// A double holds six bytes as a whole number, and zeros add nothing to it.
    const N_IN_NUMBER: usize = 6;
    let n_bytes = Vec::from_iter(gather(together, bytes.len() as f64)?.into_iter().map(|n_bytes| n_bytes as usize));
    let n_numbers = Vec::from_iter(n_bytes.iter().map(|n_bytes| n_bytes.div_ceil(N_IN_NUMBER)));
    let n_before: usize = n_numbers[..together.rank()].iter().sum();
    let mut numbers = vec![0.0; n_numbers.iter().sum()];
    for (number, bytes) in numbers[n_before..].iter_mut().zip(bytes.chunks(N_IN_NUMBER)) {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        *number = u64::from_le_bytes(eight) as f64;
    }
    together.sum(&mut numbers)?;
    let mut rest = numbers.as_slice();
    let of_process = |(n_numbers, n_bytes): (usize, usize)| {
        let (own, others) = rest.split_at(n_numbers);
        rest = others;
        let bytes = own.iter().flat_map(|&number| (number as u64).to_le_bytes().into_iter().take(N_IN_NUMBER));
        bytes.take(n_bytes).collect()
    };
    Ok(n_numbers.into_iter().zip(n_bytes).map(of_process).collect())
}

/// One number of each process, in the order of ranks.
pub(crate) fn gather(together: &dyn Together, number: f64) -> Result<Vec<f64>> {
    let mut numbers = vec![0.0; together.size()];
    numbers[together.rank()] = number;
    together.sum(&mut numbers)?;
    Ok(numbers)
}

/// What [`join`] gives. MPI ends where it is dropped, which stays in the thread that called it; all processes wait for each
/// other there.
///
/// # Example
/// ```
/// let joined = diabolo::together::join()?;
/// assert_eq!(joined.together().size(), 1);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug)]
pub struct Joined {
    together: Arc<dyn Together>,
    #[cfg(feature = "mpi")]
    _mpi: Option<mpi::Guard>,
}

impl Joined {
    /// The processes, for [`fit_together`](crate::run::fit_together).
    pub fn together(&self) -> Arc<dyn Together> {
        self.together.clone()
    }
}

/// Joins the other processes that `mpirun`, or `srun --mpi=pmix`, has started along with this one; a program that was started
/// by itself is one process and starts no MPI. To be called once.
///
/// From then on a panic ends all processes, and so does one that waits for the others for longer than an hour, or the number
/// of seconds in the variable `DIABOLO_MPI_MAX_SECONDS`.
///
/// # Errors
/// [`Error::Processes`] when several processes were started that do not know each other, as where the program was built
/// without the feature `mpi`, and when MPI cannot be started; [`Error::Setting`] for a variable that is no number of seconds.
///
/// # Example
/// ```
/// let joined = diabolo::together::join()?;
/// if joined.together().rank() == 0 {
///     println!("{} processes", joined.together().size());
/// }
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn join() -> Result<Joined> {
    match n_launched(|name| std::env::var(name).ok()) {
        None | Some(1) => Ok(Joined {
            together: alone(),
            #[cfg(feature = "mpi")]
            _mpi: None,
        }),
        Some(n_launched) => join_launched(n_launched),
    }
}

/// How many processes the program was started as, by what launchers leave in the environment.
fn n_launched(variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    // Open MPI; MPICH, Intel MPI and Slurm's PMI; MVAPICH; any step of Slurm.
    let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"];
    names.iter().find_map(|name| variable(name)?.parse().ok())
}

#[cfg(not(feature = "mpi"))]
fn join_launched(n_launched: usize) -> Result<Joined> {
    Err(Error::processes(
        "starting a training",
        format!("{n_launched} processes, and a program that was built without MPI"),
        "one process, or a program with MPI",
        "build it by `cargo diabolo setup --mpi`, or start it without mpirun and srun",
    ))
}

/// Refuses what `srun` makes of a program without `--mpi=pmix`: as many processes as were asked for, each the only one and
/// rank 0 of its own world, all writing the same files.
#[cfg(any(feature = "mpi", test))]
fn check_not_singletons(n_launched: usize, size: usize) -> Result<()> {
    match n_launched == size {
        true => Ok(()),
        false => Err(Error::processes(
            "starting a training",
            format!("{n_launched} processes, of which each sees {size}"),
            "processes that know each other",
            "start them by mpirun of the MPI that the program was built with, or by srun --mpi=pmix",
        )),
    }
}

#[cfg(feature = "mpi")]
use mpi::join_launched;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::{Barrier, Mutex};

    /// Threads instead of processes, for tests.
    #[derive(Debug)]
    struct Thread {
        rank: usize,
        shared: Arc<Shared>,
    }

    #[derive(Debug)]
    struct Shared {
        barrier: Barrier,
        /// What each has sent.
        sent: Mutex<Vec<Vec<f64>>>,
    }

    impl Thread {
        /// What all have sent, in the order of ranks.
        fn exchange(&self, values: Vec<f64>) -> Vec<Vec<f64>> {
            self.shared.sent.lock().unwrap()[self.rank] = values;
            self.shared.barrier.wait();
            let sent = self.shared.sent.lock().unwrap().clone();
            self.shared.barrier.wait();
            sent
        }
    }

    impl Together for Thread {
        fn rank(&self) -> usize {
            self.rank
        }

        fn size(&self) -> usize {
            self.shared.sent.lock().unwrap().len()
        }

        fn sum(&self, values: &mut [f64]) -> Result<()> {
            let sent = self.exchange(values.to_vec());
            assert!(sent.iter().all(|of_one| of_one.len() == values.len()), "all make the same calls");
            for (index, value) in values.iter_mut().enumerate() {
                *value = sent.iter().map(|of_one| of_one[index]).sum();
            }
            Ok(())
        }

        fn sum_floats(&self, values: &mut [f32]) -> Result<()> {
            let mut doubles: Vec<f64> = values.iter().copied().map(f64::from).collect();
            self.sum(&mut doubles)?;
            values.iter_mut().zip(doubles).for_each(|(value, sum)| *value = sum as f32);
            Ok(())
        }

        fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
            let sent = self.exchange(bytes.iter().copied().map(f64::from).collect());
            bytes.iter_mut().zip(&sent[0]).for_each(|(byte, of_first)| *byte = *of_first as u8);
            Ok(())
        }

        fn barrier(&self) -> Result<()> {
            self.exchange(Vec::new());
            Ok(())
        }

        fn abort(&self, code: i32) -> ! {
            panic!("aborted with {code}")
        }
    }

    /// Runs `work` in so many threads that train together; gives what each made, in the order of ranks.
    pub(crate) fn in_threads<T: Send>(n_threads: usize, work: impl Fn(Arc<dyn Together>) -> T + Sync) -> Vec<T> {
        let sent = Mutex::new(vec![Vec::new(); n_threads]);
        let shared = Arc::new(Shared { barrier: Barrier::new(n_threads), sent });
        std::thread::scope(|scope| {
            let spawn = |rank: usize| {
                let together = Arc::new(Thread { rank, shared: shared.clone() });
                let work = &work;
                scope.spawn(move || work(together))
            };
            let threads: Vec<_> = (0..n_threads).map(spawn).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn launchers_say_how_many_processes_they_started() {
        let launched = |variables: &[(&str, &str)]| {
            n_launched(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
        };
        assert_eq!(launched(&[]), None);
        assert_eq!(launched(&[("PMI_SIZE", "3")]), Some(3));
        // Slurm's number is then that of the daemons that mpirun starts on each machine.
        assert_eq!(launched(&[("SLURM_STEP_NUM_TASKS", "2"), ("OMPI_COMM_WORLD_SIZE", "8")]), Some(8));
    }

    #[test]
    fn processes_that_do_not_know_each_other_are_refused() {
        let message = check_not_singletons(3, 1).unwrap_err().to_string();
        assert!(
            message.contains("3 processes, of which each sees 1") && message.contains("srun --mpi=pmix"),
            "{message}"
        );
        check_not_singletons(3, 3).unwrap();
    }

    #[test]
    fn all_get_the_bytes_of_the_first_and_a_number_of_each() {
        let got = in_threads(3, |together| {
            let bytes = vec![7 + together.rank() as u8; 2 - together.rank()];
            (broadcast_bytes(&*together, bytes).unwrap(), gather(&*together, together.rank() as f64 + 0.5).unwrap())
        });
        assert!(got.iter().all(|got| *got == (vec![7, 7], vec![0.5, 1.5, 2.5])), "{got:?}");
    }

    #[test]
    fn all_get_the_bytes_of_each() {
        // None, fewer than a number holds, and more.
        let bytes_of = |rank: usize| Vec::from_iter((0..7 * rank).map(|index| 255 - index as u8));
        let got = in_threads(3, |together| gather_bytes(&*together, &bytes_of(together.rank())).unwrap());
        assert!(got.iter().all(|got| *got == [bytes_of(0), bytes_of(1), bytes_of(2)]), "{got:?}");
    }
}
