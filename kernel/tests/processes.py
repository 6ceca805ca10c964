"""Processes of this machine, as tests look at them."""

import os
import time


def parents():
    """Every process and its parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    # The name before it, in parentheses, may hold anything.
                    found[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    return found


def below(process):
    """The processes that this one has started, and those that they have."""
    all_parents = parents()
    found, new = set(), {process}
    while new:
        new = {child for child, parent in all_parents.items() if parent in new} - found
        found |= new
    return found


def command_line(process):
    """How it was started."""
    try:
        with open(f"/proc/{process}/cmdline") as words:
            return words.read().replace("\0", " ")
    except OSError:
        return ""


def with_variable(name, value):
    """The processes in whose environment a variable has this value."""
    found = []
    for process in parents():
        try:
            with open(f"/proc/{process}/environ", "rb") as environment:
                if f"{name}={value}".encode() in environment.read().split(b"\0"):
                    found.append(process)
        except OSError:
            pass
    return found


def is_alive(process):
    """Does it run? One that has ended and that nobody waited for does not."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until_gone(test, processes, seconds=60):
    """Fails where one of them still runs after a long while."""
    deadline = time.time() + seconds
    while left := [process for process in processes if is_alive(process)]:
        test.assertLess(time.time(), deadline, f"these still run: {left}")
        time.sleep(0.05)
