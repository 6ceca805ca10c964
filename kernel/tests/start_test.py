"""Where a kernel starts: in folders that are only data, with environments as users have them, beside other kernels."""

import fcntl
import glob
import os
import signal
import subprocess
import tempfile
import unittest

import harness
from harness import cells_copy, wait_until

# Without start code: in a copy of the warm build, or with other compiler settings, it would compile the library first.
NO_START = {"DIABOLO_START": ""}


def Kernel(environment=None, **options):
    return harness.Kernel({**NO_START, **(environment or {})}, **options)


def text_of(cell):
    """The last result of a cell."""
    return cell.of("execute_result")[-1]["data"]["text/plain"]


def is_gone(kernel):
    """Has the kernel's process ended?"""
    return kernel.manager.provisioner.process.poll() is not None


class FolderTest(unittest.TestCase):
    def test_opening_a_notebook_runs_nothing_of_its_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {
                "evcxr.toml": f"[evcxr]\ntmpdir = \"{folder}/elsewhere\"\nprelude = 'std::fs::write(\"{folder}/ran\", \"\")?;'\n",
                "init.evcxr": f"!touch {folder}/ran\n",
                "prelude.rs": f'std::fs::write("{folder}/ran", "")?;',
            }.items():
                with open(f"{folder}/{name}", "w") as file:
                    file.write(text)
            before = sorted(os.listdir(folder))
            kernel = Kernel(folder=folder)
            try:
                self.assertEqual(text_of(kernel.run("1 + 1")), "2")
                # Cells run there all the same.
                self.assertTrue(text_of(kernel.run("std::env::current_dir()?.display().to_string()")).strip('"') in
                                (folder, os.path.realpath(folder)))
                self.assertEqual(sorted(os.listdir(folder)), before)
                # Until the user says so.
                self.assertEqual(kernel.run(":load_config --quiet").reply["status"], "ok")
                self.assertEqual(sorted(os.listdir(folder)), sorted([*before, "ran"]))
            finally:
                kernel.close()

    def test_the_users_own_settings_are_read_but_for_the_place_to_compile_in(self):
        with tempfile.TemporaryDirectory() as home:
            os.mkdir(f"{home}/evcxr")
            with open(f"{home}/evcxr/evcxr.toml", "w") as file:
                file.write(f"[evcxr]\ntmpdir = \"{home}/elsewhere\"\nprelude = 'fn mine() -> u8 {{ 7 }}'\n")
            kernel = Kernel({"XDG_CONFIG_HOME": home})
            try:
                self.assertEqual(text_of(kernel.run("mine()")), "7")
                self.assertEqual(os.listdir(home), ["evcxr"])
            finally:
                kernel.close()


class EnvironmentTest(unittest.TestCase):
    def test_any_tmpdir_gives_a_kernel(self):
        with tempfile.TemporaryDirectory() as folder:
            long, closed, odd = f"{folder}/{'x' * 120}", f"{folder}/closed", f"{folder}/with é and space"
            for name in (long, odd):
                os.makedirs(name)
            # Not a folder: root may write to every folder.
            open(closed, "w").close()
            for value in (long, closed, odd, f"{folder}/missing", "relative/missing"):
                with self.subTest(value[:40]):
                    kernel = Kernel({"TMPDIR": value})
                    try:
                        self.assertEqual(text_of(kernel.run("1 + 1")), "2")
                    finally:
                        kernel.close()

    def test_locks_as_networks_have_them(self):
        shim = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
int flock(int fd, int op) {
  int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
  if (getenv("NO_LOCKS")) { errno = ENOSYS; return -1; }
  if (((op & LOCK_SH) && mode == O_WRONLY) || ((op & LOCK_EX) && mode == O_RDONLY)) { errno = EBADF; return -1; }
  return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, op);
}
"""
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            with open(f"{folder}/nfs.c", "w") as source:
                source.write(shim)
            subprocess.run(["cc", "-shared", "-fPIC", "-o", f"{folder}/nfs.so", f"{folder}/nfs.c", "-ldl"], check=True)
            for more in ({}, {"NO_LOCKS": "1"}):
                with self.subTest(more):
                    kernel = Kernel({"DIABOLO_CELLS": cells, "LD_PRELOAD": f"{folder}/nfs.so", **more})
                    try:
                        self.assertEqual(text_of(kernel.run("1 + 1")), "2")
                    finally:
                        kernel.close()

    def test_an_older_cpp_library_of_the_user_is_not_what_cells_load(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/empty.c", "w") as source:
                source.write("")
            library = f"{folder}/libstdc++.so.6.0.1"
            subprocess.run(["cc", "-shared", "-Wl,-soname,libstdc++.so.6", "-o", library, f"{folder}/empty.c"], check=True)
            os.symlink(library, f"{folder}/libstdc++.so.6")
            kernel = Kernel({"LD_LIBRARY_PATH": folder})
            try:
                # As libtorch does when it is loaded.
                code = """unsafe extern "C" { fn dlopen(name: *const std::ffi::c_char, flags: i32) -> *mut u8; }
let loaded = unsafe { dlopen(c"libstdc++.so.6".as_ptr(), 2) } as usize != 0;
let maps = std::fs::read_to_string("/proc/self/maps")?;
(loaded, maps.lines().filter(|line| line.contains("libstdc++")).last().map(str::to_string))"""
                shown = text_of(kernel.run(code))
                self.assertIn("(true, Some(", shown)
                self.assertNotIn("libstdc++.so.6.0.1\"", shown)
            finally:
                kernel.close()


class CopiesTest(unittest.TestCase):
    """Every kernel compiles in a copy of its own, and what it leaves is removed."""

    def folders(self, kernel):
        """The copy in which the kernel compiles, its lock, and its own folder."""
        work = text_of(kernel.run(":last_compile_dir")).strip()
        self.assertTrue(os.path.isdir(work))
        process = kernel.manager.provisioner.pid
        own = {os.path.dirname(path) for path in glob.glob("/tmp/diabolo-kernel-*/events")}
        sockets = subprocess.run(["cat", "/proc/net/unix"], capture_output=True, text=True, check=True).stdout
        own = {folder for folder in own if f"{folder}/events" in sockets}
        return process, work, own

    def test_the_copy_is_gone_after_every_kind_of_end(self):
        for end in ("shutdown", "SIGTERM"):
            with self.subTest(end):
                kernel = Kernel()
                _, work, own = self.folders(kernel)
                if end == "shutdown":
                    kernel.ask("control", "shutdown_request", {"restart": False})
                else:
                    os.kill(kernel.manager.provisioner.pid, signal.SIGTERM)
                wait_until(lambda: is_gone(kernel))
                # A process of its own removes them, since Jupyter waits only seconds for a kernel's end.
                wait_until(lambda: not glob.glob(f"{work}*"))
                self.assertFalse(any(os.path.exists(folder) for folder in own if len(own) == 1))
                kernel.close()

    def test_what_a_killed_kernel_leaves_the_next_one_removes(self):
        with tempfile.TemporaryDirectory() as temporary, tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            environment = {"TMPDIR": temporary, "DIABOLO_CELLS": cells}
            killed = Kernel(environment)
            killed.run("1")
            os.kill(killed.manager.provisioner.pid, signal.SIGKILL)
            wait_until(lambda: is_gone(killed))
            left = glob.glob(f"{temporary}/diabolo-kernel-*") + glob.glob(f"{cells}/running/*")
            self.assertGreaterEqual(len(left), 3)
            killed.close()
            kernel = Kernel(environment)
            try:
                kernel.run("1")
                wait_until(lambda: not any(os.path.exists(path) for path in left))
            finally:
                kernel.close()

    def test_a_kernel_of_another_container_with_the_same_process_number_stops_none(self):
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            os.mkdir(f"{cells}/running")
            # The next process number is not known, so every one that may come is taken.
            locks = []
            newest = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout
            for number in range(int(newest), int(newest) + 300):
                locks.append(open(f"{cells}/running/{number}.lock", "a"))
                fcntl.flock(locks[-1], fcntl.LOCK_EX)
            kernel = Kernel({"DIABOLO_CELLS": cells}, timeout=60)
            try:
                self.assertEqual(text_of(kernel.run("1 + 1")), "2")
            finally:
                kernel.close()
                for lock in locks:
                    lock.close()

    def test_a_kernel_that_waits_for_set_up_says_so(self):
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            with open(f"{cells}/master.lock", "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                kernel = Kernel({"DIABOLO_CELLS": cells})
                request = kernel.send("1 + 1")
                try:
                    self.assertIn("cargo diabolo setup", kernel.wait_for(request, "stream")["text"])
                    fcntl.flock(lock, fcntl.LOCK_UN)
                    self.assertEqual(text_of(kernel.gather(request)), "2")
                finally:
                    kernel.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
