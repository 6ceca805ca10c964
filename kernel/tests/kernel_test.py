"""The Jupyter project's own test of kernels, filled in for Rust.

Its pager test is left out: nothing in this kernel pages.
"""

import unittest

import jupyter_kernel_test
from harness import KERNEL, TIMEOUT

SHOW = 'println!("EVCXR_BEGIN_CONTENT {mime}\\n{content}\\nEVCXR_END_CONTENT"); println!("after");'
CLEAR = 'println!("\\u{2}diabolo1 {}", r#"{"message":"clear","wait":false}"#);'


class RustTests(jupyter_kernel_test.KernelTests):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The fifteen seconds that each of these tests has are for a kernel that has started.
        cls.kc.execute_interactive("1", silent=True, timeout=TIMEOUT)

    kernel_name = KERNEL
    language_name = "rust"
    file_extension = ".rs"
    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("test");'
    completion_samples = [{"text": "let v = vec![1]; v.is_empt", "matches": {"is_empty()"}}]
    complete_code_samples = ["1 + 1", "fn f() {\n    g()\n}", 'let s = "}";']
    incomplete_code_samples = ["fn f() {", "f(1,", '"text']
    invalid_code_samples = ["f)", "fn fn f() {}\n1"]
    code_generate_error = 'panic!("on purpose")'
    code_execute_result = [
        {"code": "1 + 2 + 3", "result": "6"},
        {"code": 'format!("{}", 9)', "result": '"9"'},
        {"code": "vec![1, 2]", "result": "[1, 2]"},
    ]
    code_display_data = [
        {"code": SHOW.replace("{mime}", "image/png").replace("{content}", "AAAA"), "mime": "image/png"},
        {"code": SHOW.replace("{mime}", "text/html").replace("{content}", "<b>a</b>"), "mime": "text/html"},
    ]
    code_history_pattern = "1 + 2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "String"
    code_clear_output = CLEAR


class WelcomeTests(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = KERNEL
    support_iopub_welcome = True


# The classes they come from would run as tests of a Python kernel.
del jupyter_kernel_test.KernelTests, jupyter_kernel_test.IopubWelcomeTests

if __name__ == "__main__":
    unittest.main(verbosity=2)
