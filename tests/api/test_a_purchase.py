"""A whole purchase over HTTP: look, hold, pay, get tickets."""

from datetime import datetime

import pytest

from ticketing import cancelling, tickets


def test_look_hold_pay_ticket(show, lin, stranger):
    events = stranger.get("/events").json()
    assert [event["slug"] for event in events["items"]] == ["river-of-stars"]
    event = stranger.get("/events/river-of-stars").json()
    assert (event["shows"][0]["code"], event["shows"][0]["cancelled"]) == (show.code, False)
    shown = stranger.get(f"/shows/{show.code}").json()
    assert [tier["code"] for tier in shown["tiers"]] == ["VIP", "FIELD", "GOLD", "SILVER", "BRONZE", "UPPER"]
    assert len(shown["sections"]) == 49
    left = stranger.get(f"/shows/{show.code}/availability").json()
    assert left["phase"]["kind"] == "general"
    assert left["phase"]["state"] == "open"
    upper = left["tiers"][-1]
    assert (upper["code"], upper["total"], upper["free"]) == ("UPPER", 400, 400)
    assert upper["price"] == {"amount": 38_000, "currency": "CNY"}

    order = lin.post("/orders", {"show": show.code, "tier": "UPPER", "quantity": 2})
    assert order.status_code == 201
    number = order.json()["number"]
    assert order["Location"] == f"/api/v1/orders/{number}"
    assert order.json() == lin.get(f"/orders/{number}").json()
    assert order.json() | {"seats": None, "placed_at": None, "hold_until": None} == {
        "number": number,
        "state": "held",
        "show": show.code,
        "tier": "UPPER",
        "quantity": 2,
        "amount": {"amount": 76_000, "currency": "CNY"},
        "seats": None,
        "placed_at": None,
        "hold_until": None,
        "accept_equal_seats": False,
        "payment": None,
    }
    seats = order.json()["seats"]
    assert [set(seat) for seat in seats] == [{"section", "row", "seat"}] * 2
    assert seats[0]["section"] == "F1"
    assert datetime.fromisoformat(order.json()["placed_at"]).utcoffset().total_seconds() == 0
    assert order.json()["placed_at"].endswith("Z")

    offer = lin.post(f"/orders/{number}/payment-token", key=None).json()
    assert offer["channels"][0] == "wallet"
    assert offer["amount"] == {"amount": 76_000, "currency": "CNY"}
    assert (offer["payment"], offer["refusal"]) == (None, "")
    paid = lin.post("/payments", {"order": number, "channel": "wallet", "token": offer["token"]})
    assert paid.status_code == 201
    payment = paid.json()
    assert (payment["state"], payment["outcome"], payment["channel"]) == ("succeeded", "won", "wallet")
    assert payment["purchase"] == {"kind": "order", "number": number}
    assert (payment["cashier"], payment["refunds"], payment["refusal"]) == (None, [], "")
    assert lin.get(f"/payments/{payment['number']}").json() == payment
    assert [one["number"] for one in lin.get("/payments").json()["items"]] == [payment["number"]]

    order = lin.get(f"/orders/{number}").json()
    assert (order["state"], order["payment"], order["seats"]) == ("paid", payment["number"], seats)
    again = lin.post(f"/orders/{number}/payment-token", key=None).json()
    assert (again["token"], again["refusal"], again["payment"]["number"]) == (None, "paid", payment["number"])

    wallet = lin.get("/wallet").json()
    assert wallet["cash"] == wallet["available"] == {"amount": 124_000, "currency": "CNY"}
    newest = lin.get("/wallet/entries").json()["items"][0]
    assert (newest["amount"]["amount"], newest["account"], newest["reference"]) == (-76_000, "cash", number)

    mine = lin.get("/tickets").json()["items"]
    assert len(mine) == 2
    assert "qr" not in mine[0]
    ticket = lin.get(f"/tickets/{mine[0]['number']}").json()
    key = stranger.get("/ticket-key").json()
    assert key["algorithm"] == "Ed25519"
    claims = tickets.verify(ticket["qr"], tickets._unpack(key["public_key"]))
    assert (claims.ticket, claims.show) == (ticket["number"], show.code)
    assert {(t["section"], t["row"], t["seat"]) for t in mine} == {
        (s["section"], s["row"], s["seat"]) for s in seats
    }

    lines = lin.get(f"/orders/{number}/timeline").json()["items"]
    assert {line["reference"] for line in lines} >= {number, payment["number"]}
    assert set(lines[0]) == {"at", "code", "text", "reference", "actor"}


def test_chosen_seats(show, lin, stranger):
    rows = stranger.get(f"/shows/{show.code}/sections/A1/seats").json()["rows"]
    assert [row["label"] for row in rows] == ["1"]
    assert len(rows[0]["seats"]) == 25
    wanted = [seat["id"] for seat in rows[0]["seats"][10:13]]
    order = lin.post(
        "/orders", {"show": show.code, "tier": "VIP", "seats": wanted, "accept_equal_seats": True}
    )
    assert order.status_code == 201
    assert [seat["seat"] for seat in order.json()["seats"]] == ["11", "12", "13"]
    assert (order.json()["quantity"], order.json()["accept_equal_seats"]) == (3, True)
    rows = stranger.get(f"/shows/{show.code}/sections/A1/seats").json()["rows"]
    taken = [seat["id"] for seat in rows[0]["seats"] if seat["state"] == "taken"]
    assert taken == wanted


def test_cancel_gives_the_seats_back(show, lin, place, stranger):
    order = place(lin, quantity=4)
    cancelled = lin.post(f"/orders/{order['number']}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json() == order | {"state": "cancelled"} == lin.get(f"/orders/{order['number']}").json()
    assert stranger.get(f"/shows/{show.code}/availability").json()["tiers"][-1]["free"] == 400
    # Cancelling again, with another key, is fine.
    assert lin.post(f"/orders/{order['number']}/cancel").json()["state"] == "cancelled"


def test_topup(lin, settle_outbox):
    topup = lin.post("/wallet/topups", {"amount": 12_345})
    assert topup.status_code == 201
    number = topup.json()["number"]
    assert topup["Location"] == f"/api/v1/wallet/topups/{number}"
    assert (topup.json()["state"], topup.json()["amount"]["amount"]) == ("open", 12_345)
    assert lin.get(f"/wallet/topups/{number}").json() == topup.json()
    assert lin.get("/wallet/topups").json()["items"] == [topup.json()]
    offer = lin.post(f"/wallet/topups/{number}/payment-token", key=None).json()
    assert "wallet" not in offer["channels"]
    assert offer["amount"]["amount"] == 12_345


@pytest.mark.parametrize(("language", "name"), [("en", "Upper stand"), ("zh-hans", "上层看台")])
def test_names_in_the_readers_language_also_from_the_cache(show, stranger, language, name):
    stranger.get(f"/shows/{show.code}/availability")
    left = stranger.get(f"/shows/{show.code}/availability", **{"Accept-Language": language})
    assert left.json()["tiers"][-1]["name"] == name
    assert "Accept-Language" in left["Vary"]


def test_a_cancelled_show_says_so_wherever_it_is_listed(show, stranger, clock):
    cancelling.cancel(code=show.code, reason="typhoon", actor="mei", approved_by="bo", now=clock())
    assert stranger.get(f"/shows/{show.code}").json()["cancelled"] is True
    for event in (stranger.get("/events").json()["items"][0], stranger.get("/events/river-of-stars").json()):
        assert [one["cancelled"] for one in event["shows"]] == [True]
