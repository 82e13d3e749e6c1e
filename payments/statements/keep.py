"""Where a statement's file stays: as it came, under the hash of its bytes, so that keeping it twice keeps it once."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import BinaryIO

from django.core.files import File

from payments.statement_models import private_files

CHUNK = 1 << 20
ENDINGS = {b"PK\x03\x04": "zip", b"\x1f\x8b": "csv.gz"}


def digest(file: BinaryIO) -> str:
    """The SHA-256 of the file as it came, in hex."""
    file.seek(0)
    sum_ = hashlib.sha256()
    while chunk := file.read(CHUNK):
        sum_.update(chunk)
    return sum_.hexdigest()


def keep(file: BinaryIO, *, channel: str, kind: str, day: date, sha256: str) -> str:
    """Store the file and answer its name in the store."""
    file.seek(0)
    magic = file.read(4)
    ending = next((ending for sign, ending in ENDINGS.items() if magic.startswith(sign)), "csv")
    name = f"{channel}/{day:%Y/%m}/{day.isoformat()}-{kind}-{sha256[:16]}.{ending}"
    store = private_files()
    if store.exists(name):
        with Path(store.path(name)).open("rb") as kept:
            if digest(kept) == sha256:
                return name
        store.delete(name)  # who wrote it was killed half-way: no statement was loaded with it
    file.seek(0)
    return store.save(name, File(file))
