"""A cell that prints more than anybody reads: memory stays bounded and stop works."""

import os
import unittest

import zmq
from harness import Kernel
from processes import below

# More than all buffers between a cell and a client hold.
N_BYTES = int(os.environ.get("DIABOLO_TEST_FLOOD", "1000000000"))

FLOOD = """let stop: std::path::PathBuf = std::path::Path::new(&std::env::var("DIABOLO_KERNEL").unwrap()).join("interrupt");
let line = "x".repeat(999);
let mut n_bytes: u64 = 0;
println!("begin of the flood");
std::thread::sleep(std::time::Duration::from_millis(500));
while !stop.exists() && n_bytes < {n_bytes} {{ for _ in 0..100 {{ println!("{{line}}"); n_bytes += 1000; }} }}
println!("end of the flood");
{then}"""

# Goes on until stop, so that the test knows when the flood is over.
WAIT = "while !stop.exists() { std::thread::sleep(std::time::Duration::from_millis(5)); }"


def resident_bytes(process):
    """The memory of a process, without what it shares with files."""
    with open(f"/proc/{process}/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("RssAnon"))


class FloodTest(unittest.TestCase):
    def test_a_flood_before_a_sleeping_client_takes_little_memory_and_stops(self):
        kernel = Kernel()
        context = zmq.Context()
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
            request = kernel.send(FLOOD.format(n_bytes=N_BYTES, then=WAIT))
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
            # Stopped in the middle, before it had printed all.
            request = kernel.send(FLOOD.format(n_bytes=10**15, then=""))
            kernel.wait_for(request, "stream")
            kernel.ask("control", "interrupt_request", {})
            cell = kernel.gather(request)
            self.assertEqual(cell.reply.get("ename"), "Interrupted", cell.reply)
            self.assertIn("variables are kept", cell.reply["evalue"])
            print(f"{N_BYTES / 1e6:.0f} MB printed, {most / 1e6:.1f} MB more memory", flush=True)
        finally:
            kernel.close()
            context.destroy(linger=0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
