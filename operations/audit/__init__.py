"""
The seven invariants of the product, asked of any database at any time; docs/audit.md lists the checks of each.

Nothing here writes. A check that finds something names it and says why; it never repairs.
"""

from operations.audit.checks import Check, Result, Violation
from operations.audit.run import ALL, GRACE, audit

__all__ = ["ALL", "GRACE", "Check", "Result", "Violation", "audit"]
