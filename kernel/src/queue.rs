//! The requests that wait for evcxr, and the cell that runs: what stop, completions and the status light go by.
//!
//! A cell counts from the moment it is handed over until its reply is sent, so no request falls into a gap between two.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jupyter_protocol::{JupyterMessage, JupyterMessageContent};

/// What the thread that owns evcxr does.
#[derive(Default)]
enum Stage {
    /// evcxr starts.
    #[default]
    Starting,
    /// It waits for requests.
    Idle,
    /// It answers this execute request.
    Running(Box<JupyterMessage>),
}

/// The requests that wait, and what is done now.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    stage: Stage,
    waiting: VecDeque<JupyterMessage>,
    /// Was the cell that runs interrupted?
    is_stopped: bool,
}

impl Queue {
    /// Hands a request over.
    pub fn hand_over(&self, request: JupyterMessage) {
        self.state().waiting.push_back(request);
        self.arrived.notify_one();
    }

    /// Waits for the next request and takes it.
    pub fn take(&self) -> JupyterMessage {
        let state = self.state();
        let waited = self.arrived.wait_while(state, |state| state.waiting.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        match state.take() {
            Some(request) => request,
            None => unreachable!("the wait ends with a request"),
        }
    }

    /// Takes the next request, if there is one or one comes in time.
    pub fn take_within(&self, time: Duration) -> Option<JupyterMessage> {
        let state = self.state();
        let waited = self.arrived.wait_timeout_while(state, time, |state| state.waiting.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    /// Takes the next request, if there is one.
    pub fn try_take(&self) -> Option<JupyterMessage> {
        self.state().take()
    }

    /// Ends the start.
    pub fn end_of_start(&self) {
        self.state().stage = Stage::Idle;
    }

    /// Does evcxr still start?
    pub fn is_starting(&self) -> bool {
        matches!(self.state().stage, Stage::Starting)
    }

    /// Would a question be answered at once: has evcxr started, and does no cell run or wait?
    pub fn is_free(&self) -> bool {
        let state = self.state();
        matches!(state.stage, Stage::Idle) && !state.waiting.iter().any(is_cell)
    }

    /// Ends the cell that ran, if one did. What `say` publishes comes in one piece with that.
    pub fn end(&self, say: impl FnOnce()) {
        let mut state = self.state();
        if matches!(state.stage, Stage::Running(_)) {
            state.stage = Stage::Idle;
        }
        say();
    }

    /// Publishes something that depends on the cell that runs.
    pub fn say(&self, say: impl FnOnce(Option<&JupyterMessage>)) {
        let state = self.state();
        match &state.stage {
            Stage::Running(cell) => say(Some(cell)),
            _ => say(None),
        }
    }

    /// Does something for every cell that waits.
    pub fn waiting(&self, of_each: impl FnMut(&JupyterMessage)) {
        let cells: Vec<_> = self.state().waiting.iter().filter(|request| is_cell(request)).cloned().collect();
        cells.iter().for_each(of_each);
    }

    /// Takes the cells that wait, to be aborted.
    pub fn take_cells(&self) -> Vec<JupyterMessage> {
        self.state().take_cells()
    }

    /// Interrupts the cell that runs; without one, returns those that wait, to be aborted.
    pub fn interrupt(&self) -> Vec<JupyterMessage> {
        let mut state = self.state();
        match state.stage {
            Stage::Running(_) => {
                state.is_stopped = true;
                Vec::new()
            }
            _ => state.take_cells(),
        }
    }

    /// Was the cell that runs interrupted?
    pub fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<JupyterMessage> {
        let request = self.waiting.pop_front()?;
        if is_cell(&request) {
            self.stage = Stage::Running(Box::new(request.clone()));
            self.is_stopped = false;
        }
        Some(request)
    }

    fn take_cells(&mut self) -> Vec<JupyterMessage> {
        let (cells, others) = std::mem::take(&mut self.waiting).into_iter().partition(is_cell);
        self.waiting = others;
        cells.into()
    }
}

fn is_cell(request: &JupyterMessage) -> bool {
    matches!(request.content, JupyterMessageContent::ExecuteRequest(_))
}

#[cfg(test)]
mod tests {
    use jupyter_protocol::{CompleteRequest, ExecuteRequest};

    use super::*;

    fn cell(code: &str) -> JupyterMessage {
        JupyterMessage::new(ExecuteRequest::new(code.into()), None)
    }

    fn question() -> JupyterMessage {
        JupyterMessage::new(CompleteRequest { code: "a".into(), cursor_pos: 1 }, None)
    }

    fn started() -> Queue {
        let queue = Queue::default();
        queue.end_of_start();
        queue
    }

    #[test]
    fn questions_wait_for_no_cell_from_the_moment_it_is_handed_over() {
        let queue = Queue::default();
        assert!(!queue.is_free(), "evcxr starts");
        queue.end_of_start();
        assert!(queue.is_free());
        queue.hand_over(cell("1"));
        assert!(!queue.is_free(), "a cell waits");
        assert!(queue.try_take().is_some());
        assert!(!queue.is_free(), "a cell runs");
        queue.hand_over(cell("2"));
        queue.end(|| {});
        assert!(!queue.is_free(), "between two cells");
        queue.take();
        queue.end(|| {});
        assert!(queue.is_free());
        queue.hand_over(question());
        assert!(queue.is_free(), "questions are short");
    }

    #[test]
    fn a_stop_before_a_cell_is_taken_aborts_it_and_one_after_that_is_for_it() {
        let queue = started();
        queue.hand_over(cell("1"));
        queue.hand_over(question());
        assert_eq!(queue.interrupt().len(), 1);
        assert!(queue.try_take().is_some_and(|request| !is_cell(&request)));
        queue.hand_over(cell("2"));
        queue.hand_over(cell("3"));
        queue.take();
        assert!(queue.interrupt().is_empty() && queue.is_stopped());
        assert_eq!(queue.take_cells().len(), 1);
        queue.end(|| {});
        queue.hand_over(cell("4"));
        queue.take();
        assert!(!queue.is_stopped(), "the next cell is another");
    }

    #[test]
    fn a_stop_while_evcxr_starts_aborts_what_waits() {
        let queue = Queue::default();
        queue.hand_over(cell("1"));
        assert_eq!(queue.interrupt().len(), 1);
        queue.hand_over(cell("2"));
        queue.end_of_start();
        assert!(queue.try_take().is_some());
    }

    #[test]
    fn the_running_cell_is_known_while_something_is_said() {
        let queue = started();
        queue.hand_over(cell("1"));
        queue.say(|running| assert!(running.is_none()));
        queue.take();
        queue.say(|running| assert!(running.is_some()));
        queue.end(|| {});
        queue.say(|running| assert!(running.is_none()));
    }
}
