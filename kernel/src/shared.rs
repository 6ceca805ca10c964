//! What the threads of one kernel share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jupyter_protocol::JupyterMessage;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::builds::Builds;
use crate::connection::{Channel, Outputs};
use crate::history::History;
use crate::input::Inputs;
use crate::interrupt::Interrupts;
use crate::output::Display;
use crate::queue::Queue;

/// What the threads of one kernel share.
pub struct Shared {
    pub outputs: Outputs,
    pub display: Arc<Mutex<Display>>,
    pub interrupts: Arc<Interrupts>,
    pub builds: Arc<Builds>,
    pub history: History,
    pub inputs: Inputs,
    pub queue: Queue,
    /// What a completion can offer while a cell runs.
    pub names: Mutex<Vec<String>>,
    /// Ends the kernel.
    pub shutdown: Notify,
    /// Why the kernel's start takes longer than usual, for the cells that wait for it.
    pub notice: Mutex<Option<String>>,
    /// What the notebook is to know of this kernel, said once, in its first cell.
    pub remark: Mutex<Option<String>>,
}

impl Shared {
    pub fn display(&self) -> MutexGuard<'_, Display> {
        self.display.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the cell that runs, or those that wait while none runs.
    pub fn interrupt(&self) {
        // In this order: a cell that begins in between sees that it was stopped.
        let waiting = self.queue.interrupt();
        self.interrupts.request();
        waiting.iter().for_each(|request| self.abort(request));
    }

    /// Answers a cell that is not to run.
    pub fn abort(&self, request: &JupyterMessage) {
        self.say_state("busy", request);
        // Without a number: it has not run.
        self.outputs.reply(Channel::Shell, request, json!({ "status": "aborted" }));
        self.say_idle(request);
    }

    /// Publishes that the kernel works on a request.
    pub fn say_state(&self, state: &str, request: &JupyterMessage) {
        self.outputs.publish("status", state_of(state), Some(request));
    }

    /// Publishes that a request is answered. Clients show the last state, so a cell that runs is busy again.
    pub fn say_idle(&self, request: &JupyterMessage) {
        self.queue.say(|running| {
            self.say_state("idle", request);
            if let Some(running) = running {
                self.say_state("busy", running);
            }
        });
    }

    /// Tells the cells that wait for the kernel's start what it waits for.
    pub fn say_notice(&self, notice: &str) {
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notice.to_string());
        self.queue.waiting(|cell| self.show_notice(cell));
    }

    /// Tells one cell what the kernel's start waits for, if that is known.
    pub fn show_notice(&self, cell: &JupyterMessage) {
        if let Some(notice) = &*self.notice.lock().unwrap_or_else(PoisonError::into_inner) {
            self.say_in(cell, notice);
        }
    }

    /// Tells the first cell something, the first of those that wait already or one that comes.
    pub fn say_remark(&self, remark: String) {
        *self.remark.lock().unwrap_or_else(PoisonError::into_inner) = Some(remark);
        self.queue.waiting(|cell| self.show_remark(cell));
    }

    /// Tells a cell what is to be said once, unless another one was told.
    pub fn show_remark(&self, cell: &JupyterMessage) {
        let remark = self.remark.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(remark) = remark {
            self.say_in(cell, &remark);
        }
    }

    fn say_in(&self, cell: &JupyterMessage, text: &str) {
        self.outputs.publish("stream", json!({ "name": "stderr", "text": format!("{text}\n") }), Some(cell));
    }
}

fn state_of(state: &str) -> Value {
    json!({ "execution_state": state })
}
