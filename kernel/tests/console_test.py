"""The kernel in Jupyter's console, driven through a terminal: a cell, and Ctrl-C that keeps its variables."""

import os
import re
import sys
import unittest

import pexpect

KERNEL = os.environ.get("DIABOLO_TEST_KERNEL", "diabolo")
WAIT = 'while !std::path::Path::new(&std::env::var("DIABOLO_KERNEL").unwrap()).join("interrupt").exists() {}'


class ConsoleTest(unittest.TestCase):
    def setUp(self):
        # A terminal that understands nothing: prompts and outputs come as plain lines.
        self.console = pexpect.spawn(
            sys.executable,
            ["-m", "jupyter_console", "--kernel", KERNEL, "--simple-prompt", "--ZMQTerminalInteractiveShell.kernel_timeout=60"],
            env={**os.environ, "TERM": "dumb", "NO_COLOR": "1"},
            encoding="utf-8",
            timeout=120,
        )
        self.console.expect(re.escape("In [1]: "))

    def tearDown(self):
        self.console.sendeof()
        self.console.close(force=True)

    def test_a_cell_shows_what_it_prints_and_its_result(self):
        self.console.sendline('println!("printed"); 20 + 1')
        self.console.expect("printed")
        self.console.expect(r"Out\[1\]: 21")
        self.console.expect(re.escape("In [2]: "))

    def test_control_c_ends_a_cell_and_keeps_variables(self):
        self.console.sendline("let kept = 40 + 2;")
        self.console.expect(re.escape("In [2]: "))
        self.console.sendline(f'println!("running"); {WAIT}')
        self.console.expect("running\r\n")
        self.console.sendintr()
        # After five seconds its process would have been ended, and its variables lost.
        self.console.expect("Interrupted")
        self.console.expect(re.escape("In [3]: "))
        self.console.sendline("kept")
        self.console.expect(r"Out\[3\]: 42")


if __name__ == "__main__":
    unittest.main(verbosity=2)
