"""Objects of a model out of a statement of our own, as the ORM would have made them, without building its query."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import connection, models

Thing = TypeVar("Thing", bound=models.Model)


class Built(Generic[Thing]):
    """
    The columns of `model` for a SELECT, under the name that the statement gives its table, and its objects out of the
    answer. Fields that are `closed` are left out; asking for one later costs a query of its own, as after `defer()`.
    """

    def __init__(self, model: type[Thing], *, alias: str, closed: Collection[str] = ()) -> None:
        self.model = model
        self.fields: list[models.Field[Any, Any]] = [
            field for field in model._meta.concrete_fields if field.name not in closed
        ]
        self.names = [field.attname for field in self.fields]
        self.columns = ", ".join(f'{alias}."{field.column}"' for field in self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    @cached_property
    def _converters(self) -> list[tuple[int, Any]]:
        """Most columns need none."""
        return [
            (i, convert)
            for i, field in enumerate(self.fields)
            for convert in field.get_db_converters(connection)
        ]

    def of(self, values: Sequence[Any]) -> Thing:
        """The object of these columns."""
        read = list(values)
        for i, convert in self._converters:
            read[i] = convert(read[i], None, connection)
        return self.model.from_db(connection.alias, self.names, read)
