#!/usr/bin/python3
"""Run a command on a terminal of its own and type lines at a prompt.

usage: ptyrun.py [--timeout S] --prompt TEXT [--line LINE]... -- COMMAND [ARG]...

Waits for the prompt before each line, then for the command to end. Everything the terminal showed
goes to standard output; the exit code is the command's (124 when the time is over).
"""
import argparse
import os
import pty
import select
import signal
import sys
import time


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--timeout", type=float, default=30)
    p.add_argument("--prompt", required=True)
    p.add_argument("--line", action="append", default=[])
    p.add_argument("command", nargs=argparse.REMAINDER)
    a = p.parse_args()
    command = a.command[1:] if a.command[:1] == ["--"] else a.command
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    seen, mark, lines = b"", 0, list(a.line)
    deadline = time.monotonic() + a.timeout
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            sys.stderr.write("\nptyrun: time is over\n")
            sys.exit(124)
        ready, _, _ = select.select([fd], [], [], min(left, 0.5))
        if ready:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            seen += data
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        at = seen.find(a.prompt.encode(), mark)
        if at >= 0 and lines:
            mark = len(seen)
            os.write(fd, lines.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status) & 255)


if __name__ == "__main__":
    main()
