//! Processes of this machine: signals to them, and those that this kernel has started.

use std::collections::{HashMap, HashSet};
#[cfg(target_os = "linux")]
use std::fs;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Sends a signal to a process, which may have ended by itself.
pub fn signal(process: u32, signal: Signal) {
    if let Some(process) = number(process) {
        let _ = kill_process(process, signal);
    }
}

/// Sends a signal to a process and all those that it started, but for those that have left its group; all of them may
/// have ended by themselves.
pub fn signal_group(leader: u32, signal: Signal) {
    if let Some(leader) = number(leader) {
        let _ = kill_process_group(leader, signal);
    }
}

fn number(process: u32) -> Option<Pid> {
    i32::try_from(process).ok().and_then(Pid::from_raw)
}

/// A process's parent and its group.
type Relations = (u32, u32);

/// Ends all builds. They are halted first: a compiler that starts between a look at the processes and the end of what started
/// it would go on, and write where the next build does.
pub fn end_builds() {
    let mut halted = HashSet::new();
    loop {
        let new: Vec<_> = builds().into_iter().filter(|build| !halted.contains(build)).collect();
        if new.is_empty() {
            break;
        }
        new.iter().for_each(|&build| signal(build, Signal::STOP));
        halted.extend(new);
    }
    halted.into_iter().for_each(|build| signal(build, Signal::KILL));
}

/// This process's children and their children, but for those that lead a group, as relays and shells do, and what is below
/// them: so these are cargo and compilers.
fn builds() -> Vec<u32> {
    let processes = processes();
    let own = std::process::id();
    let is_build = |&process: &u32| {
        let mut ancestor = process;
        while ancestor != own {
            match processes.get(&ancestor) {
                Some(&(parent, group)) if parent != 0 && group != ancestor => ancestor = parent,
                _ => return false,
            }
        }
        process != own
    };
    processes.keys().copied().filter(is_build).collect()
}

/// Every process.
#[cfg(target_os = "linux")]
fn processes() -> HashMap<u32, Relations> {
    let relations = |process: u32| -> Option<Relations> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name before them, in parentheses, may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(|process| Some((process, relations(process)?))).collect()
}

/// Every process.
#[cfg(not(target_os = "linux"))]
fn processes() -> HashMap<u32, Relations> {
    let listing = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,pgid="]).output();
    let text = listing.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let process = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, (numbers.next()?.ok()?, numbers.next()?.ok()?)))
    };
    text.lines().filter_map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_children_of_this_process_without_those_that_lead_a_group() {
        let mut sleep = std::process::Command::new("sleep");
        let mut build = sleep.arg("60").spawn().unwrap();
        let mut relay = std::os::unix::process::CommandExt::process_group(&mut sleep, 0).spawn().unwrap();
        let found = builds();
        assert!(found.contains(&build.id()) && !found.contains(&relay.id()));
        for child in [&mut build, &mut relay] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
