"""
A statement in several texts, read as one: a large day comes in parts, each whole in itself with its own totals, and the
payments and the refunds of a day may lie in two files of one archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from payments.statements.archive import Text
from payments.statements.shape import Expected, Format, Line, Refused


class Parts:
    """`told`, `covers` and `refunds_by` are known once `lines` is exhausted, `covers` once it has begun."""

    def __init__(self, form: Format, texts: Sequence[Text], expected: Expected) -> None:
        self._texts = texts
        self._readers = [form.reader(expected) for _ in texts]

    def lines(self) -> Iterator[Line]:
        """:raises Refused: with the part's name where there are several; lines are counted on from part to part"""
        if len(self._texts) == 1:
            yield from self._readers[0].lines(self._texts[0].numbered())
            return
        if len({text.checksum for text in self._texts}) < len(self._texts):
            raise Refused(0, "part_twice")
        before = 0
        for text, reader in zip(self._texts, self._readers, strict=True):
            last = 0
            try:
                for line in reader.lines(text.numbered()):
                    last = line.line_no
                    yield line._replace(line_no=before + last)
            except Refused as error:
                detail = f"{text.name}: {error.detail}" if error.detail else text.name
                raise Refused(error.line, error.reason, detail) from error
            before += last
        self._refuse_what_overlaps()

    @property
    def covers(self) -> list[str]:
        return sorted({kind for reader in self._readers for kind in reader.covers})

    @property
    def refunds_by(self) -> str:
        return self._readers[0].refunds_by

    @property
    def told(self) -> dict[str, Any]:
        if len(self._texts) == 1:
            return self._readers[0].told
        return {text.name: reader.told for text, reader in zip(self._texts, self._readers, strict=True)}

    def _refuse_what_overlaps(self) -> None:
        """They are parts of one list, or of payments and of refunds; a whole day beside a half says things twice."""
        covers = [set(reader.covers) for reader in self._readers]
        if any(one != other and one & other for one in covers for other in covers):
            raise Refused(0, "several")
