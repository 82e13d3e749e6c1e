"""Alipay's statements on the wire: a signed answer with a link that lives 30 seconds, and a zip behind it, unsigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from payments.channels import bills
from payments.channels.alipay_answers import OK, code_of, declined
from payments.channels.port import Unknown
from payments.channels.wire import Silence, Wire

METHOD = "alipay.data.dataservice.bill.downloadurl.query"
TYPES = {bills.TRADE: "trade", bills.FUNDS: "signcustomer"}
# Said when there was nothing on that day; some also before the file is written.
ABSENT_CODES = frozenset({"NO_BILL_DATA", "BILL_NOT_EXIST", "isp.bill_not_exist", "isp.no-bill-data"})
NOT_READY_CODES = frozenset({"BILL_CREATING", "BILL_NOT_READY"})
BYTES_MAX = 2 << 30
TOTAL_S = 900.0


def read_link(answer: Mapping[str, Any]) -> bills.BillResult:
    """What a believed answer says."""
    if answer.get("code") == OK:
        url = answer.get("bill_download_url")
        return bills.BillLink(str(url)) if url else Unknown("incomplete_answer: bill_download_url")
    code = str(answer.get("sub_code", ""))
    if code in ABSENT_CODES:
        return bills.BillAbsent(code)
    if code in NOT_READY_CODES:
        return bills.BillNotReady(code)
    return declined(answer) if code else Unknown(code_of(answer))


def download(
    wire: Wire, link: bills.BillLink, into: BinaryIO, *, gateway_url: str
) -> bills.Downloaded | Unknown:
    """The file lies at another host than the gateway; the signed answer vouches for the address."""
    if urlsplit(link.url).scheme not in {"https", urlsplit(gateway_url).scheme}:
        return Unknown("link_elsewhere")
    answer = wire.save(link.url, into, headers={}, bytes_max=BYTES_MAX, total_s=TOTAL_S)
    if isinstance(answer, Silence):
        return Unknown(answer.reason)
    return bills.Downloaded(into.tell()) if answer.status == 200 else Unknown(f"http_{answer.status}")
