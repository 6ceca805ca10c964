//! README's lines of Python build a model's layers from its file, and run nothing that stands there as code.
//!
//! They run in the system's Python with a substitute for `torch.nn`.

use std::process::Command;

const STAND_IN: &str = r#"
import ast, os, sys
class nn:
    class Conv2d:
        def __init__(self, *args, **words): self.all = (args, words)
    class Upsample(Conv2d): pass
    class Unflatten(Conv2d): pass
    class ReLU(Conv2d): pass
    Sequential = lambda *layers: [(type(layer).__name__, layer.all) for layer in layers]
"#;

const CHECKS: &str = r#"
built = build("Conv2d(3, 12, 4, 2, 1) / ReLU() / Upsample(scale_factor=2) / Unflatten(1, (2, 3, 4))")
assert built == [("Conv2d", ((3, 12, 4, 2, 1), {})), ("ReLU", ((), {})), ("Upsample", ((), {"scale_factor": 2})),
                 ("Unflatten", ((1, (2, 3, 4)), {}))], built
for text in ['__import__("os").mkdir(sys.argv[1])', 'Conv2d(os.mkdir(sys.argv[1]))', 'Conv2d(x=os.mkdir(sys.argv[1]))']:
    try:
        build(text)
    except Exception:
        pass
    assert not os.path.exists(sys.argv[1]), text
"#;

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_models_file_is_no_code() {
    let readme = include_str!("../README.md");
    let python =
        readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("README has Python");
    let is_of_layers =
        |line: &&str| !["import", "from", "layers", "model", "images", "rebuilt"].iter().any(|it| line.starts_with(it));
    let lines: Vec<&str> = python.lines().filter(is_of_layers).collect();
    let folder = tempfile::tempdir().unwrap();
    let script = [STAND_IN, &lines.join("\n"), CHECKS].concat();
    let output = Command::new("python3").args(["-c", &script]).arg(folder.path().join("ran")).output();
    // Without Python there is nobody to run these lines.
    let Ok(output) = output else {
        eprintln!("skipped: there is no python3");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
