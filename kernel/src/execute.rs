//! `execute_request`, from the code to the reply.

use std::collections::BTreeMap;
use std::time::Instant;

use diabolo_protocol::MimeBundle;
use evcxr::{Error, EvalCallbacks, EvalOutputs};
use jupyter_protocol::{ExecuteRequest, JupyterMessage};
use serde_json::{Map, Value, json};

use crate::cell::Cell;
use crate::commands::{self, OwnCommand};
use crate::debug_display;
use crate::failure::Failure;
use crate::hold;
use crate::interrupt::{self, Request};
use crate::kernel::{Kernel, PANIC_VARIABLE, process_of};
use crate::output::{Audience, CellEnd, as_json};
use crate::packages;
use crate::shell::{self, Part};

/// What a piece of code came to.
#[derive(Default)]
struct Evaluated {
    /// What it shows at last: a command's answer or the cell's last expression.
    results: Vec<MimeBundle>,
    footer: Option<String>,
    /// What else the client is to do.
    payload: Vec<Value>,
}

impl Kernel {
    /// Runs a cell and replies; returns the requests that waited for it, where its cells are to be aborted.
    pub(crate) fn execute(&mut self, request: &JupyterMessage, content: &ExecuteRequest) -> Vec<JupyterMessage> {
        let count = self.next_count;
        let is_stored = content.store_history && !content.silent;
        let audience = if content.silent { Audience::Nobody } else { Audience::Clients };
        if is_stored {
            self.next_count += 1;
            self.shared.history.add(count, &content.code);
        }
        self.shared.display().begin(Some(request), audience);
        let input = json!({ "code": content.code, "execution_count": count });
        self.shared.display().publish("execute_input", input);
        if !content.silent {
            self.shared.show_remark(request);
        }

        let outcome = self.evaluate(&content.code, count, Some((request, content.allow_stdin)));
        let reply = match outcome {
            Ok(mut evaluated) => {
                let payload = std::mem::take(&mut evaluated.payload);
                self.show(evaluated, count);
                let expressions = content.user_expressions.iter().flatten();
                let answers: Map<_, _> =
                    expressions.map(|(name, code)| (name.clone(), self.expression(code, count))).collect();
                json!({ "status": "ok", "execution_count": count, "payload": payload, "user_expressions": answers })
            }
            Err(failure) => {
                let mut reply = failure.as_json();
                self.shared.display().publish("error", reply.clone());
                reply["status"] = "error".into();
                reply["execution_count"] = count.into();
                reply["payload"] = json!([]);
                reply["user_expressions"] = json!({});
                reply
            }
        };
        // Nobody sees a silent request fail.
        let is_failed = reply["status"] == "error" && content.stop_on_error && !content.silent;
        self.shared.display().end_request();
        self.remember_names();
        self.shared.outputs.wait_for_published();
        // Before the reply: a cell that is sent after it is to run.
        let is_stopped = is_failed || self.shared.queue.is_stopped();
        let stopped = if is_stopped { self.shared.queue.take_cells() } else { Vec::new() };
        self.reply(request, reply);
        stopped
    }

    /// Runs the parts of a cell and says what the last of them came to. `client` is who can be asked for input, if that is
    /// allowed.
    fn evaluate(
        &mut self,
        code: &str,
        count: u32,
        client: Option<(&JupyterMessage, bool)>,
    ) -> Result<Evaluated, Failure> {
        if std::env::var(PANIC_VARIABLE).is_ok_and(|text| text == code) {
            panic!("as a test wants it");
        }
        // Whatever stands beside it.
        if let Some(command @ OwnCommand::Quit) = commands::own(code) {
            return Ok(self.run_own(command));
        }
        let folder = std::env::current_dir().unwrap_or_default();
        let code = Cell::new(code).to_run(&folder)?;
        let mut last = Evaluated::default();
        for part in shell::parts(&code) {
            for bundle in std::mem::take(&mut last.results) {
                self.shared.display().show(&bundle, None);
            }
            match part {
                Part::Shell(line) => shell::run(&self.shared, &line)?,
                Part::Restart => last = self.restart()?,
                Part::Code(code) => last = self.evaluate_code(&code, count, client)?,
            }
        }
        Ok(last)
    }

    /// Runs code without lines for the shell.
    fn evaluate_code(
        &mut self,
        code: &str,
        count: u32,
        client: Option<(&JupyterMessage, bool)>,
    ) -> Result<Evaluated, Failure> {
        self.prepare_process()?;
        if let Some(command) = commands::own(code) {
            return Ok(self.run_own(command));
        }
        let cell = Cell::new(code);
        if let Ok(copy) = &self.place.copy
            && let Err(error) = debug_display::note_choice(&cell, copy.folder())
        {
            eprintln!("noting how values are shown in {}: {error}", copy.folder().display());
        }
        if packages::are_needed(&cell) {
            self.show_packages()?;
        }
        let shared = self.shared.clone();
        let context = self.context.as_mut().map_err(|failure| failure.clone())?;
        let variables: Vec<String> = context.variables_and_types().map(|(name, _)| name.to_string()).collect();
        shared.interrupts.begin();
        if shared.queue.is_stopped() {
            let _ = shared.interrupts.end();
            return Err(Failure::new(
                "Interrupted",
                "the cell was interrupted before it began; all variables are kept",
            ));
        }
        shared.builds.begin();
        let started = Instant::now();
        let mut callbacks =
            EvalCallbacks { input_reader: &|asked| shared.inputs.ask(client, &asked.prompt, asked.is_password) };
        hold::at(hold::CELL);
        let result = context.execute_with_callbacks(code, &mut callbacks);
        let duration = started.elapsed();
        let request = shared.interrupts.end();
        if let Ok(copy) = &self.place.copy {
            let versions = copy.versions();
            if let Err(error) = if result.is_ok() { versions.keep() } else { versions.undo() } {
                eprintln!("noting versions in {}: {error}", copy.folder().display());
            }
        }
        if request.is_some() && result.is_err() {
            packages::read_again(context);
            if let Ok(copy) = &self.place.copy
                && let Err(error) = copy.forget_half_builds()
            {
                eprintln!("removing what a stopped build has left in {}: {error}", copy.folder().display());
            }
        }
        let end = shared.display().end();
        // After that, since whatever is shown ends the wait for a last picture, which is the result.
        shared.builds.end();
        let source = context.last_source().unwrap_or_default();
        let failure = failure_of(request, &end, &result, code, &source, count, &variables);
        match (failure, result) {
            (None, Ok(outputs)) => {
                let footer = self.has_footer.then(|| commands::footer(&outputs, duration));
                let mut answer = answer_of(outputs);
                commands::add_own_help(code, &mut answer);
                commands::add_what_has_no_effect(code, &mut answer);
                let results = [answer, end.result.unwrap_or_default()];
                let results = results.into_iter().filter(|bundle| !bundle.is_empty()).collect();
                Ok(Evaluated { results, footer, payload: Vec::new() })
            }
            (failure, result) => {
                if let Some(bundle) = &end.result {
                    shared.display().show(bundle, None);
                }
                Err(failure.unwrap_or_else(|| {
                    Failure::new("Error", result.err().map(|it| it.to_string()).unwrap_or_default())
                }))
            }
        }
    }

    /// Starts the process of cells anew. evcxr forgets the variables at its own command for that, and remembers them at the
    /// end of the cell in which it stands; a command that it does not know ends the cell before.
    fn restart(&mut self) -> Result<Evaluated, Failure> {
        let context = self.context.as_mut().map_err(|failure| failure.clone())?;
        let before = process_of(context);
        let result = context.execute(":restart\n:end");
        match result {
            Err(error) if process_of(context) == before => Err(Failure::new("Error", error)),
            _ => {
                let answer = [("text/plain".to_string(), "Child process restarted\n".to_string())].into();
                Ok(Evaluated { results: vec![answer], ..Evaluated::default() })
            }
        }
    }

    fn run_own(&mut self, command: OwnCommand) -> Evaluated {
        let mut payload = Vec::new();
        match command {
            OwnCommand::Footer(is_on) => self.has_footer = is_on,
            OwnCommand::Quit => {
                payload.push(json!({ "source": "ask_exit", "keepkernel": false }));
                self.shared.shutdown.notify_one();
            }
        }
        Evaluated { results: Vec::new(), footer: None, payload }
    }

    /// Publishes what a cell came to: all but the last as displays, the last as the result.
    fn show(&self, evaluated: Evaluated, count: u32) {
        let mut display = self.shared.display();
        let mut results = evaluated.results;
        let last = results.pop();
        for bundle in &results {
            display.show(bundle, None);
        }
        if let Some(bundle) = last {
            let content = json!({ "execution_count": count, "data": as_json(&bundle), "metadata": {} });
            display.publish("execute_result", content);
        }
        if let Some(footer) = evaluated.footer {
            display.show(&[("text/plain".to_string(), footer)].into(), None);
        }
    }

    /// The answer to one of a request's `user_expressions`.
    fn expression(&mut self, code: &str, count: u32) -> Value {
        self.shared.display().begin(None, Audience::Nobody);
        match self.evaluate(code, count, None) {
            Ok(evaluated) => {
                let data = evaluated.results.last().map_or(json!({}), as_json);
                json!({ "status": "ok", "data": data, "metadata": {} })
            }
            Err(failure) => {
                let mut answer = failure.as_json();
                answer["status"] = "error".into();
                answer
            }
        }
    }
}

/// Why a cell failed, if it did.
fn failure_of(
    request: Option<Request>,
    end: &CellEnd,
    result: &Result<EvalOutputs, Error>,
    code: &str,
    source: &str,
    count: u32,
    variables: &[String],
) -> Option<Failure> {
    let seconds = interrupt::PATIENCE.as_secs();
    let lost = match variables {
        [] => "no variables were lost".to_string(),
        _ => format!("these variables are lost: {}", variables.join(", ")),
    };
    match (request, result) {
        (Some(Request::Killed), _) => Some(Failure::new(
            "Interrupted",
            format!("the cell did not stop within {seconds} seconds, so its process was ended; {lost}"),
        )),
        (Some(Request::Asked), Err(Error::SubprocessTerminated(_))) => {
            Some(Failure::new("Interrupted", format!("the cell was interrupted and its process ended; {lost}")))
        }
        // What the compiler has to say is worth more than that it was too quick for the stop button.
        (Some(Request::Asked), Err(error @ Error::CompilationErrors(_))) => {
            Some(Failure::from_evcxr(error, code, count))
        }
        (Some(Request::Asked), Err(_)) => {
            Some(Failure::new("Interrupted", "the build was stopped; all variables are kept"))
        }
        (Some(Request::Asked), Ok(_)) => {
            let said = end.error.as_deref().filter(|_| end.is_failed);
            Some(Failure::new(
                "Interrupted",
                said.unwrap_or("the cell was interrupted; all variables are kept").trim_end(),
            ))
        }
        (None, Err(Error::SubprocessTerminated(_))) => {
            let how = end.process_end.as_deref().unwrap_or("it ended by itself");
            Some(Failure::new("ProcessEnded", format!("the process of the cells is gone ({how}); {lost}")))
        }
        (None, Err(error)) => Some(Failure::from_evcxr(error, code, count)),
        (None, Ok(_)) => Failure::from_end(end, code, source),
    }
}

/// What evcxr's commands answer.
fn answer_of(outputs: EvalOutputs) -> MimeBundle {
    outputs.content_by_mime_type.into_iter().collect::<BTreeMap<_, _>>()
}
