"""As whom the embedded servers run: PostgreSQL refuses to be root, and the project folder may be root's alone."""

from __future__ import annotations

import enum
import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kontext.embedded import launch
from kontext.embedded.errors import EmbeddedServerError

UNPRIVILEGED_USERS = ("postgres", "nobody")


class Manner(enum.Enum):
    """How a server of ours sheds root."""

    SAME = "same"
    DROP = "drop"
    NAMESPACE = "namespace"


@dataclass(frozen=True)
class Identity:
    """The user that a server runs as, and the user that must own its folders as the parent sees them."""

    manner: Manner
    uid: int
    gid: int

    @property
    def owner(self) -> tuple[int, int]:
        return (self.uid, self.gid) if self.manner is Manner.DROP else (os.getuid(), os.getgid())

    def command(self, program: list[str], *, dies_with: int | None, death_signal: signal.Signals) -> list[str]:
        """Return the command that becomes `program` as this user and gets `death_signal` when `dies_with` is gone."""
        command = [sys.executable, "-I", "-S", launch.__file__]
        if dies_with is not None:
            command += [f"--parent={dies_with}", f"--signal={int(death_signal)}"]
        if self.manner is not Manner.SAME:
            command += [f"--uid={self.uid}", f"--gid={self.gid}"]
        if self.manner is Manner.NAMESPACE:
            command.append("--namespace")
        return [*command, "--", *program]


def choose_identity(*, data_dir: Path, program: Path) -> Identity:
    """Choose the first manner that works here.

    An ordinary user runs the servers as themselves. Root drops to an unprivileged user if that one can enter the data
    folder and execute the program. Else (a checkout in /root, say) the server runs in a user namespace that shows it an
    unprivileged user while the kernel keeps treating its files as root's: no capability is left to it, and no folder's
    permissions had to be opened. Where the kernel forbids that too (a container's seccomp profile), the operator must
    choose a data folder and an installation that an unprivileged user can enter.
    """
    if os.getuid() != 0:
        return Identity(Manner.SAME, os.getuid(), os.getgid())
    account = _unprivileged_account()
    dropped = Identity(Manner.DROP, account.pw_uid, account.pw_gid)
    if _can_run(dropped, program) and _can_enter(dropped, data_dir):
        return dropped
    namespaced = Identity(Manner.NAMESPACE, account.pw_uid, account.pw_gid)
    if _can_run(namespaced, program):
        return namespaced
    raise EmbeddedServerError(
        f"PostgreSQL can't run as root, user {account.pw_name} can't enter {data_dir} or run {program}, and user "
        "namespaces are forbidden here: run as an ordinary user, move the installation and KONTEXT_DATA_DIR "
        "to a folder that others may enter (such as /srv/kontext), or set DATABASE_URL and REDIS_URL to other servers"
    )


def make_private_folder(folder: Path, identity: Identity) -> None:
    """Make a folder that only the server's user may enter; refuse one that belongs to somebody else (shared /tmp)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid not in {os.getuid(), identity.owner[0]}:
        raise EmbeddedServerError(
            f"{folder} belongs to another user: remove it or set KONTEXT_DATA_DIR to another folder"
        )
    if (found.st_uid, found.st_gid) != identity.owner and os.getuid() == 0:
        os.chown(folder, *identity.owner)
    if found.st_mode & 0o777 != 0o700:
        folder.chmod(0o700)


def _unprivileged_account() -> pwd.struct_passwd:
    for name in UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedServerError(
        "no unprivileged user found to run PostgreSQL as: create one named postgres, or don't run as root"
    )


def _can_enter(identity: Identity, folder: Path) -> bool:
    test = shutil.which("test") or "/usr/bin/test"
    return _succeeds(identity, (test, "-x", str(folder)))


def _can_run(identity: Identity, program: Path) -> bool:
    return _succeeds(identity, (str(program), "--version"))


@functools.cache
def _succeeds(identity: Identity, program: tuple[str, ...]) -> bool:
    command = identity.command(list(program), dies_with=None, death_signal=signal.SIGTERM)
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0
