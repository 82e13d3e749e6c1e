"""
The product in time lapse: the same rules with shorter clocks, for demonstrations and drills.

Only waiting is shortened, through the variables that any installation may set. Nothing is decided differently.
"""

from __future__ import annotations

HOLD_S, HOLD_LIMIT_S, PAYMENT_WINDOW_S = 20, 45, 20

QUICK: dict[str, str] = {
    "ORDER_HOLD_SECONDS": str(HOLD_S),
    "ORDER_HOLD_LIMIT_SECONDS": str(HOLD_LIMIT_S),
    "PAYMENT_WINDOW_SECONDS": str(PAYMENT_WINDOW_S),
    "PAYMENT_QUERY_SCHEDULE_S": "1,2,2,3,5,5,10",
    "REFUND_SCHEDULE_S": "1,1,2,3,5,10",
    "ABSENT_GRACE_SECONDS": "5",
    "KAIPIAO_BEAT_TICK_S": "1",
    "CHANNEL_TIMEOUT_S": "2",
    "KAIPIAO_LOG_LEVEL": "WARNING",
}
SANDBOX_TIME_FACTOR = 60.0
"""The channels' own clocks: WeChat Pay's 15 s between two notifications become a quarter of a second."""
