"""The log: JSON lines, the request's id, and nothing about people or secrets."""

import io
import json
import logging

import pytest

from basis import events


@pytest.fixture
def lines(monkeypatch):
    """Whatever is logged through a handler of its own, as parsed JSON."""
    monkeypatch.setenv("KAIPIAO_LOG_FORMAT", "json")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(events.formatter())
    logger = logging.getLogger("tests.events")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_a_line_has_event_level_time_and_request(lines):
    mark = events.REQUEST_ID.set("req-12345678")
    events.get_logger("tests.events").info("payment.paid", payment="P0123456789ABCDEFGHJ")
    events.REQUEST_ID.reset(mark)
    (line,) = lines()
    assert line["event"] == "payment.paid"
    assert line["payment"] == "P0123456789ABCDEFGHJ"
    assert line["request_id"] == "req-12345678"
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "new_password",
        "token",
        "Authorization",
        "phone",
        "buyer_email",
        "sign",
        "private_key",
        "Cookie",
        "apiv3_key",
    ],
)
def test_a_telling_key_hides_its_value(lines, key):
    events.get_logger("tests.events").info(
        "x", **{key: "very-secret-value", "deep": {"more": [{key: "very-secret-value"}]}}
    )
    assert "very-secret-value" not in json.dumps(lines())


@pytest.mark.parametrize(
    "text",
    [
        *("13812345678", "+86 13812345678", "lin@example.com", "kp_" + "x" * 40, "Bearer abc.def"),
        *("6222021001116245702", "6222 0210 0111 6245 702", "4111111111111111", "11010519491231002X"),
    ],
)
def test_a_telling_text_is_hidden_wherever_it_stands(lines, text):
    log = events.get_logger("tests.events")
    log.info("x", note=f"called {text} twice", many=[f"<{text}>"], thing=ValueError(text))
    logging.getLogger("tests.events").warning("from a library: %s", text)
    try:
        raise RuntimeError(f"could not reach {text}")
    except RuntimeError:
        log.exception("failed")
    assert text not in json.dumps(lines(), ensure_ascii=False)
    assert len(lines()) == 3


def test_numbers_of_orders_and_harmless_words_stay(lines):
    order = "K01ABC13812345678XYZ9"
    trade = "2026112022001425451400923487"  # a channel's own number
    events.get_logger("tests.events").info(
        "order.assigned", order=order, assigned=3, design="b", timestamp_ms=1763800000000, trade=trade
    )
    (line,) = lines()
    assert line["trade"] == trade
    assert (line["order"], line["assigned"], line["design"]) == (order, 3, "b")
