"""Cells made of random pieces, right and wrong: after each the kernel answers, and at the end nothing is left.

`DIABOLO_TEST_SEED` repeats a run, `DIABOLO_TEST_SECONDS` or `DIABOLO_TEST_CELLS` says how long it lasts, and
`DIABOLO_TEST_SHOW` prints each cell.
"""

import os
import random
import tempfile
import time
import unittest
from pathlib import Path

from harness import Kernel, wait_until
from processes import below, wait_until_gone

# Printed before what does not end by itself, so that stop comes when it runs.
SIGN = "endless"

# Pieces that end.
PIECES = [
    "1 + 1",
    "let a{n} = vec![{n}; 3];",
    "let text{n} = String::from(\"{n}\");",
    "println!(\"line {n}\");",
    "print!(\"\\r{n} %\");",
    "eprint!(\"half\");",
    "for line in 0..20_000 {{ println!(\"{{line}} of many\"); }}",
    "for part in 0..50_000 {{ print!(\"x{{part}}\"); }}",
    "for line in 0..2_000 {{ eprintln!(\"{{line}}\"); println!(\"{{line}}\"); }}",
    "fn f{n}() -> u32 {{ {n} }}",
    "#[derive(Debug)] struct S {{ field{n}: u8 }}",
    "let s = S {{ field{n}: 1 }};",
    "let n: i32 = \"abc\".parse()?;",
    "panic!(\"{n}\\n{n}\");",
    "let _ = std::panic::catch_unwind(|| panic!(\"caught {n}\"));",
    "std::thread::spawn(|| for i in 0..5 {{ println!(\"thread {n} {{i}}\"); std::thread::sleep(std::time::Duration::from_millis(50)); }});",
    "std::thread::spawn(|| panic!(\"thread {n}\"));",
    "std::process::Command::new(\"sleep\").arg(\"100000\").spawn()?;",
    "std::process::Command::new(\"sh\").args([\"-c\", \"yes | head -n 10000\"]).status()?;",
    "std::process::Command::new(\"cat\").stdin(std::process::Stdio::null()).status()?;",
    "println!(\"EVCXR_BEGIN_CONTENT text/plain\\npicture {n}\\nEVCXR_END_CONTENT\");",
    "println!(\"EVCXR_BEGIN_CONTENT image/png\\n{{}}\", \"A\".repeat(300_000));",
    "println!(\"EVCXR_EXECUTION_COMPLETE\");",
    "eprintln!(\"EVCXR_PANIC_NOTIFICATION\");",
    "print!(\"\\u{{2}}diabolo1 {{{{\");",
    "println!(\"EVCXR_INPUT_REQUEST:name {n}?\");",
    "drop(unsafe {{ <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(1) }});",
    "std::panic::set_hook(Box::new(|_| {{}}));",
    "std::process::exit({n} % 3);",
    "std::process::abort();",
    "unsafe {{ *(std::hint::black_box(8) as *mut u8) = 1; }}",
    "fn deep{n}(n: u64) -> u64 {{ std::hint::black_box(n) + deep{n}(n + 1) }}\ndeep{n}(0);",
    "let undefined = no_such_name{n};",
    "let b: u8 = \"é\";",
    "}}",
    "{{",
    "(1, [2",
    "\"open",
    "/* open",
    "'",
    "\u00fc\u6f22\U0001f600",
    "let \u00fc{n} = '\u6f22';",
    "let a = ;",
    "!echo shell {n}; exit 3",
    "!yes | head -n 10000",
    "! ",
    ":vars",
    ":restart",
    ":clear",
    ":no_such_command",
    ":",
    "",
]

# Pieces that go on until stop: the file, a signal, or the end of the process.
ENDLESS = [
    "while !std::path::Path::new(&std::env::var(\"DIABOLO_KERNEL\").unwrap()).join(\"interrupt\").exists() {{}}",
    "loop {{ println!(\"flood {n}\"); if std::path::Path::new(&std::env::var(\"DIABOLO_KERNEL\").unwrap()).join(\"interrupt\").exists() {{ break }} }}",
    "std::process::Command::new(\"yes\").status()?;",
    "std::process::Command::new(\"sleep\").arg(\"100000\").status()?;",
    "loop {{ print!(\"x\"); }}",
    "loop {{ std::thread::sleep(std::time::Duration::from_millis(1)); }}",
]


def make_cell(chance, number):
    """A cell's text, and whether it has to be stopped."""
    pieces = [chance.choice(PIECES).format(n=number) for _ in range(chance.choice([1, 1, 2, 3]))]
    is_endless = chance.random() < 0.1
    if is_endless:
        pieces = [f'println!("{SIGN}");', chance.choice(ENDLESS).format(n=number)]
    return "\n".join(pieces), is_endless


class RandomCellsTest(unittest.TestCase):
    def test_after_every_cell_the_kernel_answers_and_nothing_is_left_at_the_end(self):
        seed = int(os.environ.get("DIABOLO_TEST_SEED", "1"))
        n_cells = int(os.environ.get("DIABOLO_TEST_CELLS", "1000000"))
        seconds = float(os.environ.get("DIABOLO_TEST_SECONDS", "60" if n_cells == 1000000 else "1e9"))
        chance = random.Random(seed)
        with tempfile.TemporaryDirectory() as folder:
            kernel = Kernel({"TMPDIR": folder})
            # Where it compiles, beside the copies of other kernels.
            work = Path(kernel.run(":last_compile_dir").of("execute_result")[-1]["data"]["text/plain"].strip())
            processes, slowest, number = set(), 0.0, 0
            started = time.time()
            while number < n_cells and time.time() - started < seconds:
                number += 1
                code, is_endless = make_cell(chance, number)
                options = chance.choice([{}] * 6 + [{"silent": not is_endless}, {"user_expressions": {"three": "1 + 2"}}])
                if os.environ.get("DIABOLO_TEST_SHOW"):
                    print(f"--- {seed}/{number} {options}\n{code}", flush=True)
                with self.subTest(seed=seed, number=number, code=code):
                    self.run_one(kernel, code, is_endless, options, chance)
                    asked = time.time()
                    answer = kernel.run("1 + 1", stop_on_error=False)
                    if answer.reply.get("ename") == "ProcessEnded":
                        # A thread may have ended the process after its cell.
                        answer = kernel.run("1 + 1")
                    slowest = max(slowest, time.time() - asked)
                    self.assertEqual(answer.reply["status"], "ok", answer)
                    results = answer.of("execute_result")
                    self.assertEqual([result["data"]["text/plain"] for result in results], ["2"], answer)
                processes |= below(kernel.manager.provisioner.pid)
            kernel.close()
            wait_until_gone(self, processes)
            wait_until(lambda: not list(work.parent.glob(f"{work.name}*")))
            self.assertEqual(os.listdir(folder), [], "temporary files")
        print(f"seed {seed}: {number} cells in {time.time() - started:.0f} s, slowest answer {slowest:.1f} s", flush=True)

    def run_one(self, kernel, code, is_endless, options, chance):
        request = kernel.send(code, allow_stdin=False, **options)
        if is_endless:
            kernel.wait_for(request, "stream")
            kernel.ask("control", "interrupt_request", {})
        elif chance.random() < 0.1:
            # At any moment: while it compiles, runs, or after its end.
            time.sleep(chance.random())
            kernel.ask("control", "interrupt_request", {})
        kernel.gather(request)


if __name__ == "__main__":
    unittest.main(verbosity=2)
