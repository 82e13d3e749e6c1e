"""What no form of ours sends: the desk's pages refuse it or know nothing by it, and never fail."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from django.test import Client
from django.urls import reverse

from desk.pages.acting import minor_of
from tests.desk.test_two_people import OPENING, SUSPENSE, asked, slip  # noqa: F401  (fixtures)

STRANGE = ["²", "٣", "9" * 30, "9" * 5000, "\0", "a\0b", "-1", "1e9", "𝟘", "0001-01-01", "9999-12-31", "%s"]
ASKED_FOR = {
    "admin:desk_case_changelist": ("page", "owner", "text", "kind", "state", "order", "late"),
    "admin:desk_trail": ("before", "text", "actor", "action", "since", "until"),
    "admin:desk_trail_export": ("text", "since", "until", "format"),
    "admin:desk_approvals": ("page", "kind", "show"),
}


@pytest.fixture
def root(desk):
    client = Client(raise_request_exception=False)
    client.force_login(desk.people["root"])
    return client


@pytest.mark.parametrize("where", ASKED_FOR)
def test_strange_questions(root, where):
    for text in STRANGE:
        answer = root.get(f"{reverse(where)}?{urlencode(dict.fromkeys(ASKED_FOR[where], text))}")
        assert answer.status_code < 500, text[:20]
        assert ("\0" in text) == (answer.status_code == 400), text[:20]


@pytest.mark.parametrize("text", STRANGE)
def test_strange_cases(root, text):
    assert root.get(f"/admin/desk/case/{quote(text)}/change/").status_code in (302, 400, 404)


@pytest.mark.parametrize("text", STRANGE)
def test_strange_deeds(root, asked, slip, text):  # noqa: F811
    sent = {"way": "book_entry", "in-debit": text, "in-credit": text, "in-amount": text, "typed": text}
    sent |= {
        "reason": f"why {text}",
        "fingerprint": text,
        "key": text,
        "from": text,
        "to": text,
        "case": text,
    }
    sent |= {"decision": "reject", "owner": text, "query": text, "note": text, "name": text}
    deeds = [("resolve", slip.pk), ("note", slip.pk), ("approval", asked.pk)]
    for name, key in (*deeds, ("assign", None), ("save_view", None)):
        address = reverse(f"admin:desk_{name}", args=[] if key is None else [key])
        assert root.post(address, sent).status_code == (400 if "\0" in text else 302), name


@pytest.mark.parametrize("text", ["Infinity", "-Infinity", "NaN", "sNaN", "1e999999", "1_0", "٣", "-5", ""])
def test_what_is_no_amount(text):
    assert minor_of(text, "CNY") is None


def test_what_is_an_amount():
    assert [minor_of(one, "CNY") for one in ("1,280.00", "¥5", "0.01", "7.", "0.001")] == [
        *(128_000, 500, 1, 700, None),
    ]


@pytest.mark.parametrize("amount", ["9" * 30, "1" + "0" * 18])
def test_an_entry_that_no_ledger_holds_is_refused(desk, slip, amount):  # noqa: F811
    from desk.acts import CannotBeDone

    with pytest.raises(CannotBeDone, match="bad_amount"):
        desk.preview(slip, "book_entry", debit=OPENING, credit=SUSPENSE, amount=amount)


WORSE = [
    {},
    [],
    "x",
    None,
    {"resolution": "a\0b"},
    {"reason": []},
    {"typed_minor": 10**40},
    {"inputs": {"entry": 5}},
]
WORSE += [
    {"amount_minor": 10**40, "reason": "why not", "tickets": ["x" * 99]},
    {"upheld": "yes"},
    {"payment": 1},
]


def test_strange_requests_to_the_api(root, asked, slip):  # noqa: F811
    whole = {"resolution": "book_entry", "fingerprint": "f", "reason": "why not", "typed_minor": 10**40}
    whole |= {"inputs": {"debit": OPENING, "credit": SUSPENSE, "amount": "9" * 199}}
    case, nobody = f"cases/{slip.number}", "requests/" + "9" * 30
    deeds = [f"{case}/preview", f"{case}/resolve", f"{case}/requests", "cases/x/preview", "disputes"]
    deeds += [
        f"{nobody}/approve",
        f"{nobody}/reject",
        f"requests/{asked.pk}/reject",
        "disputes/9999999999999/decide",
    ]
    deeds += ["orders/K1/refund-requests", "shows/none/cancellation-requests"]
    for number, (deed, body) in enumerate((deed, body) for deed in deeds for body in [*WORSE, whole]):
        answer = root.post(
            f"/api/v1/desk/{deed}",
            body,
            content_type="application/json",
            headers={"Idempotency-Key": f"k{number}"},
        )
        assert 400 <= answer.status_code < 500, (deed, body, answer.content)
