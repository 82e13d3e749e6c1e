"""The timeline says every fact that the code can record, in the order of cause and effect."""

import ast
from pathlib import Path

import pytest

from payments import checkout
from payments.models import PaymentState, RefundState
from ticketing import orders, timeline
from ticketing.models import OrderState, PriceTier

ROOT = Path(__file__).resolve().parents[2]
# What writes a lifecycle's events, or hands a reason on to what does, and the names that carry the reason.
WRITERS = {
    "move", "move_all", "begin", "close", "end", "ask", "apply_success", "settle_locked", "apply_answer", "finish",
    "request", "_end", "_note", "_write", "note_unknown", "cancel",
}  # fmt: skip
CARRIERS = {"reason", "source", "how"}
# Reasons of top-ups, which have no timeline of this kind, and of what only staff see.
ELSEWHERE = {
    "requested",
    "not_paid_in_time",
    "all_asked",
    "all_back",
    "something_came",
    "taken_in",
    "unknown_number",
    "desk",
    # of a withdrawal, which has a page of its own
    "asked_for",
    "sending",
}


def reasons_in_the_code():
    found = {}
    for app in ("payments", "ticketing"):
        for path in sorted((ROOT / app).glob("**/*.py")):
            if not {"migrations", "sandbox", "channels"} & set(path.parts):
                found |= dict.fromkeys(reasons_in(path), path.name)
    return found


def reasons_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name == "Surplus":
                yield from texts(node.args)
            if name in WRITERS:
                yield from texts(keyword.value for keyword in node.keywords if keyword.arg in CARRIERS)
        # `_seats_for_late_money` answers (seats, how).
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and path.name == "fulfil.py":
            yield from texts(node.value.elts)


def texts(nodes):
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
    ]


def test_the_search_finds_what_it_is_for():
    assert {
        "placed",
        "pressed_pay",
        "hold_over",
        "paid_late_equal_seats",
        "too_late",
        "never_opened",
        "check",
    } <= set(reasons_in_the_code())


def test_no_reason_in_the_code_lacks_a_sentence():
    said = {reason for _subject, _state, reason in timeline.SENTENCES}
    silent = {
        reason: place for reason, place in reasons_in_the_code().items() if reason not in said | ELSEWHERE
    }
    assert not silent, f"write a sentence in ticketing/timeline.py for {silent}"


@pytest.mark.parametrize(
    ("subject", "states"),
    [("order", OrderState), ("payment", PaymentState), ("refund", RefundState)],
)
def test_every_state_is_said(subject, states):
    said = {state for one, state, _reason in timeline.SENTENCES if one == subject}
    assert said == set(states.values)


def test_states_reached_for_a_channels_reasons_have_a_sentence_for_all():
    for state in ("pending", "unknown", "succeeded", "failed", "closed"):
        assert timeline.sentence("payment", state, "WHATEVER_A_CHANNEL_SAYS")
    for state in ("requested", "processing", "succeeded", "refused"):
        assert timeline.sentence("refund", state, "WHATEVER_A_CHANNEL_SAYS")


def test_sentences_hold_no_placeholder_that_is_not_given():
    words = {"amount": "¥1.00", "channel": "Alipay"}
    for (subject, _state, _reason), (_who, text) in timeline.SENTENCES.items():
        assert text % (words if subject in ("payment", "refund") else {})


def test_order_paid_from_the_wallet_reads_like_a_parcel(show, buyer, clock):
    lin = buyer("lin", cash=200_000)
    tier = PriceTier.objects.get(show=show, code="UPPER")
    order = orders.place_order(buyer=lin, client_key="k", tier_id=tier.pk, quantity=2, now=clock())
    offer = checkout.offer(kind="order", number=order.number, buyer_id=lin.pk, now=clock())
    payment = checkout.pay(
        kind="order",
        number=order.number,
        buyer_id=lin.pk,
        channel="wallet",
        token=offer.token,
        return_url="",
        now=clock(),
    )
    order.refresh_from_db()
    lines = timeline.timeline(order)
    assert [line.code for line in lines] == [
        "order.held.placed",
        "payment.created.pressed_pay",
        "payment.succeeded.wallet",
        "order.paid.paid",
        "tickets.valid.issued",
    ]
    assert [line.reference for line in lines[:4]] == [
        order.number,
        payment.number,
        payment.number,
        order.number,
    ]
    assert [line.actor for line in lines] == ["buyer", "buyer", "system", "system", "system"]
    assert all(line.text and "%(" not in line.text for line in lines)
