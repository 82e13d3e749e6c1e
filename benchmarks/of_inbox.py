"""What the desk's inbox costs with a hundred thousand open cases, measured against one with a thousand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.figures import Figure, benchmark

FEW, MANY, LOOKS, LOOKED_FOR_S = 1_000, 100_000, 15, 8
QUERIES_AT_MOST = 12
INBOX = "/admin/desk/case/"

# Types, channels, teams, owners, amounts and ages mixed as a bad night would mix them.
FILL = """
INSERT INTO desk_case (number, kind, subject_kind, subject, state, queue, owner_id, channel, purchase_kind,
  purchase_number, payment_number, amount_minor, currency, since, opened_at, due_at, weight, suggested, cause, facts)
SELECT 'C' || lpad(n::text, 19, '0'), (%(kinds)s::text[])[1 + n %% array_length(%(kinds)s::text[], 1)],
  'payment', 'P' || n, 'open',
  (ARRAY['operations', 'finance', 'risk'])[1 + n %% 3], CASE WHEN n %% 400 = 0 THEN %(owner)s END,
  (ARRAY['alipay', 'wechat', 'wallet', ''])[1 + n %% 4], 'order', 'K' || n, 'P' || n, 100 * (n %% 9973), 'CNY',
  age, age, age + interval '4 hours', (n %% 9973) * (n %% 300), 'explain', '', '{}'
FROM (SELECT n, %(now)s - (n %% 40000) * interval '1 minute' AS age FROM generate_series(%(from)s, %(to)s) n) cases
"""


@benchmark("inbox")
def inbox() -> Figure:
    from accounts.models import User

    boss = User.objects.create_superuser("inbox-boss")
    _fill(1, FEW, boss.pk)
    few, queries = _look(boss)
    _fill(FEW + 1, MANY, boss.pk)
    many, queries_many = _look(boss)
    if max(queries, queries_many) > QUERIES_AT_MOST:
        raise AssertionError(f"{queries_many} queries for one page")
    facts = {
        "ms_with_1000": round(few.usual * 1000, 1),
        "ms_with_100000": round(many.usual * 1000, 1),
        "ms_when_sums_are_taken": [round(few.with_sums * 1000, 1), round(many.with_sums * 1000, 1)],
        "queries": queries_many,
    }
    return Figure("inbox", many.usual / few.usual, "times", bar=1.5, facts=facts)


def _fill(first: int, last: int, owner: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from desk import types

    values = {"from": first, "to": last, "owner": owner, "kinds": list(types.TYPES), "now": timezone.now()}
    with connection.cursor() as cursor:
        cursor.execute(FILL, values)
        cursor.execute("VACUUM ANALYZE desk_case")


@dataclass(frozen=True, slots=True)
class Seconds:
    """A page as somebody sees it who looks all the time, and one that has to take the sums over all cases anew."""

    usual: float
    with_sums: float


def _look(boss: Any) -> tuple[Seconds, int]:
    """The median seconds of a page, and the queries of the most expensive one."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from desk import inbox

    client = Client()
    client.force_login(boss, backend="accounts.signin.PhoneOrEmailBackend")

    def look() -> float:
        begun = time.perf_counter()
        assert client.get(INBOX).status_code == 200
        return time.perf_counter() - begun

    usual, anew = [], []
    end = (
        time.perf_counter() + LOOKED_FOR_S
    )  # longer than sums are kept, so that taking them is among the looks
    while time.perf_counter() < end:
        usual.append(look())
    for _look in range(LOOKS):
        inbox.forget_summary()
        anew.append(look())
    inbox.forget_summary()
    with CaptureQueriesContext(connection) as asked:
        client.get(INBOX)
    return Seconds(median(usual), median(anew)), len(asked)
