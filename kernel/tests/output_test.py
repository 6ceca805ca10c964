"""Everything that is printed is seen, once, soon, and as what it is."""

import tempfile
import unittest

from harness import Kernel, KernelCase

FLUSH = "std::io::Write::flush(&mut std::io::stdout()).unwrap();"

# What evcxr and this kernel say, or once said, about how a cell goes on.
MARKERS = [
    "EVCXR_EXECUTION_COMPLETE",
    "something EVCXR_EXECUTION_COMPLETE",
    "EVCXR_PANIC_NOTIFICATION",
    "EVCXR_ERROR_OCCURRED",
    "EVCXR_VARIABLE_CHANGED_TYPE:kept",
    "see EVCXR_BEGIN_CONTENT lines",
    "\\u{2}diabolo-panic src/lib.rs:1:1\\u{1f}no panic",
    "\\u{2}diabolo-error unfinished",
    "panicked ",
    "ended ",
]

# A cell that goes on until the test has seen enough; `{}` is one turn.
UNTIL_STOP = 'let stop: std::path::PathBuf = std::path::Path::new(&std::env::var("DIABOLO_KERNEL").unwrap()).join("interrupt"); while !stop.exists() {{ {} }}'


def text_of(cell, name):
    """What came on one stream."""
    return "".join(stream["text"] for stream in cell.of("stream") if stream["name"] == name)


class OutputTest(KernelCase):
    def run_cell(self, code, **options):
        return self.kernel.run(code, **options)

    def assert_streams(self, turn, n_messages=5):
        """A cell that prints all the time is seen to print before it ends."""
        request = self.kernel.send(UNTIL_STOP.format(turn))
        for _ in range(n_messages):
            self.kernel.wait_for(request, "stream")
        self.kernel.manager.interrupt_kernel()
        return self.kernel.gather(request)

    def test_a_counter_in_one_line_is_seen_while_it_counts(self):
        for macro in ("print", "eprint"):
            with self.subTest(macro):
                turn = f'{macro}!("\\r7"); {FLUSH} std::thread::sleep(std::time::Duration::from_millis(3));'
                self.assertEqual(self.assert_streams(turn).reply["ename"], "Interrupted")

    def test_a_partial_line_is_seen_while_the_other_stream_is_busy(self):
        # Without a pause there is no moment at which nothing can be read.
        busy = 'eprintln!("busy");'
        request = self.kernel.send('print!("50 %"); ' + UNTIL_STOP.format(busy))
        shown = ""
        while "50 %" not in shown:
            content = self.kernel.wait_for(request, "stream")
            shown += content["text"] if content["name"] == "stdout" else ""
        self.kernel.manager.interrupt_kernel()
        self.kernel.gather(request)

    def test_text_without_a_newline_comes_in_pieces(self):
        cell = self.assert_streams('print!("x");')
        lengths = [len(stream["text"]) for stream in cell.of("stream")]
        self.assertLess(max(lengths), 1_000_000)

    def test_what_the_user_prints_of_an_error_is_shown(self):
        cell = self.run_cell('if let Err(error) = "abc".parse::<i32>() { eprintln!("{}", error); }')
        self.assertEqual(text_of(cell, "stderr"), "invalid digit found in string\n")
        cell = self.run_cell('for error in ["one", "two"] { eprintln!("{}", error) }')
        self.assertEqual(text_of(cell, "stderr"), "one\ntwo\n")
        cell = self.run_cell('let error = 5;\n{ let print = || eprintln!("{:?}", error); print(); }')
        self.assertEqual(text_of(cell, "stderr"), "5\n", cell.reply)

    def test_another_format_of_errors_keeps_their_text(self):
        cell = self.run_cell(':efmt {:?}\nlet number: i32 = "abc".parse()?;')
        self.run_cell(":efmt {}")
        self.assertEqual(cell.error, ("Error", "ParseIntError { kind: InvalidDigit }"))
        self.assertEqual(text_of(cell, "stderr"), "")

    def test_every_caught_panic_is_said(self):
        catch = 'let _ = std::panic::catch_unwind(|| panic!("{}"));'
        cell = self.run_cell(catch.format("first") + catch.format("second"))
        self.assertEqual(cell.reply["status"], "ok", cell.reply)
        said = text_of(cell, "stderr")
        self.assertEqual((said.count("first"), said.count("second")), (1, 1), said)
        self.assertRegex(said, r"panicked at .*:\d+:\d+:")

    def test_a_panic_that_ends_the_cell_is_not_said_twice(self):
        cell = self.run_cell('panic!("once")')
        self.assertEqual(cell.error, ("Panic", "once"))
        self.assertNotIn("once", text_of(cell, "stderr"))

    def test_a_panic_below_a_hook_of_the_users_is_an_error_that_says_so(self):
        kernel = Kernel()
        try:
            kernel.run("std::panic::set_hook(Box::new(|_| {}));")
            kernel.run("let kept = 1;")
            cell = kernel.run('panic!("why")')
            self.assertEqual(cell.reply["ename"], "Panic")
            self.assertIn("set_hook", cell.reply["evalue"])
            self.assertEqual(kernel.run("kept").of("execute_result")[0]["data"]["text/plain"], "1")
        finally:
            kernel.close()

    def test_a_type_defined_anew_loses_its_variable_alone(self):
        self.run_cell("#[derive(Debug)] struct Point { x: u8 }\nlet point = Point { x: 1 };\nlet other = 5;")
        cell = self.run_cell("#[derive(Debug)] struct Point { y: u8 }\nother")
        self.assertIn("point", str(cell.reply) + text_of(cell, "stderr"))
        self.assertEqual(self.run_cell("other").of("execute_result")[0]["data"]["text/plain"], "5")
        self.assertEqual(self.run_cell("point").reply["status"], "error")

    def test_markers_in_a_users_text_are_text(self):
        self.run_cell("let kept = 5;")
        for macro in ("println", "eprintln"):
            lines = "".join(f'{macro}!("{{}}", "{marker}");' for marker in MARKERS)
            cell = self.run_cell(lines + 'println!("last");')
            self.assertEqual(cell.reply["status"], "ok", cell.reply)
            shown = text_of(cell, "stdout" if macro == "println" else "stderr")
            for marker in MARKERS:
                self.assertIn(marker.replace("\\u{2}", "\x02").replace("\\u{1f}", "\x1f") + "\n", shown)
            self.assertTrue(text_of(cell, "stdout").endswith("last\n"))
        cell = self.run_cell('println!("EVCXR_PANIC_NOTIFICATION"); println!("EVCXR_EXECUTION_COMPLETE");')
        self.assertEqual((cell.reply["status"], len(cell.text.splitlines())), ("ok", 2), cell.reply)
        # Each output is its own cell's.
        for number in (6, 7):
            self.assertEqual(self.run_cell(f"{number}").of("execute_result")[0]["data"]["text/plain"], f"{number}")
        self.assertEqual(self.run_cell("kept").of("execute_result")[0]["data"]["text/plain"], "5")

    def test_what_is_begun_and_not_ended_is_the_cells_text_and_no_later_ones(self):
        cell = self.run_cell('println!("EVCXR_BEGIN_CONTENT text/plain\\nhalf");')
        self.assertEqual(cell.text, "EVCXR_BEGIN_CONTENT text/plain\nhalf\n")
        cell = self.run_cell('print!("\\u{2}diabolo1 {{"); eprint!("\\u{2}diabolo-error unfinished");')
        self.assertEqual(cell.text, "\x02diabolo1 {")
        cell = self.run_cell('println!("out"); eprintln!("later");')
        self.assertEqual((cell.text, text_of(cell, "stderr")), ("out\n", "later\n"))

    def test_the_last_words_before_an_end_are_shown(self):
        for status in (0, 3):
            with self.subTest(status):
                block = 'println!("EVCXR_BEGIN_CONTENT text/plain\\nhalf");'
                cell = self.run_cell(f'eprintln!("oh"); println!("bye"); {block} std::process::exit({status});')
                self.assertEqual(cell.reply["ename"], "ProcessEnded")
                self.assertIn(f"exit status: {status}", cell.reply["evalue"])
                self.assertEqual(text_of(cell, "stderr"), "oh\n")
                self.assertEqual(cell.text, "bye\nEVCXR_BEGIN_CONTENT text/plain\nhalf\n")

    def test_a_panic_before_an_abort_is_shown(self):
        cell = self.run_cell('let _ = std::panic::catch_unwind(|| panic!("before"));\nstd::process::abort();')
        self.assertEqual(cell.reply["ename"], "ProcessEnded")
        self.assertIn("before", text_of(cell, "stderr"))

    def test_a_cell_may_close_its_output_and_the_next_one_prints(self):
        code = "drop(unsafe {{ <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd({}) }});"
        for number, macro, name in ((1, "println", "stdout"), (2, "eprintln", "stderr")):
            with self.subTest(name):
                self.assertEqual(self.run_cell(code.format(number)).reply["status"], "ok")
                self.assertEqual(text_of(self.run_cell(f'{macro}!("again");'), name), "again\n")

    def test_answers_of_the_shell_and_of_commands_come_in_the_cells_order(self):
        cell = self.run_cell('let listed = 1.5;\n')
        cell = self.run_cell('!echo first\n:vars\nprintln!("third");\n4')
        shown = [
            content["text"].strip() if kind == "stream" else content["data"]["text/plain"]
            for kind, content, _ in cell.messages
            if kind in ("stream", "display_data", "execute_result")
        ]
        self.assertEqual((shown[0], shown[2], shown[3]), ("first", "third", "4"), shown)
        self.assertIn("listed: f64", shown[1])

    def test_a_threads_lines_are_seen_whatever_is_asked_meanwhile(self):
        # The thread prints a line whenever the test makes a file, so each comes at a known moment.
        self.enterContext(folder := tempfile.TemporaryDirectory())
        folder = folder.name
        turn = f'for n in 0..4 {{ while !std::path::Path::new("{folder}").join(n.to_string()).exists() {{ std::thread::yield_now(); }} println!("t{{n}}"); }}'
        self.run_cell(f"std::thread::spawn(|| {{ {turn} }});")
        asked = [("2", {}), ("3", {"silent": True}), ("4", {"user_expressions": {"five": "2 + 3"}}), ("6", {})]
        for number, (code, options) in enumerate(asked):
            wait = f'while !std::path::Path::new("{folder}/{number}").exists() {{}} std::thread::sleep(std::time::Duration::from_millis(200)); {code}'
            request = self.kernel.send(wait, **options)
            open(f"{folder}/{number}", "w").close()
            self.kernel.gather(request)
        # Also what was published with another request's parent.
        marker = self.run_cell('println!("end");')
        lines = "".join(
            message["content"]["text"]
            for message in self.kernel.seen
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout"
        )
        for number in range(4):
            self.assertEqual(lines.count(f"t{number}\n"), 1, lines)
        self.assertEqual(marker.text[-4:], "end\n")

    def test_the_unit_value_is_no_result(self):
        cell = self.run_cell('println!("x")')
        self.assertEqual(cell.of("execute_result") + cell.of("display_data"), [])


class OriginTest(unittest.TestCase):
    """A kernel that is not what its user believes says so, once."""

    def first_cells(self, environment):
        """What the first two cells write to stderr."""
        kernel = Kernel(environment)
        try:
            return [text_of(kernel.run("1 + 1"), "stderr") for _ in range(2)]
        finally:
            kernel.close()

    def test_another_compiler_is_said_in_the_first_cell(self):
        first, second = self.first_cells({"DIABOLO_RUSTC": "rustc 1.0.0 (a59de37e9 2015-05-13)"})
        self.assertIn("was compiled by rustc 1.0.0", first)
        self.assertIn("cargo diabolo setup", first)
        self.assertEqual(second, "")

    def test_a_clone_that_is_gone_is_said_in_the_first_cell(self):
        first, second = self.first_cells({"DIABOLO_SOURCES": "/moved/diabolo", "DIABOLO_START": ""})
        self.assertIn("the clone /moved/diabolo, which was moved or removed", first)
        self.assertEqual(second, "")

    def test_the_kernel_of_a_release_says_in_a_clone_that_the_clone_has_another(self):
        first, second = self.first_cells({"DIABOLO_SOURCES": "0.0.1"})
        self.assertIn("the kernel is that of diabolo 0.0.1", first)
        self.assertEqual(second, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
