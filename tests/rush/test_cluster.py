"""The rush on a real Redis Cluster of three nodes: every script stays on the node of its hash tag."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import httpx2
import pytest
from django.utils import timezone

from basis import fast
from operations import edge as edges
from risk import pacing, refusals, room_answers, signing, steering, waiting_room
from risk.room_models import Room
from tests.edge.conftest import free_port
from tests.needs import needed
from tests.rush import nodes
from tests.rush.test_edge import BODY, ORDERS, pass_for
from ticketing.models import Order, Ticket
from ticketing.rush import keys, submission


@pytest.fixture
def cluster(tmp_path, settings, transactional_db):
    with nodes.running(tmp_path, masters=3, replicas=1) as running:
        settings.REDIS_URL = running.url
        fast.store.cache_clear()
        yield running
        fast.store.cache_clear()


def test_a_rush_over_three_nodes(cluster, show, clock, crowd):
    from tests.rush.conftest import Rush

    people = crowd(18, cash=400_000)
    rush = Rush(show, clock).warm()
    tiers = list(show.tiers.order_by("pk"))
    given = []
    for i, person in enumerate(people):
        tier = tiers[i % len(tiers)].pk
        number = submission.submit(
            tier_id=tier, buyer_id=person.pk, client_key="k", quantity=1 + i % 2, now=clock()
        )
        given.append((person, tier, number))
    assert len({cluster.owner(slot_of(keys.sale(tier.pk))).port for tier in tiers}) > 1, "all on one node"
    rush.turn()
    for person, tier, number in given:
        told = submission.status(tier, number, buyer_id=person.pk)
        assert told["state"] == "held"
        rush.tier = next(one for one in tiers if one.pk == tier)
        rush.press(person, number, told["payment_token"])
    rush.turn()
    results = [json.loads(fast.store().get(keys.payment(tier, number))) for _, tier, number in given]
    assert {result["state"] for result in results} == {"paid"}
    assert Ticket.objects.count() == 27


# -- the edge ----------------------------------------------------------------------------------------------------------
PROBE = """
        location = /slots { content_by_lua_block {
            ngx.req.read_body()
            for key in string.gmatch(ngx.req.get_body_data(), "[^\\n]+") do ngx.say(require("slots").of(key)) end
        } }
        location = /limited {
            access_by_lua_block { require("limit").check() }
            content_by_lua_block { ngx.print("passed") }
        }
"""
LIMIT = 20


@pytest.fixture
def edge(cluster, tmp_path):
    if edges.missing():
        needed(" ".join(edges.missing()), "the edge is tested with a real nginx")
    tmp_path.chmod(0o755)
    listen = f"127.0.0.1:{free_port()}"
    one = edges.Edge(
        state=tmp_path / "edge",
        listen=listen,
        upstream=f"127.0.0.1:{free_port()}",  # nobody
        redis_url=cluster.url,
        limits=edges.usual_limits(reads=LIMIT, writes=0),
        extra=PROBE,
    )
    edges.start(one)
    yield httpx2.Client(base_url=one.url, timeout=5, trust_env=False)
    log = (one.state / "error.log").read_text()
    edges.stop(one.state)
    assert "lua entry thread aborted" not in log, log


@pytest.fixture
def rush(show, clock, cluster):
    from tests.rush.conftest import Rush

    clock.now = timezone.now()
    return Rush(show, clock).warm()


def slot_of(key: str) -> int:
    return int(fast.store().keyslot(key))


def test_slots_are_counted_as_the_store_counts_them(edge):
    asked = [
        "",
        "a",
        "123456789",
        "{}a",
        "a{b}c",
        "a{b}{c}",
        "{a",
        "a}b{",
        "room:{show:gala}:1:7",
        "票{座}位",
    ]
    asked = [f"k{i}{key}" for i, key in enumerate(asked)] + [f"rush:{{tier:{i}}}:sale" for i in range(200)]
    told = edge.post("/slots", content="\n".join(asked).encode()).text.split()
    assert [int(one) for one in told] == [slot_of(key) for key in asked]


def submit(edge, buyer, key="k"):
    given = {"Idempotency-Key": key, "Admission-Pass": pass_for(buyer, nonce=f"n{buyer.pk}")}
    return edge.post(ORDERS, json=BODY, headers=given)


def bought(edge, rush, buyer, key="k"):
    """The whole way through the edge."""
    where = submit(edge, buyer, key).headers["Location"]
    rush.turn()
    held = edge.get(where).json()
    assert held["state"] == "held", held
    assert edge.post(f"{where}/payment", json={"token": held["payment_token"]}).status_code == 202
    rush.turn()
    return edge.get(f"{where}/payment").json()["state"]


def test_a_sale_through_the_edge_over_three_nodes(edge, cluster, rush, crowd):
    lin, wei = crowd(2, cash=400_000)
    # The queue.
    waiting_room._epochs.clear()
    now = timezone.now()
    Room.objects.create(show="small", opens_at=now + timedelta(minutes=5), pace_min=100)
    steering.open_room(show="small", actor="ops", now=now)
    standing = waiting_room.join(show="small", buyer_id=lin.pk, now=now)
    number = {"Queue-Number": signing.sign_number(waiting_room.number_of("small", lin.pk, standing))}
    queue = "/api/v1/shows/small/queue"
    assert edge.get(queue, headers=number).json()["status"] == "waiting"
    pacing.step(show="small", stock=pacing.Stock(100, 0, 0, 0), now=timezone.now())
    time.sleep(0.15)
    told = edge.get(queue, headers=number).json()
    assert (told["status"], told["number"]) == ("admitted", 1)
    standing = waiting_room.poll(show="small", buyer_id=lin.pk, now=timezone.now())
    assert told["pass"] == room_answers.of("small", lin.pk, standing, now=timezone.now())["pass"]
    # The rush.
    assert bought(edge, rush, lin) == "paid"
    assert submit(edge, lin, key="again").json()["code"] == "pass_used"
    assert bought(edge, rush, wei) == "paid"
    # The limiter, and what was refused.
    passed = [edge.get("/limited").status_code for _ in range(LIMIT + 10)]
    assert passed.count(200) <= 2 * LIMIT
    assert 429 in passed
    nodes.until(lambda: refusals.told("small", hours=0, now=timezone.now())["pass_used"] == 1, 5)
    assert Ticket.objects.count() == 4


def test_a_slot_that_moves_is_followed(edge, cluster, rush, crowd):
    lin, wei, mei = crowd(3, cash=400_000)
    slot = slot_of(keys.sale(rush.tier.pk))
    source = cluster.owner(slot)
    target = next(node for node in cluster.masters if node is not source)
    where = submit(edge, lin).headers["Location"]
    cluster.begin_to_move(slot, source, target)
    assert edge.get(where).json()["state"] == "queued"  # ASK
    assert source.ask("COUNTKEYSINSLOT", slot) == 0
    # Half of a script's keys are not made yet, so no node can run it while the slot is on its way.
    halted = submit(edge, wei)
    assert (halted.status_code, halted.headers["Retry-After"]) == (503, "1")
    cluster.end_move(slot, source, target)
    assert submit(edge, wei).status_code == 202  # MOVED
    assert edge.get(where).json()["state"] == "queued"
    fast.store.cache_clear()
    rush.turn()
    assert edge.get(where).json()["state"] == "held"
    assert bought(edge, rush, mei) == "paid"
    assert Order.objects.count() == 3


def test_a_slot_that_moves_as_a_whole_halts_nobody(edge, cluster, rush, crowd):
    people = crowd(24, cash=400_000)
    slot = slot_of(keys.sale(rush.tier.pk))
    source = cluster.owner(slot)
    target = next(node for node in cluster.masters if node is not source)
    accepted = [submit(edge, people[0]).json()["order"]]
    has_moved = cluster.move_whole(slot, source, target)
    for buyer in people[1:]:
        # There is no half of it on its way, so every submission comes through; when repeated with its key, where the
        # last step took a busy machine longer than the edge waits.
        nodes.until(lambda buyer=buyer: submit(edge, buyer).status_code == 202)
        accepted.append(submit(edge, buyer).json()["order"])
    nodes.until(has_moved)
    assert source.ask("COUNTKEYSINSLOT", slot) == 0
    assert [entry["n"] for _, entry in target.client.xrange(keys.orders(rush.tier.pk))] == accepted
    fast.store.cache_clear()
    rush.turn()
    assert Order.objects.count() == len(set(accepted)) == len(people)


def test_a_node_that_dies_is_replaced(edge, cluster, rush, crowd):
    """Its replica takes over; the edge finds it by itself, and what lies on other nodes goes on meanwhile."""
    lin, *others = crowd(12, cash=400_000)
    lost = cluster.masters[0]
    tiers = {tier.code: tier for tier in rush.show.tiers.all()}
    here = [code for code, tier in tiers.items() if cluster.owner(slot_of(keys.sale(tier.pk))) is lost]
    there = [code for code in tiers if code not in here]
    assert here, "no tier on the node that dies"
    assert there, "no tier on the others"
    headers = {"Idempotency-Key": "k"}

    def ask(buyer, tier):
        given = headers | {"Admission-Pass": pass_for(buyer, nonce=f"n{buyer.pk}")}
        return edge.post(ORDERS, json=BODY | {"tier": tier, "quantity": 1}, headers=given)

    assert ask(lin, here[0]).status_code == 202
    lost.kill()
    answers = [ask(other, there[0]).status_code for other in others[:4]]
    refused = ask(others[5], here[0])
    assert (refused.status_code, bool(refused.headers.get("Retry-After"))) == (503, True)
    assert answers == [202] * 4
    nodes.until(lambda: ask(others[5], here[0]).status_code == 202, 15)
    fast.store.cache_clear()
    rush.turn()
    assert {order.tier.code for order in Order.objects.all()} == {here[0], there[0]}
    assert Order.objects.filter(buyer_id=others[5].pk).count() == 1  # the same key, asked again and again


def test_a_cluster_that_is_away_is_a_store_that_is_away(tmp_path, settings, rush, crowd, clock):
    """Reads stay open, orders close or come the slow way, and nobody sees an error that is not one of ours."""
    from risk import limiter

    (lin,) = crowd(1)
    rule = limiter.Rule("buyer", "7", 9)
    with nodes.running(tmp_path, masters=3, replicas=0) as running:
        settings.REDIS_URL = running.url
        fast.store.cache_clear()
        assert limiter.ask("small", [rule], open_if_away=False).passed
        for node in running.masters:
            node.kill()
        for _known_before in (True, False):
            assert limiter.ask("small", [rule], open_if_away=True).passed
            assert limiter.ask("small", [rule], open_if_away=False).refused_by == "store_away"
            refusals.count("small", {"busy": 1}, now=clock())
            assert not refusals.told("small", hours=1, now=clock())
            with pytest.raises(fast.FastStoreAway):
                rush.submit(lin)
            fast.store.cache_clear()
