"""
The rush: a flood of submissions becomes orders, payments and tickets in batches. In the order of an order's way:
`submission` takes it in (one script of the fast store), `drainer` reads each tier's stream, `hall` chooses the seats in
memory, `allocation` commits a batch of orders, `paying` a batch of wallet payments, `results` tells the buyers.
`lanes` makes sure that one drainer at a time has a tier; `rebuild` makes the fast store's part anew from Postgres.
"""
