"""
A simulated crowd: thousands of buyers over real HTTP, in a process of its own, against a running stack.

Read in this order: `habits` (what a buyer is like), `phone` (how his app talks and repeats), `buyer` (his way from
the seat map to the ticket), `run` (all of them at once), `tally` (what is counted). Nothing here imports Django:
the crowd knows of the product what a buyer's phone knows. Only `seeding`, which runs before the sale, does.
"""
