"""A transfer in the books, and what has become of it by now."""

from __future__ import annotations

import time

from payments.sandbox.books import Books, Row

TO_ACCOUNT, TO_CARD = "TRANS_ACCOUNT_NO_PWD", "TRANS_BANKCARD_NO_PWD"
COMES_BACK_S = 2.0


def find(books: Books, number: str, time_factor: float) -> Row | None:
    """The transfer with its present `state`, in Alipay's words."""
    found = books.one("SELECT * FROM transfers WHERE number = ?", number)
    return found and found | {"state": state_of(found, time_factor)}


def state_of(transfer: Row, time_factor: float) -> str:
    """What becomes of it stands in the payee's account (payments.sandbox.alipay_transfers)."""
    since = time.time() - transfer["done_at"]
    if since < 0:
        return "DEALING"
    if transfer["product"] == TO_CARD and transfer["account"].endswith("0001"):
        return "FAIL"
    return "REFUND" if comes_back(transfer) and since >= COMES_BACK_S / time_factor else "SUCCESS"


def comes_back(transfer: Row) -> bool:
    return bool(transfer["product"] == TO_CARD and transfer["account"].endswith("0002"))
