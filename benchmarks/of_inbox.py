"""What the desk's inbox costs with a hundred thousand open cases, measured against one with a thousand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.figures import Figure, benchmark

FEW, MANY, LOOKS, ROUNDS = 1_000, 100_000, 100, 5
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
        "ms_with_1000": round(few.page * 1000, 1),
        "ms_with_100000": round(many.page * 1000, 1),
        "ms_of_the_slowest_tenth": [round(few.slow * 1000, 1), round(many.slow * 1000, 1)],
        "ms_of_the_job_that_sums": [round(few.job * 1000, 1), round(many.job * 1000, 1)],
        "queries": queries_many,
    }
    return Figure("inbox", many.page / few.page, "times", bar=1.5, facts=facts)


def _fill(first: int, last: int, owner: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from desk import types

    values: dict[str, Any] = {
        "from": first,
        "to": last,
        "owner": owner,
        "kinds": list(types.TYPES),
        "now": timezone.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(FILL, values)
        cursor.execute("VACUUM ANALYZE desk_case")


@dataclass(frozen=True, slots=True)
class Seconds:
    """The median page, the page that nine of ten are faster than, and the job that takes the sums for all of them."""

    page: float
    slow: float
    job: float


def _look(boss: Any) -> tuple[Seconds, int]:
    """The seconds of a page, and the queries of the most expensive one."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from desk import inbox

    client = Client()
    client.force_login(boss, backend="accounts.signin.PhoneOrEmailBackend")

    def seconds(act: Callable[[], Any]) -> float:
        begun = time.perf_counter()
        act()
        return time.perf_counter() - begun

    def look() -> None:
        assert client.get(INBOX).status_code == 200

    job = median(seconds(lambda: inbox.refresh_summary(now=timezone.now())) for _ in range(ROUNDS))
    look()
    pages = sorted(seconds(look) for _ in range(LOOKS))
    with CaptureQueriesContext(connection) as asked:
        client.get(INBOX)
    return Seconds(median(pages), pages[LOOKS * 9 // 10], job), len(asked)
