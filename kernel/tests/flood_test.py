"""A cell that prints more than anybody reads: memory stays bounded and stop works."""

import os
import sys
import tempfile
import time
import unittest

import zmq
from harness import Kernel, wait_until
from processes import below

# More than all buffers between a cell and a client hold.
N_BYTES = int(os.environ.get("DIABOLO_TEST_FLOOD", "1000000000"))

# It notes in a file how much it has printed.
FLOOD = """use std::os::unix::fs::FileExt;
let stop: std::path::PathBuf = std::path::Path::new(&std::env::var("DIABOLO_KERNEL").unwrap()).join("interrupt");
let printed = std::fs::File::create("{file}")?;
let line = "x".repeat(999);
let mut n_bytes: u64 = 0;
println!("begin of the flood");
std::thread::sleep(std::time::Duration::from_millis(500));
while !stop.exists() && n_bytes < {n_bytes} {{
    for _ in 0..100 {{ println!("{{line}}"); n_bytes += 1000; }}
    printed.write_at(&n_bytes.to_ne_bytes(), 0)?;
}}
println!("end of the flood");
{then}"""

# Goes on until stop, so that the test knows when the flood is over.
WAIT = "while !stop.exists() { std::thread::sleep(std::time::Duration::from_millis(5)); }"

# How long a cell is watched to learn how quickly it prints.
WATCHED_SECONDS = 3


def resident_bytes(process):
    """The memory of a process, without what it shares with files."""
    with open(f"/proc/{process}/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def n_printed(file):
    """What a flood says that it has printed."""
    try:
        with open(file, "rb") as noted:
            return int.from_bytes(noted.read(8), sys.byteorder)
    except FileNotFoundError:
        return 0


class FloodTest(unittest.TestCase):
    def test_a_flood_before_a_sleeping_client_takes_little_memory_and_stops(self):
        kernel = Kernel()
        context = zmq.Context()
        folder = tempfile.TemporaryDirectory()
        file = f"{folder.name}/printed"
        try:
            kernel.run("1")
            sleeping = context.socket(zmq.SUB)
            sleeping.setsockopt(zmq.RCVHWM, 1)
            sleeping.setsockopt(zmq.RCVBUF, 4096)
            sleeping.setsockopt(zmq.LINGER, 0)
            sleeping.setsockopt(zmq.SUBSCRIBE, b"")
            info = kernel.manager.get_connection_info()
            sleeping.connect(f"tcp://{info['ip']}:{info['iopub_port']}")
            front = kernel.manager.provisioner.pid
            processes = [front, *below(front)]
            request = kernel.send(FLOOD.format(n_bytes=N_BYTES, then=WAIT, file=file))
            # What compiling the cell takes is no part of it.
            shown = kernel.wait_for(request, "stream")["text"]
            before, most = sum(map(resident_bytes, processes)), 0
            while "end of the flood" not in shown:
                shown = shown[-100:] + kernel.wait_for(request, "stream")["text"]
                # The client that reads keeps no more than it needs.
                kernel.kept.clear()
                kernel.seen.clear()
                most = max(most, sum(map(resident_bytes, processes)) - before)
            kernel.ask("control", "interrupt_request", {})
            reply = kernel.gather(request).reply
            self.assertEqual(reply.get("ename"), "Interrupted", reply)
            self.assertLess(most, 100e6, f"{most / 1e6:.0f} MB")
            # Stopped in the middle: within what the cell prints in a second, in the quietest of three tries.
            shares = [self.stop_in_the_middle(kernel, file) for _ in range(3)]
            self.assertLess(min(shares), 1, f"stop took as long as {shares} seconds of printing")
            print(f"{N_BYTES / 1e6:.0f} MB printed, {most / 1e6:.1f} MB more memory; stopped after {shares}", flush=True)
        finally:
            kernel.close()
            context.destroy(linger=0)
            folder.cleanup()

    def stop_in_the_middle(self, kernel, file):
        """How many seconds of printing a flood went on after stop was pressed."""
        request = kernel.send(FLOOD.format(n_bytes=10**15, then="", file=file))
        kernel.wait_for(request, "stream")
        wait_until(lambda: n_printed(file) > 0)
        begun, since = n_printed(file), time.monotonic()
        while time.monotonic() - since < WATCHED_SECONDS:
            kernel.wait_for(request, "stream")
            kernel.kept.clear()
            kernel.seen.clear()
        stopped = n_printed(file)
        a_second = (stopped - begun) / (time.monotonic() - since)
        kernel.ask("control", "interrupt_request", {})
        answered = n_printed(file)
        cell = kernel.gather(request)
        self.assertEqual(cell.reply.get("ename"), "Interrupted", cell.reply)
        self.assertIn("variables are kept", cell.reply["evalue"])
        # Whoever looks for the stop button finds it when the request is answered: a cell that just looked prints once more.
        self.assertLessEqual(n_printed(file) - answered, 2 * 100_000)
        return (n_printed(file) - stopped) / a_second


if __name__ == "__main__":
    unittest.main(verbosity=2)
