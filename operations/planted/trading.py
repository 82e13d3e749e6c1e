"""Writing a planted population of merchants down: organisers, shows, paid orders, refunds, disputes, devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction

from accounts.models import User
from operations.planted.merchants import Merchant, Sale, hash_of
from risk.trading_models import MerchantPerson
from ticketing.models import Event, Organiser, PriceTier, SalePhase, Show, Venue

BATCH = 5000
SHOWS = ("on", "over", "hidden")

TABLE = """
DROP TABLE IF EXISTS pg_temp.planted;
CREATE TEMPORARY TABLE planted (
  nth bigint GENERATED ALWAYS AS IDENTITY, merchant text, buyer_id bigint, amount_minor bigint, paid_at timestamptz,
  refunded_at timestamptz, disputed_at timestamptz, account text, device text, show text
) ON COMMIT DROP
"""

STEPS = (
    """
INSERT INTO ticketing_order (number, buyer_id, client_key, show_id, phase_id, tier_id, quantity, amount_minor, currency,
                             state, accept_equal_seats, winner, placed_at, hold_until, hold_limit)
SELECT 'K' || %(tag)s || nth, buyer_id, 'planted:' || %(tag)s || nth, show.id, phase.id, tier.id, 1, amount_minor,
       'CNY', CASE WHEN refunded_at < %(now)s THEN 'refunded' ELSE 'paid' END, false, 'P' || %(tag)s || nth, paid_at,
       paid_at, paid_at
  FROM planted JOIN ticketing_show show ON show.code = planted.merchant || '-' || planted.show
  JOIN ticketing_salephase phase ON phase.show_id = show.id JOIN ticketing_pricetier tier ON tier.show_id = show.id
 ORDER BY nth
""",
    """
INSERT INTO payments_payment (number, purchase_kind, purchase_number, buyer_id, channel, amount_minor, currency,
                              subject, state, outcome, created_at, expires_at, opening_at, cashier_kind, cashier_url,
                              channel_reference, refusal, paid_at)
SELECT 'P' || %(tag)s || nth, 'order', 'K' || %(tag)s || nth, buyer_id,
       CASE WHEN account <> '' THEN 'alipay' ELSE 'wechat' END, amount_minor, 'CNY', 'planted', 'succeeded', 'won',
       paid_at, paid_at, paid_at, '', '', '', '', paid_at
  FROM planted ORDER BY nth
""",
    """
INSERT INTO payments_refund (number, payment_id, key, amount_minor, currency, reason, state, refusal, channel_reference,
                             requested_by, created_at, refunded_at, destination)
SELECT 'R' || %(tag)s || nth, payment.id, 'planted:' || %(tag)s || nth, planted.amount_minor, 'CNY', 'asked',
       'succeeded', '', '', '', refunded_at, refunded_at, 'origin'
  FROM planted JOIN payments_payment payment ON payment.number = 'P' || %(tag)s || nth WHERE refunded_at < %(now)s
""",
    """
INSERT INTO payments_dispute (payment_id, kind, source, reference, amount_minor, currency, note, opened_at, filed_by,
                              filed_at, state, decided_by, decision)
SELECT payment.id, 'complaint', 'alipay', %(tag)s || nth, planted.amount_minor, 'CNY', '', disputed_at, 'alipay',
       disputed_at, 'open', '', ''
  FROM planted JOIN payments_payment payment ON payment.number = 'P' || %(tag)s || nth WHERE disputed_at < %(now)s
""",
    """
INSERT INTO payments_notification (channel, event_id, key_id, received_at, headers, body, verdict, reason,
                                   payment_number, facts, repeats, applied_at)
SELECT 'alipay', %(tag)s || nth, '', paid_at, '{}', '', 'applied',
       '', 'P' || %(tag)s || nth, jsonb_build_object('what', 'Paid', 'payer', account), 0, paid_at
  FROM planted WHERE account <> ''
""",
    """
INSERT INTO risk_buyerdevice (buyer_id, device, address, first_seen, last_seen)
SELECT DISTINCT ON (buyer_id, device) buyer_id, device, '', paid_at, paid_at FROM planted WHERE device <> ''
ON CONFLICT (buyer_id, device) DO UPDATE SET last_seen = excluded.last_seen
""",
)


def write_merchants(
    merchants: Sequence[Merchant], *, buyers: int, now: datetime, prefix: str = "t", venue: str = "planted"
) -> list[int]:
    """Organisers with a show to come, one that is over and one that nobody published; and the buyers' keys."""
    shut = make_password(None)
    people = [
        User.objects.build(handle=f"{prefix}{n:06d}", password=shut, joined_at=now) for n in range(buyers)
    ]
    keys = [user.pk for user in User.objects.bulk_create(people, batch_size=BATCH)]
    hall = Venue.objects.create(code=venue, name_zh="x", name_en="x", city_zh="x", city_en="x")
    organisers = Organiser.objects.bulk_create(
        [Organiser(code=one.code, name_zh=one.code, name_en=one.code) for one in merchants]
    )
    events = Event.objects.bulk_create(
        [
            Event(
                organiser=one,
                slug=f"{one.code}-{kind}",
                name_zh=one.code,
                name_en=one.code,
                published=kind != "hidden",
            )
            for one in organisers
            for kind in SHOWS
        ]
    )
    begins = {
        "on": now + timedelta(days=60),
        "over": now - timedelta(days=60),
        "hidden": now + timedelta(days=60),
    }
    shows = Show.objects.bulk_create(
        [
            Show(event=one, venue=hall, code=one.slug, starts_at=begins[one.slug.rpartition("-")[2]])
            for one in events
        ]
    )
    opens = now - timedelta(days=90)
    SalePhase.objects.bulk_create(
        [
            SalePhase(show=one, kind="general", opens_at=opens, closes_at=now + timedelta(days=30))
            for one in shows
        ]
    )
    PriceTier.objects.bulk_create(
        [
            PriceTier(show=one, code="A", name_zh="x", name_en="x", price_minor=1000, currency="CNY", rank=1)
            for one in shows
        ]
    )
    MerchantPerson.objects.bulk_create(
        [
            MerchantPerson(merchant=one.code, user_id=keys[hash_of(f"{one.code}:0", buyers)])
            for one in merchants
            if one.kind == "self_dealing"
        ]
    )
    return keys


def write_sales(sales: Iterable[Sale], *, buyers: Sequence[int], tag: str, now: datetime) -> None:
    """A day's sales, each one an order, its payment, and what came of it until `now`. `tag` keeps numbers apart."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(TABLE)
        columns = "merchant, buyer_id, amount_minor, paid_at, refunded_at, disputed_at, account, device, show"
        with cursor.copy(f"COPY planted ({columns}) FROM STDIN") as copy:
            for one in sales:
                copy.write_row(
                    (
                        *(one.merchant, buyers[one.buyer], one.amount_minor, one.paid_at, one.refunded_at),
                        *(one.disputed_at, one.account, one.device, one.show),
                    )
                )
        _write(cursor, tag, now)


def write_rows(insert: str, values: dict[str, Any], *, tag: str, now: datetime) -> None:
    """The same for sales that one statement makes, `INSERT INTO planted …`."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(TABLE)
        cursor.execute(insert, values)
        _write(cursor, tag, now)


def _write(cursor: Any, tag: str, now: datetime) -> None:
    cursor.execute("ANALYZE planted")
    for step in STEPS:
        cursor.execute(step, {"tag": tag, "now": now})
