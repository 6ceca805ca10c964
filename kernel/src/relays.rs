//! Hears the relays: one at a time runs, and after a restart another.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::event::Event;
use crate::shared::Shared;

/// How often outputs that wait for more are looked at.
const TICK: Duration = Duration::from_millis(10);

/// How long the socket rests when no connection can be accepted, as for want of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// Listens for relays, and hands what they tell to the display.
pub fn listen(shared: &Arc<Shared>, socket: &Path) -> Result<()> {
    let listener = UnixListener::bind(socket).with_context(|| format!("opening the socket {}", socket.display()))?;
    let of_listener = shared.clone();
    thread::spawn(move || {
        for relay in listener.incoming() {
            match relay {
                Ok(relay) => {
                    let shared = of_listener.clone();
                    thread::spawn(move || hear(&shared, &relay));
                }
                Err(error) => {
                    eprintln!("accepting a relay: {error}");
                    thread::sleep(REST);
                }
            }
        }
    });
    let of_ticks = shared.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(TICK);
            of_ticks.display().tick();
        }
    });
    Ok(())
}

/// Hears one relay to its end.
fn hear(shared: &Shared, mut socket: &UnixStream) {
    let mut processes = None;
    for line in BufReader::new(socket).lines().map_while(Result::ok) {
        // Before the display's lock is taken, which others need too.
        shared.outputs.wait_for_room();
        match serde_json::from_str(&line) {
            Ok(Event::Started { relay, process }) => {
                processes = Some((relay, process));
                shared.interrupts.set_processes(relay, process);
            }
            Ok(event @ (Event::CellBegins | Event::CellEnds)) => {
                if let Some((relay, _)) = processes {
                    shared.interrupts.set_runs(relay, event == Event::CellBegins);
                }
            }
            // A relay that is gone waits for no answer.
            Ok(Event::Sync) => drop(socket.write_all(&[1])),
            Ok(event) => shared.display().take(event),
            Err(error) => eprintln!("the relay said something unknown: {error}"),
        }
    }
    // evcxr ends it without a word when the user restarts the process of cells.
    if let Some((relay, process)) = processes {
        shared.interrupts.end_processes(relay, process);
    }
}
