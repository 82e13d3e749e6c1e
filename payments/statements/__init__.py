"""Channels' statements: read, checked against their own totals, kept and loaded (docs/statements.md)."""
