"""The process tree: what is killed comes back, and nothing outlives its supervisor."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command

from operations import devservices, edge, leash, processes
from operations.stack import Stack, StackError, remembered_ports, running_stack
from tests.needs import needed
from tests.operations import prometheus

CHECKOUT = Path(__file__).resolve().parents[2]
EXTRAS = ("drain", "pace", "edge", "pages")
PROGRAMS = ("sandbox", "web", "worker", "beat", *EXTRAS)
DATABASE = "kaipiao_stack_test"
REDIS_DB = 7
METRICS_TOKEN = "a-token-of-this-test"

# A server that starts a worker in a session of its own, as some do, and tells both pids.
FAMILY = """
import os, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(os.getpid(), orphan.pid, flush=True)
time.sleep(60)
"""


def on_leash(
    *arguments: str, grace_seconds: float = 0.5, parent: int | None = None
) -> tuple[subprocess.Popen, list]:
    listen, tell = os.pipe()
    held = [
        str(parent or os.getpid()),
        str(tell),
        str(grace_seconds),
        sys.executable,
        "-c",
        FAMILY,
        *arguments,
    ]
    holder = subprocess.Popen(
        [sys.executable, "-I", "-S", leash.__file__, *held],
        pass_fds=(tell,),
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(tell)
    family = [processes.find(int(pid)) for pid in holder.stdout.readline().split()]
    os.close(listen)
    assert len(family) == 2
    assert all(family)
    return holder, family


def test_what_a_killed_program_leaves_behind_is_killed_too():
    holder, family = on_leash()
    processes.send(family[0], signal.SIGKILL)
    assert holder.wait(5) == 128 + signal.SIGKILL
    assert processes.wait_gone(family, timeout_seconds=2)


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace():
    holder, family = on_leash("stubborn")
    before = time.monotonic()
    holder.terminate()
    holder.wait(5)
    assert 0.4 < time.monotonic() - before < 3
    assert processes.wait_gone(family, timeout_seconds=2)


def test_a_polite_program_ends_at_once():
    holder, family = on_leash(grace_seconds=30)
    before = time.monotonic()
    holder.terminate()
    holder.wait(5)
    assert time.monotonic() - before < 2
    assert processes.wait_gone(family, timeout_seconds=2)


def test_a_leash_whose_supervisor_died_before_it_could_listen_holds_on_to_nothing():
    before = set(leash.children_of(os.getpid()))
    listen, tell = os.pipe()
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    holder = subprocess.Popen(
        [sys.executable, "-I", "-S", leash.__file__, "1", str(tell), "30", *command], pass_fds=(tell,)
    )
    os.close(tell)
    with os.fdopen(listen) as told:
        child = int(told.readline())
    holder.wait(5)
    assert processes.find(child) is None
    assert set(leash.children_of(os.getpid())) == before


def test_the_end_of_the_thread_that_started_it_ends_nothing():
    made = []
    thread = threading.Thread(target=lambda: made.append(on_leash()))
    thread.start()
    thread.join()
    holder, family = made[0]
    time.sleep(0.3)
    assert all(process.is_alive() for process in family)
    holder.terminate()
    holder.wait(5)


def test_ports_are_remembered_while_they_are_free(tmp_path):
    memory = tmp_path / "ports.json"
    first = remembered_ports(memory, names=("web", "sandbox"))
    assert remembered_ports(memory, names=("web", "sandbox")) == first
    assert first["web"] != first["sandbox"]
    memory.write_text("{half")
    assert set(remembered_ports(memory, names=("web",))) == {"web"}


def test_a_record_of_a_dead_supervisor_is_no_running_stack(tmp_path):
    facts = dict.fromkeys(("url", "sandbox_url", "database_url", "redis_url", "keys_dir", "state_dir"), "x")
    record = {**facts, "pid": os.getpid(), "started": 1, "programs": {}}
    (tmp_path / "stack.json").write_text(json.dumps(record))
    assert running_stack(state_dir=tmp_path) is None


def test_emptying_needs_a_name():
    with pytest.raises(ValueError, match="name `database`"):
        Stack(fresh=True)


def test_a_program_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="no such program: drian"):
        Stack(extras=("drian",))
    with pytest.raises(CommandError, match="not drian"):
        call_command("stack", "run", extras="drian")


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    if edge.missing():
        needed(" ".join(edge.missing()), "the stack is tested with its edge")
    state_dir = tmp_path_factory.mktemp("stack")
    try:
        with Stack(
            database=DATABASE, redis_db=REDIS_DB, fresh=True, state_dir=state_dir, extras=EXTRAS,
            env={"METRICS_TOKEN": METRICS_TOKEN},
        ) as running:  # fmt: skip
            yield running
    finally:
        devservices.drop_database(DATABASE)


def get(url: str, path: str, *, timeout: float = 5.0) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.stack
def test_everything_runs_and_others_find_it(stack):
    info = running_stack(state_dir=stack.state_dir)
    assert info == stack.info()
    assert set(info.programs) == set(PROGRAMS)
    assert all(program.process().is_alive() for program in info.programs.values())
    assert info.environment()["DATABASE_URL"] == devservices.database_url(DATABASE)
    assert get(stack.url, "/livez") == 200
    assert get(stack.url, "/edge/livez") == 200
    assert get(info.web_url, "/edge/livez") == 404
    assert info.environment()["KAIPIAO_PUBLIC_URL"] == stack.url


@pytest.mark.stack
def test_a_second_stack_in_the_same_place_is_refused_and_harms_nothing(stack):
    with pytest.raises(StackError, match="another stack runs"):
        Stack(state_dir=stack.state_dir).start()
    assert running_stack(state_dir=stack.state_dir) is not None


@pytest.mark.stack
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_program_comes_back(stack, name):
    before = stack.restarts(name)
    dead = stack.kill(name)
    assert processes.wait_until(lambda: stack.restarts(name) > before, timeout_seconds=20)
    stack.wait_ready(name)
    assert stack.pid(name) not in (None, dead)
    assert running_stack(state_dir=stack.state_dir).programs[name].restarts == before + 1


@pytest.mark.stack
def test_one_dead_web_worker_is_replaced_by_the_server_itself(stack):
    before = stack.restarts("web")
    workers = leash.children_of(stack.pid("web"))
    processes.send(processes.find(max(workers)), signal.SIGKILL)
    assert processes.wait_until(
        lambda: set(leash.children_of(stack.pid("web"))) - set(workers) != set(), timeout_seconds=10
    )
    stack.wait_ready("web")
    assert stack.restarts("web") == before


@pytest.mark.stack
def test_sigterm_ends_the_web_while_clients_hang_on_to_it(stack):
    """Granian has been seen to wait for ever for idle connections; here it may take its grace and no more."""
    parts = urlsplit(stack.url)
    clients = [http.client.HTTPConnection(parts.hostname, parts.port, timeout=30) for _ in range(20)]
    for client in clients:
        client.request("GET", "/livez")
        client.getresponse().read()
    before = stack.restarts("web")
    process = processes.find(stack.pid("web"))
    began = time.monotonic()
    processes.send(process, signal.SIGTERM)
    assert processes.wait_gone([process], timeout_seconds=12), "SIGTERM did not end granian"
    print(f"granian took {time.monotonic() - began:.1f} s")
    for client in clients:
        client.close()
    assert processes.wait_until(lambda: stack.restarts("web") > before, timeout_seconds=20)
    stack.wait_ready("web")


@pytest.mark.stack
def test_a_real_prometheus_scrapes_the_running_product(stack, tmp_path):
    """With the example configuration: every metric that an alert names is there, and every rule can be judged."""
    web = urlsplit(stack.info().web_url).netloc
    named = {name for rule in prometheus.rules() for name in re.findall(r"kaipiao_\w+", rule["expr"])}
    with prometheus.server(scrapes=web, token=METRICS_TOKEN, place=tmp_path) as ask:

        def scraped():
            targets = (ask("targets") or {}).get("activeTargets", [])
            return targets and targets[0]["health"] != "unknown" and targets

        (target,) = prometheus.within(20, scraped)
        assert (target["health"], target["lastError"]) == ("up", "")
        assert target["labels"]["job"] == "kaipiao"
        # Beat gives its first sign within half a minute of its start.
        prometheus.within(20, lambda: named <= set(ask("metadata") or {}))
        assert named - set(ask("metadata")) == set()

        def judged():
            groups = (ask("rules") or {}).get("groups", [])
            shown = [rule for group in groups for rule in group["rules"]]
            return shown and all(rule["health"] != "unknown" for rule in shown) and shown

        shown = prometheus.within(20, judged)
        assert {rule["name"] for rule in shown} == {rule["alert"] for rule in prometheus.rules()}
        assert {rule["health"] for rule in shown} == {"ok"}, [rule.get("lastError") for rule in shown]
        assert [rule["name"] for rule in shown if rule["state"] == "firing"] == []


def run_command(state_dir: Path) -> tuple[subprocess.Popen, list[processes.Process]]:
    """`manage.py stack run`, and every process that hangs on it."""
    command = [
        sys.executable,
        "manage.py",
        "stack",
        "run",
        "--database",
        DATABASE,
        "--redis-db",
        str(REDIS_DB),
    ]
    supervisor = subprocess.Popen(
        [*command, "--state-dir", str(state_dir)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    for line in supervisor.stdout:
        if line.startswith("Ctrl-C"):
            break
    tree, unseen = [], [supervisor.pid]
    while unseen:
        children = leash.children_of(unseen.pop())
        tree += [processes.find(pid) for pid in children]
        unseen += children
    assert len(tree) >= 2 * len(PROGRAMS) + 2
    return supervisor, tree


@pytest.mark.stack
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_supervisor(stack, tmp_path, number):
    supervisor, tree = run_command(tmp_path)
    supervisor.send_signal(number)
    code = supervisor.wait(30)
    assert code == (-number if number == signal.SIGKILL else 0)
    assert processes.wait_gone(tree, timeout_seconds=3)
    assert running_stack(state_dir=tmp_path) is None
