"""The rush over REST, as Django answers it where there is no edge."""

from tests.api.conftest import Program, program  # noqa: F401  (a fixture)


def test_submit_ask_pay(rush, program):  # noqa: F811
    lin = program("lin", cash=100_000)
    from django.utils import timezone

    rush.clock.now = timezone.now()
    rush.turn()
    body = {"show": "small", "tier": "UPPER", "quantity": 2}
    answer = lin.post("/rush/orders", body, key="k1")
    assert answer.status_code == 202, answer.content
    assert lin.post("/rush/orders", body, key="k1").json() == answer.json()
    address = answer.headers["Location"]
    assert lin.get(address).status_code == 202
    rush.turn()
    held = lin.get(address).json()
    assert (held["state"], len(held["seats"])) == ("held", 2)
    assert "buyer" not in held
    press = lin.post(address + "/payment", {"token": held["payment_token"]}, key=None)
    assert (press.status_code, press.json()["state"]) == (202, "queued")
    rush.turn()
    paid = lin.get(address + "/payment").json()
    assert paid["state"] == "paid"
    assert lin.get(f"/orders/{held['order']}").json()["payment"] == paid["payment"]


def test_what_is_refused(rush, program):  # noqa: F811
    lin, nobody = program("lin"), Program(None)
    body = {"show": "small", "tier": "UPPER", "quantity": 2}
    assert nobody.post("/rush/orders", body).status_code == 401
    assert lin.post("/rush/orders", body, key=None).json()["code"] == "idempotency_key_missing"
    assert lin.post("/rush/orders", {**body, "tier": "NONE"}).json()["code"] == "no_such_tier"
    assert lin.post("/rush/orders", {**body, "quantity": 9}).json()["code"] in ("bad_quantity", "not_on_sale")
    assert lin.get("/rush/orders/v1.1~K1M7VHRXGG8CZH9ZW9X5~1.AAAAAAAAAAAAAAAAAAAAAAAAAAA").status_code == 404


def test_a_show_with_a_waiting_room_wants_a_pass(rush, program):  # noqa: F811
    from django.utils import timezone

    from risk import signing, steering
    from risk.room_models import Room
    from ticketing import admission

    rush.clock.now = timezone.now()
    rush.turn()
    room = Room.objects.create(show="small", opens_at=timezone.now())
    admission.in_front.forget()
    assert not admission.is_needed("small")  # staff have not let anybody in to wait
    steering.open_room(show=room.show, actor="ops", now=timezone.now())
    admission.in_front.forget()
    lin, wei = program("lin"), program("wei")
    body = {"show": "small", "tier": "UPPER", "quantity": 1}
    assert lin.post("/rush/orders", body).json()["code"] == "pass_needed"
    until = int(timezone.now().timestamp()) + 60
    text = signing.sign_pass(signing.Pass("small", lin.user.pk, 1, until, "n1"))
    given = {"Admission-Pass": text}
    assert wei.post("/rush/orders", body, **given).json()["code"] == "pass_needed"
    assert lin.post("/rush/orders", body, **given).status_code == 202
    assert lin.post("/rush/orders", body, **given).json()["code"] == "pass_used"


def test_a_stopped_sale_takes_no_submissions(rush, program, monkeypatch):  # noqa: F811
    from django.utils import timezone

    from risk import policy, switches
    from ticketing.models import Order

    monkeypatch.setattr(policy, "LOOK_EVERY_S", 0.0)
    policy.forget()
    rush.clock.now = timezone.now()
    rush.turn()
    lin, wei = program("lin"), program("wei")
    body = {"show": "small", "tier": "UPPER", "quantity": 2}
    accepted = lin.post("/rush/orders", body, key="k1")
    switches.stop(kind="sale", target="small", actor="chief", reason="flood", now=timezone.now())
    # What was taken in before the stop is decided after it, and refused.
    rush.turn()
    assert lin.get(accepted.headers["Location"]).json()["reason"] == "sale_stopped"
    answer = wei.post("/rush/orders", body, key="k2")
    assert (answer.status_code, answer.json()["code"]) == (503, "sale_stopped")
    assert not Order.objects.exists()
    switches.resume(kind="sale", target="small", actor="chief", reason="dry", now=timezone.now())
    rush.turn()
    assert wei.post("/rush/orders", body, key="k2").status_code == 202
