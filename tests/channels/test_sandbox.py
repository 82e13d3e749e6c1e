"""The sandbox itself: it forgets nothing it ever answered, knows nothing of the product, serves one machine."""

from __future__ import annotations

import concurrent.futures
import json
import signal
import stat
import subprocess
import sys

import pytest

from payments.channels import port
from tests.channels.rig import ROOT, Sandbox, a_refund, a_trade, eventually


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "payments.sandbox", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("code", ["alipay", "wechat"])
def test_a_killed_sandbox_has_kept_every_answer(own_sandbox, code):
    channel = own_sandbox.channel(code)
    opened, paid, refunded, closed = a_trade(), a_trade(), a_trade(), a_trade()
    order = a_refund(refunded, amount_minor=100)
    for trade in (opened, paid, refunded, closed):
        own_sandbox.scan(channel.open(trade).url)
        own_sandbox.kill()
        own_sandbox.start()
        assert channel.query(trade.number) == port.Waiting()
    own_sandbox.pay(code, paid.number)
    own_sandbox.kill()
    own_sandbox.start()
    own_sandbox.pay(code, refunded.number)
    channel.refund(order)
    own_sandbox.kill()
    own_sandbox.start()
    channel.close(closed.number)
    own_sandbox.kill()
    own_sandbox.start()
    assert isinstance(channel.query(paid.number), port.Paid)
    assert not isinstance(channel.query_refund(order), port.RefundAbsent)
    assert isinstance(channel.query(closed.number), port.Closed)
    assert channel.query(opened.number) == port.Waiting()
    assert own_sandbox.control("GET", "books")["channels"][code]["net_minor"] == 2 * 38000 - 100


def test_kills_in_the_middle_of_a_crowd_lose_no_answer(own_sandbox):
    wechat = own_sandbox.wechat(read_timeout_s=1.0)
    for _ in range(3):
        trades = [a_trade() for _ in range(150)]
        with concurrent.futures.ThreadPoolExecutor(8) as crowd:
            answers = [crowd.submit(wechat.open, trade) for trade in trades]
            eventually(lambda answers=answers: sum(answer.done() for answer in answers) > 40)
            own_sandbox.kill()
        own_sandbox.start()
        told = [trade for trade, answer in zip(trades, answers, strict=True) if _started(answer)]
        assert 40 < len(told) < len(trades)
        assert all(wechat.query(trade.number) == port.Waiting() for trade in told)


def _started(answer):
    return isinstance(answer.result(), port.Started)


def test_owed_notifications_and_faults_outlive_a_kill(own_sandbox, merchant):
    wechat = own_sandbox.wechat(notify_url=merchant.url)
    merchant.channel = wechat
    own_sandbox.fault("notify_late", seconds=1.0)
    own_sandbox.fault("http_500", op="refund_query", number="KEPT", times=3)
    trade = own_sandbox.paid(wechat)
    own_sandbox.kill()
    own_sandbox.start()
    [notice] = eventually(lambda: merchant.notices)
    assert notice.payment_number == trade.number
    assert [fault["fault"] for fault in own_sandbox.control("GET", "faults")["faults"]] == ["http_500"]


def test_sigterm_ends_it_cleanly_and_soon(own_sandbox):
    assert own_sandbox.stop(signal.SIGTERM) == 0


def test_one_keeper_of_the_books(own_sandbox):
    second = run("serve", "--dir", str(own_sandbox.state), "--keys", str(own_sandbox.keys))
    assert second.returncode == 1
    assert "another sandbox" in second.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])
def test_only_this_machine_is_served(tmp_path, host):
    refused = run("serve", "--host", host, "--dir", str(tmp_path / "s"), "--keys", str(tmp_path / "k"))
    assert refused.returncode == 1
    assert "not an address of this machine" in refused.stderr


def test_it_shares_no_code_with_the_product(tmp_path):
    code = "import sys; from payments.sandbox import serve; print(' '.join(sorted(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = loaded.stdout.split()
    own = {name for name in names if name.startswith("payments.")}
    assert {name for name in own if not name.startswith("payments.sandbox")} == set()
    ours = ("django", "ticketing", "desk", "wallet", "risk", "accounts", "basis", "config", "operations")
    assert [name for name in names if name.split(".")[0] in ours] == []


def test_keys_are_made_once_by_however_many_ask(tmp_path):
    keys = tmp_path / "keys"
    with concurrent.futures.ThreadPoolExecutor(4) as crowd:
        ends = list(crowd.map(lambda _: run("keys", "--dir", str(keys)), range(4)))
    assert [end.returncode for end in ends] == [0] * 4
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    run("keys", "--dir", str(keys))
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before


def test_private_keys_are_private_and_the_merchant_holds_none_of_the_gateways(tmp_path):
    keys = tmp_path / "keys"
    run("keys", "--dir", str(keys))
    secret = [*keys.glob("*_private.pem"), keys / "channels.json", keys / "gateway.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    named = json.dumps(json.loads((keys / "channels.json").read_text()))
    assert "gateway_private" not in named
    assert "platform_public_private" not in named


def test_the_cashier_is_for_people_too(sandbox):
    wechat = sandbox.wechat()
    trade = a_trade(subject="<script>alert(1)</script>")
    url = wechat.open(trade).url
    page = sandbox.scan(url)
    assert "<script>" not in page.text
    assert "支付" in page.text
    assert "Pay" in page.text
    assert "width=device-width" in page.text
    left = sandbox.http.post(f"{url}/abandon", follow_redirects=True)
    assert "¥380.00" in left.text
    assert wechat.query(trade.number) == port.Waiting()
    assert "支付成功" in sandbox.http.post(f"{url}/pay").text
    assert "支付成功" in sandbox.scan(url).text
    assert sandbox.scan(f"{sandbox.url}/cashier/wechat/NOSUCH01").status_code == 404


def test_pressing_pay_many_times_pays_once(sandbox):
    wechat = sandbox.wechat()
    trade = a_trade()
    wechat.open(trade)
    with concurrent.futures.ThreadPoolExecutor(8) as crowd:
        told = list(crowd.map(lambda _: sandbox.pay("wechat", trade.number), range(40)))
    assert {answer["result"] for answer in told} == {"paid"}
    assert len({answer["reference"] for answer in told}) == 1


def test_reset_empties_the_books(own_sandbox: Sandbox):
    own_sandbox.paid(own_sandbox.wechat())
    own_sandbox.control("POST", "reset", {})
    assert own_sandbox.control("GET", "books")["channels"] == {}
    assert own_sandbox.http.get(f"{own_sandbox.url}/healthz").json()["ok"]
