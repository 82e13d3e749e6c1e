"""
Whether a merchant's trading looks legitimate (M21): pure rules over plain facts (`profile`, `rules`), bars that come
from the population and from what staff said about earlier findings (`thresholds`), and the findings (`assess`).

Risk knows no orders: who sells tickets gathers the facts (ticketing.trading).
"""
