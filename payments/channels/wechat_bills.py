"""
WeChat Pay's statements on the wire: a signed answer with a link that lives minutes and the SHA-1 of the file, then the
file itself, gzipped and unsigned: the digest is what makes it genuine.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from datetime import date
from typing import Any, BinaryIO
from urllib.parse import urlencode

from payments.channels import bills
from payments.channels.port import Unknown
from payments.channels.wechat_answers import Refusal
from payments.channels.wire import Silence, Wire

PATHS = {
    bills.TRADE: ("/v3/bill/tradebill", {"bill_type": "ALL"}),
    bills.FUNDS: ("/v3/bill/fundflowbill", {"account_type": "BASIC"}),
}
ABSENT_CODES = frozenset({"NO_STATEMENT_EXIST"})
NOT_READY_CODES = frozenset({"STATEMENT_CREATING"})
REFUSAL_CODES = frozenset({"PARAM_ERROR", "INVALID_REQUEST", "NO_AUTH"})
BYTES_MAX = 2 << 30
TOTAL_S = 900.0
CHUNK = 1 << 20


def path(kind: str, day: date) -> str:
    where, more = PATHS[kind]
    return f"{where}?{urlencode({'bill_date': day.isoformat(), **more, 'tar_type': 'GZIP'})}"


def read_link(answer: Mapping[str, Any] | Refusal) -> bills.BillResult:
    """What a believed answer, or a refusal, says."""
    if isinstance(answer, Refusal):
        if answer.code in ABSENT_CODES:
            return bills.BillAbsent(answer.code)
        if answer.code in NOT_READY_CODES:
            return bills.BillNotReady(answer.code)
        return answer.as_declined() if answer.code in REFUSAL_CODES else Unknown(answer.code)
    url, digest = answer.get("download_url"), answer.get("hash_value")
    if not url or not digest or answer.get("hash_type") != "SHA1":
        return Unknown("incomplete_answer: download_url, hash_value")
    return bills.BillLink(str(url), str(digest).lower())


def download(
    wire: Wire, link: bills.BillLink, into: BinaryIO, *, headers: Mapping[str, str]
) -> bills.Downloaded | Unknown:
    answer = wire.save(link.url, into, headers=headers, bytes_max=BYTES_MAX, total_s=TOTAL_S)
    if isinstance(answer, Silence):
        return Unknown(answer.reason)
    if answer.status != 200:
        return Unknown(f"http_{answer.status}")
    size = into.tell()
    return bills.Downloaded(size) if _sha1(into) == link.sha1 else Unknown("wrong_sha1")


def _sha1(file: BinaryIO) -> str:
    """Of the unpacked file, read in pieces; empty when it cannot be unpacked."""
    file.seek(0)
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    except (OSError, EOFError, zlib.error):
        return ""
    return digest.hexdigest()
