"""The rush through a real nginx: the same scripts, the same answers, and nothing without a signature."""

import http.client
import json
import os
import socket
import time

import pytest
from django.utils import timezone

from operations import edge as edges
from risk import gate, policy, refusals, signing, steering, switches, waiting_room
from risk.features import Features
from risk.models import LimitSetting
from risk.room_models import Room
from ticketing import api_orders
from ticketing.models import Order, Ticket
from ticketing.rush import receipts


@pytest.fixture
def edge(tmp_path, settings):
    if edges.missing():
        reason = f"not installed: {' '.join(edges.missing())}"
        pytest.fail(reason) if os.environ.get("KAIPIAO_REQUIRE_ALL") == "1" else pytest.skip(reason)
    os.chmod(tmp_path, 0o755)
    with socket.socket() as free, socket.socket() as nobody:
        free.bind(("127.0.0.1", 0))
        nobody.bind(("127.0.0.1", 0))
        listen, upstream = (f"127.0.0.1:{one.getsockname()[1]}" for one in (free, nobody))
    edge = edges.Edge(state=tmp_path / "edge", listen=listen, upstream=upstream, redis_url=settings.REDIS_URL)
    edges.start(edge)
    yield listen
    log = (tmp_path / "edge" / "error.log").read_text()
    edges.stop(edge.state)
    assert "lua entry thread aborted" not in log, log


@pytest.fixture
def ask(edge):
    def asked(method, path, body=None, **headers):
        connection = http.client.HTTPConnection(edge, timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, json.dumps(body) if body is not None else None, sent)
        answer = connection.getresponse()
        raw = answer.read()
        return answer.status, json.loads(raw), dict(answer.getheaders())

    return asked


def pass_for(buyer, show="small", nonce="n1", life_s=60):
    until = int(time.time()) + life_s
    return signing.sign_pass(signing.Pass(show, buyer.pk, 1, until, nonce))


BODY = {"show": "small", "tier": "UPPER", "quantity": 2}
ORDERS = "/api/v1/rush/orders"


@pytest.fixture
def today(rush):
    rush.clock.now = timezone.now()
    rush.turn()
    return rush


def test_submit_ask_pay(today, crowd, ask):
    (lin,) = crowd(1, cash=100_000)
    given = {"Idempotency_Key": "k1", "Admission_Pass": pass_for(lin)}
    status, told, headers = ask("POST", ORDERS, BODY, **given)
    assert (status, told["state"]) == (202, "queued")
    assert receipts.read(told["receipt"]) == receipts.Receipt(today.tier.pk, told["order"], lin.pk)
    assert ask("POST", ORDERS, BODY, **given)[1]["order"] == told["order"]
    where = headers["Location"]
    status, waiting, headers = ask("GET", where)
    assert (status, waiting["state"], headers["Retry-After"]) == (202, "queued", "1")
    assert 100 <= waiting["poll_after_ms"] <= 1000
    today.turn()
    status, held, _ = ask("GET", where)
    assert (status, held["state"], held["order"], len(held["seats"])) == (200, "held", told["order"], 2)
    assert "buyer" not in held
    assert ask("POST", where + "/payment", {"token": held["payment_token"]})[:1] == (202,)
    assert ask("GET", where + "/payment")[1]["state"] == "queued"
    today.turn()
    status, paid, _ = ask("GET", where + "/payment")
    assert (status, paid["state"]) == (200, "paid")
    assert Order.objects.get().winner == paid["payment"]
    assert Ticket.objects.count() == 2
    assert "mark" not in paid


def test_nothing_without_a_signature(today, crowd, ask):
    lin, wei = crowd(2)
    good = pass_for(lin)
    forged = good.replace(f"~{lin.pk}~", f"~{wei.pk}~")
    for bad in (forged, good[:-1], pass_for(lin, show="other"), "v1.x.y"):
        status, told, _ = ask("POST", ORDERS, BODY, Idempotency_Key="k1", Admission_Pass=bad)
        assert (status, told["code"]) == (403, "pass_needed")
    old = pass_for(lin, life_s=-5)
    assert ask("POST", ORDERS, BODY, Idempotency_Key="k1", Admission_Pass=old)[1]["code"] == "pass_used"
    receipt = ask("POST", ORDERS, BODY, Idempotency_Key="k1", Admission_Pass=good)[1]["receipt"]
    forged = receipt.replace(f"~{lin.pk}.", f"~{wei.pk}.")
    assert ask("GET", f"{ORDERS}/{forged}")[0] == 404
    assert ask("POST", f"{ORDERS}/{forged}/payment", {"token": "x"})[0] == 404


def test_starting_over_makes_the_passes_void(today, crowd, ask):
    (lin,) = crowd(1)
    waiting_room._epochs.clear()
    Room.objects.create(show="small", opens_at=timezone.now())
    steering.open_room(show="small", actor="ops", now=timezone.now())
    number = signing.QueueNumber("small", lin.pk, 1, 1)

    def submit(key):
        mine = pass_for(lin, nonce=signing.nonce_of(number))
        return ask("POST", ORDERS, BODY, Idempotency_Key=key, Admission_Pass=mine)

    assert submit("a")[0] == 202
    steering.start_over(show="small", actor="ops", now=timezone.now())
    time.sleep(0.3)  # what the edge knows of a room is a tenth of a second old
    status, told, _ = submit("b")
    assert (status, told["code"]) == (403, "pass_needed")


def test_refusals_are_those_of_django(today, crowd, ask):
    lin, wei = crowd(2)
    first = pass_for(lin)
    ask("POST", ORDERS, BODY, Idempotency_Key="a", Admission_Pass=first)
    again = ask("POST", ORDERS, BODY, Idempotency_Key="b", Admission_Pass=first)
    assert (again[0], again[1]["code"]) == (409, "pass_used")
    other = {**BODY, "quantity": 1}
    reused = ask("POST", ORDERS, other, Idempotency_Key="a", Admission_Pass=first)
    assert (reused[0], reused[1]["code"]) == (422, "idempotency_key_reused")
    many = ask(
        "POST", ORDERS, {**BODY, "quantity": 4}, Idempotency_Key="c", Admission_Pass=pass_for(lin, nonce="n2")
    )
    assert (many[0], many[1]["code"]) == (409, "limit_reached")
    too_many = {**BODY, "quantity": 99}
    bad = ask("POST", ORDERS, too_many, Idempotency_Key="d", Admission_Pass=pass_for(wei))
    assert (bad[0], bad[1]["code"]) == (400, "bad_quantity")


def test_what_the_edge_cannot_answer_goes_to_django(today, crowd, ask):
    """Here nobody is behind it: it says so, and does not guess."""
    (lin,) = crowd(1)
    assert ask("POST", ORDERS, BODY, Idempotency_Key="k1")[0] == 503
    strange = {**BODY, "wish": "aisle"}
    assert ask("POST", ORDERS, strange, Idempotency_Key="k1", Admission_Pass=pass_for(lin))[0] == 503
    nowhere = {**BODY, "tier": "NONE"}
    assert ask("POST", ORDERS, nowhere, Idempotency_Key="k1", Admission_Pass=pass_for(lin))[0] == 503
    lost = receipts.sign(receipts.Receipt(today.tier.pk, "K1M7VHRXGG8CZH9ZW9X5", lin.pk))
    assert ask("GET", f"{ORDERS}/{lost}")[0] == 503


def test_a_message_of_the_edge_is_read_like_one_of_django(today, crowd, ask):
    """Chosen seats, equal seats, a key with odd characters."""
    from ticketing.models import Seat

    (lin,) = crowd(1)
    seats = list(Seat.objects.filter(tier=today.tier).order_by("-pk").values_list("pk", flat=True)[:2])
    body = {"show": "small", "tier": "UPPER", "seats": [*seats, seats[0]], "accept_equal_seats": True}
    status, told, _ = ask("POST", ORDERS, body, Idempotency_Key="k~1{}:!", Admission_Pass=pass_for(lin))
    assert status == 202
    today.turn()
    order = Order.objects.get(number=told["order"])
    assert (order.client_key, order.accept_equal_seats, order.quantity) == ("k~1{}:!", True, 2)
    assert set(Seat.objects.filter(order=order).values_list("pk", flat=True)) == set(seats)


# -- what the edge refuses, and who hears of it ------------------------------------------------------------------------
def refused(tier="UPPER", seconds=5.0):
    """What was counted of a tier, once the edge's timer has carried something new; and of the show."""
    known = refusals.told("small", hours=0, now=timezone.now())
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        told = refusals.told("small", hours=0, now=timezone.now())
        if told != known:
            break
        time.sleep(0.05)
    return dict(refusals.told_by_tier("small", hours=0, now=timezone.now()).get(tier, {})), dict(told)


def test_a_stopped_sale_is_called_stopped(today, crowd, ask):
    (lin,) = crowd(1)
    given = {"Idempotency_Key": "k1", "Admission_Pass": pass_for(lin)}
    stop(True, today)
    status, told, headers = ask("POST", ORDERS, BODY, **given)
    assert (status, told["code"], told["retryable"]) == (503, "sale_stopped", True)
    assert int(headers["Retry-After"]) == api_orders.STOPPED_RETRY_S
    assert refused() == ({"sale_stopped": 1}, {"sale_stopped": 1})
    stop(False, today)
    assert ask("POST", ORDERS, BODY, **given)[0] == 202  # the same key and pass: nothing was used up


def stop(is_stopped, rush):
    throw = switches.stop if is_stopped else switches.resume
    throw(kind="sale", target="small", actor="ops", reason="a test", now=timezone.now())
    rush.turn()


def test_refusals_of_the_edge_are_counted_by_tier_and_reason(today, crowd, ask):
    lin, wei = crowd(2)
    assert ask("POST", ORDERS, BODY, Idempotency_Key="a", Admission_Pass=pass_for(lin))[0] == 202
    for key in "bcd":
        assert ask("POST", ORDERS, BODY, Idempotency_Key=key, Admission_Pass=pass_for(lin))[0] == 409
    ask("POST", ORDERS, BODY, Idempotency_Key="e", Admission_Pass="v1.forged.x")
    many = {**BODY, "quantity": 99}
    ask("POST", ORDERS, many, Idempotency_Key="f", Admission_Pass=pass_for(wei))
    counted = {"pass_used": 3, "pass_needed": 1, "bad_quantity": 1}
    assert refused() == (counted, counted)
    ask("POST", ORDERS, {**BODY, "show": "made-up"}, Idempotency_Key="g", Admission_Pass="v1.forged.x")
    assert ask("GET", "/api/v1/wallet")[0] == 503
    time.sleep(1.5)
    assert not refusals.told("made-up", hours=0, now=timezone.now())
    assert refusals.told_at_edge(hours=0, now=timezone.now())["unavailable"] == 1


def test_what_staff_limit_is_limited_at_the_edge_in_djangos_own_counters(today, crowd, ask):
    lin, wei = crowd(2)
    LimitSetting.objects.create(route="order", scope="buyer", limit=3, window_ms=60_000)
    policy.forget()
    today.turn()
    time.sleep(1.1)  # the edge remembers for a second that there was nothing
    features = Features(purpose="order", buyer_id=lin.pk, show="small")
    assert gate.limit(features, route="order", now=timezone.now()).outcome == gate.PASS
    wanted = {**BODY, "quantity": 1}

    def submit(buyer, key):
        nonce = f"{key}{buyer.pk}"
        return ask("POST", ORDERS, wanted, Idempotency_Key=key, Admission_Pass=pass_for(buyer, nonce=nonce))

    assert [submit(lin, key)[0] for key in "ab"] == [202, 202]
    status, told, headers = submit(lin, "c")
    assert (status, told["code"]) == (429, "too_many_requests")
    assert 0 < int(headers["Retry-After"]) <= 66
    assert (headers["RateLimit"], headers["RateLimit-Policy"]) == ('"buyer";r=0;t=60', '"buyer";q=3;w=60')
    assert gate.limit(features, route="order", now=timezone.now()).outcome == gate.LIMITED
    assert submit(wei, "c")[0] == 202
    LimitSetting.objects.all().delete()
    policy.forget()
    today.turn()
    time.sleep(1.1)
    assert submit(lin, "c")[0] == 202
