"""A store that stays silent costs one question its timeout, whatever kind of question it is."""

import socket

import pytest

from basis import fast


@pytest.fixture
def silent(tmp_path, settings):
    """Somebody takes every connection and says nothing."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "silent.sock"))
        server.listen(16)
        settings.REDIS_URL, settings.REDIS_TIMEOUT_S = f"unix://{tmp_path}/silent.sock", 0.05
        fast.store.cache_clear()
        yield
        fast.store.cache_clear()


@pytest.mark.parametrize("first", ["a command", "a pipeline"])
def test_after_one_silence_nobody_asks_for_a_while(silent, first):
    def command():
        fast.store().get("a")

    def pipeline():
        pipe = fast.store().pipeline(transaction=False)
        pipe.get("a")
        pipe.execute()

    asked = [command, pipeline] if first == "a command" else [pipeline, command]
    with pytest.raises(fast.FastStoreAway, match="Timeout"):
        asked[0]()
    for ask in asked:
        with pytest.raises(fast.FastStoreAway, match="a moment ago"):
            ask()
