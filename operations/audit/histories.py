"""Invariant 2: everything is in exactly one state, reached by allowed moves, each with an event row."""

from basis.lifecycle import Lifecycle
from operations.audit.checks import Check
from payments.models import PAYMENT_LIFECYCLE, REFUND_LIFECYCLE
from payments.withdrawal_models import WITHDRAWAL_LIFECYCLE
from ticketing.models import ORDER_LIFECYCLE
from wallet.models import TOPUP_LIFECYCLE

WRONG = """
WITH step AS (
  SELECT {subject}_id AS thing_id, from_state, to_state,
         lag(to_state) OVER history AS before, lead(id) OVER history IS NULL AS last
    FROM {events} WINDOW history AS (PARTITION BY {subject}_id ORDER BY id)
), allowed AS (
  SELECT * FROM unnest(%(froms)s::text[], %(tos)s::text[]) AS pair(from_state, to_state)
)
SELECT thing.number AS what, format('it is %%s and has no event', thing.state) AS why
  FROM {things} thing WHERE NOT EXISTS (SELECT 1 FROM step WHERE step.thing_id = thing.id)
UNION ALL
SELECT thing.number, format('its history begins with %%s → %%s, not with ∅ → %%s', step.from_state, step.to_state,
                            %(initial)s::text)
  FROM step JOIN {things} thing ON thing.id = step.thing_id
 WHERE step.before IS NULL AND (step.from_state <> '' OR step.to_state <> %(initial)s)
UNION ALL
SELECT thing.number, format('an event goes %%s → %%s while the one before ended in %%s', step.from_state,
                            step.to_state, step.before)
  FROM step JOIN {things} thing ON thing.id = step.thing_id
 WHERE step.before IS NOT NULL AND step.from_state <> step.before
UNION ALL
SELECT thing.number, format('an event goes %%s → %%s, which no rule allows', step.from_state, step.to_state)
  FROM step JOIN {things} thing ON thing.id = step.thing_id
  LEFT JOIN allowed ON allowed.from_state = step.from_state AND allowed.to_state = step.to_state
 WHERE step.before IS NOT NULL AND allowed.to_state IS NULL
UNION ALL
SELECT thing.number, format('it is %%s, its last event ended in %%s', thing.state, step.to_state)
  FROM step JOIN {things} thing ON thing.id = step.thing_id
 WHERE step.last AND step.to_state <> thing.state
"""


def history_of(lifecycle: Lifecycle) -> Check:
    """The check of one state machine, with the allowed pairs of its own table."""
    thing = lifecycle.event._meta.get_field(lifecycle.subject).related_model
    if thing is None or isinstance(thing, str):
        raise TypeError(f"{lifecycle.name}: its events name no model")
    pairs = [(source, to) for source, targets in sorted(lifecycle.moves.items()) for to in sorted(targets)]
    names = {
        "subject": lifecycle.subject,
        "events": lifecycle.event._meta.db_table,
        "things": thing._meta.db_table,
    }
    return Check(
        name=f"2.{lifecycle.name}_history",
        says=f"every {lifecycle.name}'s state is where its events lead, by allowed moves from the first one on",
        checked=f"SELECT count(*) FROM {names['events']}",  # noqa: S608 (a table of ours)
        wrong=WRONG.format(**names),
        parameters={
            "froms": [str(source) for source, _ in pairs],
            "tos": [str(to) for _, to in pairs],
            "initial": str(vars(thing())["state"]),
        },
    )


CHECKS = tuple(
    history_of(lifecycle)
    for lifecycle in (
        ORDER_LIFECYCLE,
        PAYMENT_LIFECYCLE,
        REFUND_LIFECYCLE,
        TOPUP_LIFECYCLE,
        WITHDRAWAL_LIFECYCLE,
    )
)
