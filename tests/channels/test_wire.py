"""The HTTP client of the adapters: whatever the other side does, an answer or a silence comes back in bounded time."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from payments.channels.wire import ANSWER_BYTES_MAX, Answer, Silence, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mark: a\r\n\r\nhi"


@contextlib.contextmanager
def a_server(play: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that hands each raw connection to `play`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    def guarded(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            play(connection)

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def wire():
    return Wire(connect_s=0.3, read_s=0.3)


def once(answer: bytes) -> Callable[[socket.socket], None]:
    def play(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return play


def get(wire: Wire, url: str) -> Answer | Silence:
    return wire.send("GET", url, headers={})


def test_an_answer_has_status_lowered_headers_and_raw_bytes(wire):
    with a_server(once(OK)) as url:
        answer = get(wire, url)
    assert (answer.status, answer.headers["x-mark"], answer.body) == (200, "a", b"hi")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n",
    ],
)
def test_half_an_answer_is_silence(wire, answer):
    with a_server(once(answer)) as url:
        assert get(wire, url).reason.startswith("network")


def test_dripping_bytes_do_not_hold_us(wire):
    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"x")
            time.sleep(0.05)

    began = time.monotonic()
    with a_server(drip) as url:
        assert get(wire, url) == Silence("timeout: total")
    assert time.monotonic() - began < 2


def test_a_flood_is_cut_off(wire):
    def flood(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * (ANSWER_BYTES_MAX + 1))

    with a_server(flood) as url:
        assert get(wire, url) == Silence("answer_too_large")


def test_redirects_are_not_followed(wire):
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with a_server(once(moved)) as url:
        assert get(wire, url).status == 302


def test_proxies_of_the_environment_are_ignored(wire, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with a_server(once(OK)) as url:
        assert get(wire, url).status == 200


def test_connections_are_kept_and_a_closed_one_is_only_a_silence(wire):
    connections = []

    def twice(connection: socket.socket) -> None:
        connections.append(connection)
        for _ in range(2):
            if connection.recv(65536):
                connection.sendall(OK)

    with a_server(twice) as url:
        answers = [get(wire, url) for _ in range(6)]
        assert all(isinstance(answer, Answer | Silence) for answer in answers)
        assert sum(isinstance(answer, Answer) for answer in answers) >= 4
        assert len(connections) <= 4


def test_a_fork_gets_connections_of_its_own(wire):
    names = []

    def serve(connection: socket.socket) -> None:
        names.append(connection.getpeername())
        while connection.recv(65536):
            connection.sendall(OK)

    with a_server(serve) as url:
        assert get(wire, url).status == 200
        child = os.fork()
        if child == 0:
            os._exit(0 if get(wire, url).status == 200 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert get(wire, url).status == 200
        assert len(set(names)) == 2


def test_threads_get_their_own_answers(wire):
    def echo(connection: socket.socket) -> None:
        while asked := connection.recv(65536):
            name = asked.split(b" ", 2)[1].strip(b"/")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    with a_server(echo) as url, concurrent.futures.ThreadPoolExecutor(16) as crowd:
        asked = [str(number) for number in range(400)]
        told = crowd.map(lambda name: get(wire, url + name), asked)
        assert [answer.body.decode() for answer in told] == asked
