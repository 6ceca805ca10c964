//! Where output goes: pipes whose reader is gone, full disks, links, devices, `~`.

mod common;

use common::{RUN, diabolo, fail, left_in, succeed};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A folder with a trained run in `runs/cnn`, of a network that has learnt enough not to be warned of.
fn trained() -> tempfile::TempDir {
    common::trained(&RUN.replace("epochs = 2", "epochs = 20\nbatch_size = 16"))
}

/// Runs a command whose standard output nobody reads.
fn unread(folder: &Path, arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    diabolo(folder, arguments).stdout(writer).output().unwrap()
}

#[test]
fn a_reader_that_is_gone_is_no_failure() {
    let folder = trained();
    let here = folder.path();
    let commands: [&[&str]; 4] = [
        &["train", "run.toml"],
        &["show", "runs/cnn", "--figure", "loss.svg"],
        &["rank", "runs/cnn", "scenes", "--figures", "pictures"],
        &["completions", "bash"],
    ];
    for command in commands {
        let Output { status, stderr, .. } = unread(here, command);
        assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""), "{command:?}");
    }
    assert!(here.join("loss.svg").is_file() && here.join("pictures/best.svg").is_file(), "the work is done");
    // A table that is not whole is told from one that is.
    let Output { status, stderr, .. } = unread(here, &["score", "runs/cnn", "scenes"]);
    assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(141), ""));
}

#[test]
fn a_closed_standard_error_ends_nothing() {
    let folder = trained();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let arguments = ["score", "runs/cnn", "scenes", "--out", "scores.csv"];
    let status = diabolo(folder.path(), &arguments).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(folder.path().join("scores.csv").is_file());
}

/// A device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn output_that_does_not_fit_on_the_disk_is_an_error() {
    let folder = trained();
    let commands: [&[&str]; 3] = [&["show", "runs/cnn"], &["score", "runs/cnn", "scenes"], &["completions", "bash"]];
    for command in commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = diabolo(folder.path(), command).stdout(full).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("writing to standard output: No space left"), "{message}");
    }
}

#[test]
fn a_table_goes_to_standard_output_and_through_pipes() {
    let folder = trained();
    let here = folder.path();
    let table = succeed(here, &["score", "runs/cnn", "scenes"]);
    assert_eq!(succeed(here, &["score", "runs/cnn", "scenes", "--out", "-"]), table);
    assert!(!here.join("-").exists());

    assert!(Command::new("mkfifo").arg(here.join("pipe")).status().unwrap().success());
    let reader = Command::new("cat").arg(here.join("pipe")).stdout(Stdio::piped()).spawn().unwrap();
    succeed(here, &["score", "runs/cnn", "scenes", "--out", "pipe"]);
    let read = reader.wait_with_output().unwrap().stdout;
    assert_eq!(String::from_utf8(read).unwrap(), table);
}

/// With a null device of its own: where the test fails, the machine's is still one.
#[cfg(unix)]
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn links_are_followed_devices_stay_and_permissions_are_kept() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let folder = trained();
    let here = folder.path();
    fs::write(here.join("real.csv"), "old").unwrap();
    fs::set_permissions(here.join("real.csv"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("real.csv", here.join("out.csv")).unwrap();
    succeed(here, &["score", "runs/cnn", "scenes", "--out", "out.csv"]);
    assert!(here.join("out.csv").is_symlink());
    assert!(fs::read_to_string(here.join("real.csv")).unwrap().starts_with("image,mse,anomaly"));
    assert_eq!(fs::metadata(here.join("real.csv")).unwrap().permissions().mode() & 0o777, 0o600);

    symlink("real.svg", here.join("loss.svg")).unwrap();
    succeed(here, &["show", "runs/cnn", "--figure", "loss.svg"]);
    assert!(here.join("loss.svg").is_symlink() && here.join("real.svg").is_file());

    let made = Command::new("mknod").arg(here.join("null")).args(["c", "1", "3"]).output();
    match made {
        Ok(made) if made.status.success() && File::options().write(true).open(here.join("null")).is_ok() => {
            succeed(here, &["score", "runs/cnn", "scenes", "--out", "null"]);
            assert!(fs::metadata(here.join("null")).unwrap().file_type().is_char_device());
        }
        _ => eprintln!("skipped: a device, since none can be made here"),
    }
}

#[test]
fn a_tilde_is_the_home_folder_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (here, home) = (folder.path().join("here"), folder.path().join("home"));
    fs::create_dir_all(home.join("photographs")).unwrap();
    fs::create_dir(&here).unwrap();
    for (name, value) in ["a", "b", "c", "d", "e"].into_iter().zip([0, 60, 120, 180, 240]) {
        let image = image::RgbImage::from_pixel(32, 32, image::Rgb([value, 99, value]));
        image.save(home.join(format!("photographs/{name}.png"))).unwrap();
    }
    let text = RUN.replace("runs/cnn", "~/runs/cnn").replace("\"scenes\"", "\"~/photographs\"");
    let text = text.replace("hold_out = [\"boat\", \"car\"]\nfirst = 256\n", "");
    fs::write(home.join("run.toml"), text).unwrap();
    let run = |arguments: &[&str]| {
        let output = diabolo(&here, arguments).env("HOME", &home).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["train", "~/run.toml"]);
    run(&["show", "~/runs/cnn", "--figure=~/loss.svg"]);
    run(&["score", "~/runs/cnn", "~/photographs", "--out=~/scores.csv"]);
    run(&["rank", "~/runs/cnn", "~/photographs", "--count=1", "--figures=~/pictures"]);
    assert!(left_in(&here).is_empty(), "{:?}", left_in(&here));
    assert_eq!(left_in(&home), ["loss.svg", "photographs", "pictures", "run.toml", "runs", "scores.csv"]);
}

#[test]
fn a_run_file_means_the_same_from_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (here, other) = (folder.path().join("here"), folder.path().join("other"));
    [&here, &other].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
    fs::write(other.join("run.toml"), RUN).unwrap();
    let said = succeed(&here, &["train", "../other/run.toml"]);
    assert!(left_in(&here).is_empty() && other.join("runs/cnn/model.json").is_file());
    let place = said.lines().last().unwrap().strip_prefix("in ").unwrap();
    assert!(Path::new(place).is_absolute() && Path::new(place).is_dir(), "{said}");
    assert!(succeed(&other, &["train", "run.toml"]).ends_with("runs/cnn\n"));
}

#[test]
fn a_run_file_from_windows_is_read_or_what_to_do_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let train = |text: &[u8]| {
        fs::write(here.join("run.toml"), text).unwrap();
        fail(here, 1, &["train", "run.toml"])
    };
    let utf16 = RUN.encode_utf16().flat_map(u16::to_le_bytes);
    assert!(train(&Vec::from_iter([0xff, 0xfe].into_iter().chain(utf16))).contains("save it as UTF-8"));
    assert!(train(&Vec::from_iter(RUN.bytes().chain(*b"# caf\xe9"))).contains("save it as UTF-8"));
    let backslash = RUN.replace("\"scenes\"", r#""C:\photos""#);
    assert!(train(backslash.as_bytes()).contains("write paths with /"));
    // With a byte order mark and line ends of Windows it is read.
    let marked = format!("\u{feff}{}", RUN.replace('\n', "\r\n").replace("epochs = 2", "epochs = 0"));
    assert!(train(marked.as_bytes()).contains("setting epochs: found 0"));
}

/// As of Lustre and of some NFS, by a library that answers for the system.
#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_file_system_without_locks_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("run.toml"), RUN).unwrap();
    fs::write(here.join("locks.c"), "#include <errno.h>\nint flock(int f, int o) { errno = ENOSYS; return -1; }\n")
        .unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o", "locks.so", "locks.c"]).current_dir(here).output();
    if !compiled.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a file system without locks, since there is no C compiler");
        return;
    }
    let output = diabolo(here, &["train", "run.toml"]).env("LD_PRELOAD", here.join("locks.so")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(here.join("runs/cnn/model.json").is_file());
}
