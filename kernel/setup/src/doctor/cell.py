"""Starts a kernel in the current folder and runs one cell in it.

Usage: cell.py KERNEL MAX_SECONDS, the code on standard input. Prints what the cell prints; ends with 1 and the cell's
error where it fails.
"""

import sys

from jupyter_client.manager import start_new_kernel


def main():
    name, max_seconds = sys.argv[1], float(sys.argv[2])
    manager, client = start_new_kernel(kernel_name=name, startup_timeout=max_seconds)
    try:
        reply = client.execute_interactive(sys.stdin.read(), timeout=max_seconds, allow_stdin=False)["content"]
    except TimeoutError:
        sys.exit(f"the cell was not done after {max_seconds:.0f} seconds")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["status"] != "ok":
        sys.exit(f"{reply['ename']}: {reply['evalue']}")


if __name__ == "__main__":
    main()
