"""
Where the embedded services live: computed from the checkout's path, so that settings may ask before they run.

Two checkouts, or two users in one checkout, get different places and never meet.
"""

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# Socket paths end at 107 bytes on Linux, so the sockets cannot live below a checkout of any depth.
SOCKET_ROOT = Path("/tmp")  # noqa: S108 - the directory below it is checked to be ours before it is used
PRIVATE_ROOT = Path("/var/tmp")  # noqa: S108 - likewise


class Unsafe(Exception):
    """A directory that must be ours belongs to somebody else, or others may write into it."""


@dataclass(frozen=True, slots=True)
class Paths:
    """All places of one set of services; `token` is unique to it and stands on every command line."""

    token: str
    state: Path
    """State file, lock and logs."""
    sockets: Path
    data: Path
    """Parent of both data directories; elsewhere than `state` only if the servers' user cannot get there."""
    private: Path
    """Where data and a copy of the server go when the checkout cannot be reached by the servers' user."""

    @property
    def postgres_sockets(self) -> Path:
        return self.sockets / "pg"

    @property
    def postgres_data(self) -> Path:
        return self.data / "postgres" / "data"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "kv" / "valkey.sock"

    @property
    def valkey_data(self) -> Path:
        return self.data / "valkey"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def record(self) -> Path:
        return self.state / "devservices.json"

    @property
    def lock(self) -> Path:
        return self.state / "devservices.lock"


def paths(root: Path | None = None) -> Paths:
    """The places for the checkout at `root` (this one by default). Creates nothing."""
    wanted = _wanted_state(root)
    token = f"kaipiao-{os.getuid()}-{hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]}"
    private = PRIVATE_ROOT / token
    state = wanted if _is_ours(wanted) else private
    data = state if _can_enter(state, server_user()) else private
    return Paths(token=token, state=state, sockets=SOCKET_ROOT / token, data=data, private=private)


def _wanted_state(root: Path | None) -> Path:
    configured = os.environ.get("KAIPIAO_DEV_DIR") if root is None else None
    return Path(configured).resolve() if configured else (root or CHECKOUT).resolve() / ".dev"


def _is_ours(directory: Path) -> bool:
    """
    Whether we own the directory or may make it. Another user's is left alone, also by root.

    Otherwise a `sudo make test` would leave root's files in a user's checkout.
    """
    try:
        return directory.stat().st_uid == os.getuid()
    except FileNotFoundError:
        parent = next(up for up in directory.parents if up.exists())
        return os.access(parent, os.W_OK | os.X_OK)
    except PermissionError:
        return False


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who the servers run as. Postgres refuses to be root, so root steps down to one that owns nothing."""

    uid: int
    gid: int
    stepped_down: bool


def server_user() -> ServerUser:
    """Ourselves, or `nobody` when we are root."""
    if os.getuid() != 0:
        return ServerUser(uid=os.getuid(), gid=os.getgid(), stepped_down=False)
    account = pwd.getpwnam("nobody")
    return ServerUser(uid=account.pw_uid, gid=account.pw_gid, stepped_down=True)


def can_run(binary: Path, user: ServerUser) -> bool:
    """Whether `user` can reach and execute this file."""
    return _can_enter(binary.parent, user) and _may(binary, user, want=5)


def _can_enter(directory: Path, user: ServerUser) -> bool:
    if not user.stepped_down:
        return True
    chain = [directory, *directory.parents]
    return all(_may(step, user, want=1) for step in chain if step.exists())


def _may(path: Path, user: ServerUser, *, want: int) -> bool:
    """Compare permission bits (4 read, 2 write, 1 execute) as the kernel would for this user."""
    facts = path.stat()
    if facts.st_uid == user.uid:
        bits = facts.st_mode >> 6
    elif facts.st_gid == user.gid:
        bits = facts.st_mode >> 3
    else:
        bits = facts.st_mode
    return bits & want == want


def make_private(directory: Path) -> None:
    """
    Make `directory` ours alone, or only passable when the servers run as another user.

    :raises Unsafe: somebody made it before us, in a place where anybody may make directories
    """
    mode = 0o711 if server_user().stepped_down else 0o700
    directory.mkdir(mode=mode, exist_ok=True)
    facts = directory.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise Unsafe(f"{directory} is not our own directory; remove it, or set KAIPIAO_DEV_DIR to move ours")
    directory.chmod(mode)  # The umask may have taken bits away, or an earlier owner of this path given some.


def make_for_server(directory: Path) -> None:
    """Make `directory` for the servers' user alone."""
    user = server_user()
    directory.mkdir(mode=0o700, exist_ok=True)
    if user.stepped_down:
        os.chown(directory, user.uid, user.gid)
    directory.chmod(0o700)


def _make_state(directory: Path) -> None:
    """Like `make_private`, but a directory that somebody chose keeps the mode that it has."""
    if not directory.exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        make_private(directory)
    if directory.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unsafe(f"{directory} can be written by others; choose a directory of our own")


def make_places(where: Paths) -> None:
    """
    Make every directory that the servers need.

    :raises Unsafe: another user sits on one of the shared places
    """
    if where.private in (where.state, where.data):
        make_private(where.private)
    _make_state(where.state)
    make_private(where.sockets)
    where.log.mkdir(exist_ok=True)
    for directory in (
        where.postgres_sockets,
        where.valkey_socket.parent,
        where.postgres_data.parent,
        where.valkey_data,
    ):
        make_for_server(directory)
