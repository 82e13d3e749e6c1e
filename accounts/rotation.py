"""A new key was put first in `DATA_KEYS`: seal everybody's contacts again, so that the old key can go."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction

from accounts.models import User

BATCH = 500
SEALED = ("phone", "phone_index", "email", "email_index")


def reseal_people(*, batch: int = BATCH) -> Iterator[int]:
    """
    Seal the contacts of all users with the newest key, a batch per transaction; yields how many are done.

    It may be stopped and run again at any time. Users who register meanwhile are sealed with the newest key
    anyway.
    """
    done = last = 0
    while True:
        with transaction.atomic():
            users = list(
                User.objects.select_for_update(no_key=True, of=("self",))
                .filter(pk__gt=last)
                .order_by("pk")[:batch]
            )
            for user in users:
                user.save(update_fields=SEALED)
        if not users:
            return
        done, last = done + len(users), users[-1].pk
        yield done
