"""
A channel's statement of a day, our payments and refunds, and the ledger: every disagreement found, kept and closed when
it is gone (docs/reconciliation.md). The modules in the order of a run:

`scope` what is looked at · `repeats` listed twice · `compare` lines with our books · `absent` ours that no line names ·
`ledger` ours with what is booked · `funds` movements with trades · `keep` discrepancies written and settled · `run` the
steps in one transaction · `settle` funds statements booked · `due` which statements wait · `explain` what a person
decides
"""
