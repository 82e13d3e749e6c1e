"""
What the staff watch (M23): the live sale, finance, health; and the same figures for Prometheus.

A board is plain facts (`shape`), gathered by set-based queries (`sale`, `finance`, `health`), rendered by one template.
Every figure leads to the rows that it counts. Nothing here decides anything, so nothing here is locked.
"""
