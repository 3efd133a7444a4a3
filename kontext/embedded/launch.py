"""Become another program that dies with the process that started it, optionally as another user.

Run as a script, with the standard library only, before the real program: `python launch.py [options] -- program …`.
It does in the child what `preexec_fn` would do, which is unsafe in a parent with threads, and it keeps the process ID.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def main(arguments: list[str]) -> None:
    options = _parse(arguments)
    if options.namespace:
        enter_user_namespace(options.uid, options.gid)
    elif options.uid is not None:
        os.setgroups([])
        os.setgid(options.gid)
        os.setuid(options.uid)
    if options.parent is not None:
        die_with_parent(options.parent, signal.Signals(options.signal))
    os.execv(options.program[0], options.program)  # noqa: S606 (no shell is the point)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, help="process ID of the parent to die with")
    parser.add_argument("--signal", type=int, default=int(signal.SIGTERM), help="what to receive when it dies")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--namespace", action="store_true", help="map uid and gid in a user namespace of its own")
    parser.add_argument("program", nargs="+")
    return parser.parse_args(arguments)


def die_with_parent(parent: int, signum: signal.Signals) -> None:
    """Ask the kernel for a signal at the parent's death; to be called last, a change of user would undo it."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit("the parent process died before its child could start")


def enter_user_namespace(uid: int, gid: int) -> None:
    """Appear as uid and gid to ourselves while the files stay those of the real user (user_namespaces(7))."""
    real_uid, real_gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) failed")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {real_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {real_gid} 1")


if __name__ == "__main__":
    main(sys.argv[1:])
