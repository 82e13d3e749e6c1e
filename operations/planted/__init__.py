"""
A day of a channel with every kind of difference planted in it: our books, the channel's file as it would send it, and
the list of what a reconciliation must find, no more and no less. For measurements and tests.
"""

from operations.planted.day import Planted, plant

__all__ = ["Planted", "plant"]
