"""
A statement's file as it came: bare, gzipped, or in a zip with its summary. Nothing is unpacked to memory or disk; every
damage is found by reading to the end.

Alipay's zips name their members in GBK without saying so; members are told apart by what is in them, never by name.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from payments.statements.shape import Refused

LINE_BYTES_MAX = 1 << 16
BYTES_MAX = 4 << 30
MEMBERS_MAX = 16
HEAD_BYTES, HEAD_LINES = 1 << 13, 8
BUFFER = 1 << 17
# What the readers of archives raise at bytes that no writer wrote; a ValueError also for names, lengths and offsets.
DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError),
)
# No channel packs otherwise, and the other ways of packing fail each in a manner of its own.
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Text:
    """One text of an archive. `opened` gives its bytes from the beginning each time."""

    name: str
    opened: Callable[[], BinaryIO]
    encoding: str
    head: tuple[str, ...]
    checksum: int = 0  # as a zip tells it of each of its members

    def numbered(self) -> Iterator[tuple[int, str]]:
        """
        The lines, read as they are asked for.

        :raises Refused: the archive is damaged, or a line is too long or not text
        """
        number, size = 0, 0
        with closing(self.opened()) as stream:
            while True:
                try:
                    raw = stream.readline(LINE_BYTES_MAX)
                except DAMAGES as error:
                    raise Refused(number + 1, "damaged", str(error)[:80]) from error
                if not raw:
                    return
                number, size = number + 1, size + len(raw)
                if len(raw) == LINE_BYTES_MAX or size > BYTES_MAX:
                    raise Refused(number, "too_large")
                try:
                    text = raw.decode(self.encoding)
                except UnicodeDecodeError as error:
                    raise Refused(number, "encoding", self.encoding) from error
                yield number, text.rstrip("\r\n").removeprefix(BOM) if number == 1 else text.rstrip("\r\n")


def texts(file: BinaryIO) -> list[Text]:
    """
    The texts in `file`, which must be seekable and stay open while they are read.

    :raises Refused: it is empty or damaged
    """
    file.seek(0)
    magic = file.read(4)
    if not magic:
        raise Refused(0, "empty")
    try:
        if magic == b"PK\x03\x04":
            return _of_zip(file)
        return [_text("", _gunzipped(file) if magic[:2] == b"\x1f\x8b" else _bare(file))]
    except DAMAGES as error:
        raise Refused(1, "damaged", str(error)[:80]) from error


def _of_zip(file: BinaryIO) -> list[Text]:
    archive = zipfile.ZipFile(file)
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MEMBERS_MAX or any(member.compress_type not in PACKED for member in members):
        raise Refused(0, "foreign", f"{len(members)}")
    return [_text(_name(member), _unzipped(archive, member), member.CRC) for member in members]


def _name(member: zipfile.ZipInfo) -> str:
    """As it was meant: without the UTF-8 flag, zipfile reads names as code page 437."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("gbk")
    except UnicodeError:
        return member.filename


def _bare(file: BinaryIO) -> Callable[[], BinaryIO]:
    return lambda: _buffered(_Unclosed(file))


def _gunzipped(file: BinaryIO) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        file.seek(0)
        return _buffered(gzip.GzipFile(fileobj=file))

    return opened


def _unzipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: _buffered(archive.open(member))


def _buffered(raw: object) -> BinaryIO:
    return io.BufferedReader(raw, BUFFER)  # type: ignore[type-var]


class _Unclosed(io.RawIOBase):
    """Reads a file that belongs to somebody else, from its beginning."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)

    def readable(self) -> bool:
        return True

    def readinto(self, into: object) -> int:
        view = memoryview(into)  # type: ignore[arg-type]
        got = self._file.read(len(view))
        view[: len(got)] = got
        return len(got)


def _text(name: str, opened: Callable[[], BinaryIO], checksum: int = 0) -> Text:
    with closing(opened()) as stream:
        head = stream.read(HEAD_BYTES)
    encoding = "utf-8"
    try:
        head.partition(b"\n")[0].decode(encoding)
    except UnicodeDecodeError:
        encoding = "gb18030"  # GBK's superset: names of people are not bound to GBK
    lines = head.decode(encoding, errors="replace").removeprefix(BOM).split("\n")[:HEAD_LINES]
    return Text(name, opened, encoding, tuple(line.rstrip("\r") for line in lines), checksum)
