//! Whether there is memory for what a setting or a file asks for.
//!
//! Linux overcommits memory and kills a process that uses more than there is: a notebook would lose all its variables. So
//! the size of large allocations is computed and compared with the free memory first.
//!
//! Free is what the kernel can give before it has to end a process. Pages of files that were read, the page cache, are
//! given back at once and count as free, in a container as well as outside.

use crate::{Error, Result};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Refuses what would not fit into the memory that is free; where that is not known, nothing is refused.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn check(doing: &str, n_bytes: u128, next_step: &str) -> Result<()> {
    check_free(doing, n_bytes, free_below(Path::new("/")), next_step)
}

/// The same for a memory of which so much is free.
pub(crate) fn check_free(doing: &str, n_bytes: u128, free: Option<u128>, next_step: &str) -> Result<()> {
    match free {
        Some(free) if n_bytes > free => {
            let [free, wanted] = in_words([free, n_bytes]);
            Err(Error::Memory { doing: doing.into(), free, wanted, next_step: next_step.into() })
        }
        _ => Ok(()),
    }
}

/// The product of some sizes in bytes, as large as it may be.
pub(crate) fn bytes_of(sizes: &[usize]) -> u128 {
    sizes.iter().fold(1, |product: u128, &size| product.saturating_mul(size as u128))
}

/// Two sizes, each in the unit that suits it, with as many digits as tell them apart.
fn in_words(sizes: [u128; 2]) -> [String; 2] {
    let text = |n_bytes: u128, n_decimals: usize| {
        let (unit, name) = match n_bytes {
            0..1_000 => return format!("{n_bytes} bytes"),
            1_000..1_000_000 => (1e3, "kB"),
            1_000_000..1_000_000_000 => (1e6, "MB"),
            _ => (1e9, "GB"),
        };
        format!("{:.n_decimals$} {name}", n_bytes as f64 / unit)
    };
    // Nine decimals of a gigabyte are bytes.
    let texts = (1..=9).map(|n_decimals| sizes.map(|size| text(size, n_decimals)));
    texts.into_iter().reduce(|found, next| if found[0] == found[1] { next } else { found }).expect("there are nine")
}

/// Bytes that the system can still give, or the container that the process runs in; known on Linux alone.
///
/// `root` is the folder that `/proc` and `/sys` lie in.
fn free_below(root: &Path) -> Option<u128> {
    let information = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kibibytes = |name: &str| number_after(&information, name).map(|kibibytes| kibibytes * 1024);
    let swap = kibibytes("SwapFree:").unwrap_or(0);
    let of_system = kibibytes("MemAvailable:")? + swap;
    let of_groups = control_groups(root).into_iter().filter_map(|(folder, version)| version.free(&folder, swap));
    Some(of_groups.fold(of_system, u128::min))
}

/// The number after a name that begins a line: `MemAvailable:   3 kB`, `inactive_file 3`.
fn number_after(text: &str, name: &str) -> Option<u128> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}

/// A version of Linux's control groups, with which containers, systemd and Slurm limit memory: where its folders lie and
/// how it names its numbers.
struct Version {
    mount: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// In [`Version::usage`], but given back at once: pages of files that are not changed, and the kernel's own.
    reclaimable: &'static [&'static str],
    swap_limit: &'static str,
    swap_usage: &'static str,
    /// Whether the two numbers about swap are of memory and swap together.
    swap_has_memory: bool,
}

const VERSION_1: Version = Version {
    mount: "sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: &["total_inactive_file", "total_active_file"],
    swap_limit: "memory.memsw.limit_in_bytes",
    swap_usage: "memory.memsw.usage_in_bytes",
    swap_has_memory: true,
};

const VERSION_2: Version = Version {
    mount: "sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: &["inactive_file", "active_file", "slab_reclaimable"],
    swap_limit: "memory.swap.max",
    swap_usage: "memory.swap.current",
    swap_has_memory: false,
};

/// The folders of the groups that the process is in, with all that these lie in: the tightest of their limits holds.
///
/// A container sees its own group as the root of the mount, and may still be told a path that only its host has; folders
/// that are not there have no files and are passed over.
fn control_groups(root: &Path) -> Vec<(PathBuf, &'static Version)> {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let groups = [(&VERSION_1, "memory"), (&VERSION_2, "")].into_iter().flat_map(|(version, controller)| {
        // Lines are `number:controllers:path`; version 2 has one line, without controllers.
        let path_of = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            let is_it = parts.next()?.split(',').any(|name| name == controller);
            is_it.then(|| parts.next().map(PathBuf::from))?
        };
        let path = memberships.lines().find_map(path_of).unwrap_or_default();
        let inside = path.components().filter(|part| matches!(part, Component::Normal(_)));
        let mount = root.join(version.mount);
        let folder = inside.fold(mount.clone(), |folder, part| folder.join(part));
        let folders: Vec<PathBuf> = folder.ancestors().map(Path::to_path_buf).collect();
        folders.into_iter().take_while(move |folder| folder.starts_with(&mount)).map(move |folder| (folder, version))
    });
    groups.collect()
}

impl Version {
    /// Bytes that a group can still take, of which `swap` may come from the system's swap; `None` without a limit.
    fn free(&self, folder: &Path, swap: u128) -> Option<u128> {
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u128>().ok();
        let (limit, usage) = (number(self.limit)?, number(self.usage)?);
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let reclaimable: u128 = self.reclaimable.iter().filter_map(|name| number_after(&statistics, name)).sum();
        let left_of_memory = limit.saturating_sub(usage.saturating_sub(reclaimable));
        let left_of_swap = number(self.swap_limit).zip(number(self.swap_usage)).map(|(most, now)| {
            let without_memory =
                |number: u128, memory| if self.swap_has_memory { number.saturating_sub(memory) } else { number };
            without_memory(most, limit).saturating_sub(without_memory(now, usage))
        });
        Some(left_of_memory.saturating_add(left_of_swap.map_or(swap, |left| left.min(swap))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u128 = 1 << 30;

    /// Free bytes of a system with 8 GiB available and 1 GiB of swap, in which these files are, too.
    #[track_caller]
    fn free_with(files: &[(&str, String)]) -> Option<u128> {
        let root = tempfile::tempdir().unwrap();
        let available = ("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:   8388608 kB\nSwapFree:  1048576 kB\n".into());
        for (path, text) in std::iter::once(&available).chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        free_below(root.path())
    }

    #[test]
    fn memory_and_swap_are_added_up() {
        assert_eq!(free_with(&[]), Some(9 * GIB));
        assert_eq!(free_with(&[("proc/meminfo", "nothing of the kind".into())]), None);
    }

    #[test]
    fn the_page_cache_of_a_container_is_free() {
        let full_of_files = [
            ("proc/self/cgroup", "0::/\n".into()),
            ("sys/fs/cgroup/memory.max", "4294967296\n".into()),
            ("sys/fs/cgroup/memory.current", "4294960000\n".into()),
            ("sys/fs/cgroup/memory.swap.max", "0\n".into()),
            ("sys/fs/cgroup/memory.swap.current", "0\n".into()),
            ("sys/fs/cgroup/memory.stat", "anon 300000000\ninactive_file 3600000000\nactive_file 100000000\n".into()),
        ];
        assert_eq!(free_with(&full_of_files), Some(7_296 + 3_700_000_000));
        let without_a_limit = [("sys/fs/cgroup/memory.max", "max\n".into()), full_of_files[2].clone()];
        assert_eq!(free_with(&without_a_limit), Some(9 * GIB));
    }

    #[test]
    fn the_tightest_limit_around_a_nested_group_holds() {
        let limited = |folder: &str, gib: u128, used: u128| {
            let file = |name: &str, bytes: u128| (format!("sys/fs/cgroup/{folder}memory.{name}"), bytes.to_string());
            [file("max", gib * GIB), file("current", used * GIB), file("swap.max", 0), file("swap.current", 0)]
        };
        let job = [limited("slurm/", 6, 2), limited("slurm/job_7/", 3, 1), limited("slurm/job_8/", 1, 1)].concat();
        let with = |path: &str| {
            let files: Vec<(&str, String)> = job.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
            free_with(&[files, vec![("proc/self/cgroup", format!("0::{path}\n"))]].concat())
        };
        assert_eq!(with("/slurm/job_7/step_0"), Some(2 * GIB), "the job's own");
        assert_eq!(with("/slurm/job_9"), Some(4 * GIB), "that of the group around it");
        assert_eq!(with("/elsewhere"), Some(9 * GIB));
        assert_eq!(with("/../../slurm/job_8"), Some(0));
    }

    #[test]
    fn version_1_has_limits_too() {
        let of_version_1 = |path: &str, folder: &str, swap: &[(&str, u128)]| {
            let numbers = [("limit_in_bytes", 4 * GIB), ("usage_in_bytes", 3 * GIB)];
            let files: Vec<_> = [&numbers, swap].concat();
            let file = |(name, bytes): &(&str, u128)| {
                (format!("sys/fs/cgroup/memory/{folder}memory.{name}"), bytes.to_string())
            };
            let mut files: Vec<(String, String)> = files.iter().map(file).collect();
            files.push((
                format!("sys/fs/cgroup/memory/{folder}memory.stat"),
                format!("inactive_file 7\ntotal_inactive_file {GIB}\n"),
            ));
            files.push(("proc/self/cgroup".into(), format!("5:cpuset:/\n4:cpu,memory:{path}\n0::/\n")));
            free_with(&files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect::<Vec<_>>())
        };
        // Without accounts of swap it is the system's, 1 GiB.
        assert_eq!(of_version_1("/docker/12ab", "docker/12ab/", &[]), Some(3 * GIB));
        // In the container the host's path is not there, and the limit is at the root.
        let swap = [("memsw.limit_in_bytes", 4 * GIB + 9), ("memsw.usage_in_bytes", 3 * GIB + 2)];
        assert_eq!(of_version_1("/docker/12ab", "", &swap), Some(2 * GIB + 7));
    }

    #[test]
    fn sizes_can_be_read_and_told_apart() {
        assert_eq!(in_words([0, 41_000]), ["0 bytes", "41.0 kB"]);
        assert_eq!(in_words([7_296, 4_300_000]), ["7.3 kB", "4.3 MB"]);
        assert_eq!(in_words([19_200_000_000, 270_700_000_000]), ["19.2 GB", "270.7 GB"]);
        assert_eq!(in_words([1_000_000_000, 1_000_200_000]), ["1.0000 GB", "1.0002 GB"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_no_computer_has_is_refused() {
        let message = check("making it", bytes_of(&[usize::MAX, usize::MAX, 4]), "make less").unwrap_err().to_string();
        assert!(message.starts_with("making it: found ") && message.ends_with("GB of memory; make less"), "{message}");
        check("making it", 1, "").unwrap();
    }
}
