"""/api/v1/events, /api/v1/shows: what is on, what it costs, what is left. Public; no account is looked at."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from basis import replica
from basis.pagination import newest_first
from basis.problems import Problem, problem_responses
from basis.shapes import PAGE_PARAMETERS, MoneyField, UtcField, page_of
from ticketing import listings, seats_left
from ticketing.models import SalePhase, Section, Show

# Shared caches may keep an answer for a second, browsers not at all: the page decides how often it asks.
SHARED_A_SECOND = "public, max-age=0, s-maxage=1"


class VenueSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    city = serializers.CharField()
    address = serializers.CharField()


class OrganiserSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()


class ShowSummarySerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    starts_at = UtcField()
    doors_at = UtcField(allow_null=True)
    ends_at = UtcField(allow_null=True)
    cancelled = serializers.SerializerMethodField(help_text="It does not take place.")
    venue = VenueSerializer()

    def get_cancelled(self, show: Show) -> bool:
        return show.cancelled_at is not None


class EventSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    about = serializers.CharField()
    organiser = OrganiserSerializer()
    shows = ShowSummarySerializer(many=True)


class EventNameSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()


class PhaseSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=SalePhase.Kind.choices)
    opens_at = UtcField()
    closes_at = UtcField()
    per_buyer_limit = serializers.IntegerField()
    eligibility = serializers.ChoiceField(choices=SalePhase.Eligibility.choices)


class TierSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    code = serializers.CharField()
    name = serializers.CharField()
    price = MoneyField("price_minor")
    colour = serializers.CharField()


class SectionSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    zone = serializers.ChoiceField(choices=Section.Zone.choices)


class ShowSerializer(ShowSummarySerializer):
    event = EventNameSerializer()
    phases = PhaseSerializer(many=True)
    tiers = TierSerializer(many=True)
    sections = serializers.SerializerMethodField()

    @extend_schema_field(SectionSerializer(many=True))
    def get_sections(self, show: Show) -> Any:
        return SectionSerializer(listings.sections_of(show), many=True).data


class PublicView(APIView):
    """For everybody: no token, no session, no query for either."""

    public = True
    authentication_classes: list[type[BaseAuthentication]] = []


class EventsView(PublicView):
    @extend_schema(
        operation_id="events",
        summary="Events, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("EventPage", EventSerializer), **problem_responses("invalid")},
        auth=[],
    )
    @replica.looks
    def get(self, request: Request) -> Response:
        return newest_first(listings.published_events(), EventSerializer, request)


class EventView(PublicView):
    @extend_schema(
        operation_id="event",
        summary="An event and its shows",
        responses={200: EventSerializer, **problem_responses("not_found")},
        auth=[],
    )
    @replica.looks
    def get(self, request: Request, slug: str) -> Response:
        event = listings.published_events().filter(slug=slug).first()
        if event is None:
            raise Problem(code="not_found")
        return Response(EventSerializer(event).data)


class ShowView(PublicView):
    @extend_schema(
        operation_id="show",
        summary="A show: sale phases, price tiers, sections",
        responses={200: ShowSerializer, **problem_responses("not_found")},
        auth=[],
    )
    @replica.looks
    def get(self, request: Request, code: str) -> Response:
        show = listings.published_show(code)
        if show is None:
            raise Problem(code="not_found")
        return Response(ShowSerializer(show).data)


# -- seats left
# -----------------------------------------------------------------------------------------------------
class CurrentPhaseSerializer(serializers.Serializer[Any]):
    """The phase that is open, else the next one."""

    kind = serializers.ChoiceField(choices=SalePhase.Kind.choices)
    state = serializers.ChoiceField(choices=["open", "coming"])
    opens_at = UtcField()
    closes_at = UtcField()
    per_buyer_limit = serializers.IntegerField()


class TierSeatsSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    code = serializers.CharField()
    name = serializers.CharField()
    price = MoneyField("price_minor")
    total = serializers.IntegerField(help_text="Seats for sale, sold ones included")
    free = serializers.IntegerField()


class AvailabilitySerializer(serializers.Serializer[Any]):
    show = serializers.CharField()
    phase = CurrentPhaseSerializer(allow_null=True)
    tiers = TierSeatsSerializer(many=True)
    as_of = UtcField()


class AvailabilityView(PublicView):
    @extend_schema(
        operation_id="show_availability",
        summary="Seats left by tier, at most a second old",
        responses={200: AvailabilitySerializer, **problem_responses("not_found")},
        auth=[],
    )
    def get(self, request: Request, code: str) -> Response:
        now = timezone.now()
        try:
            found = seats_left.of(code, now=now)
        except seats_left.NoSuchShow as error:
            raise Problem(code="not_found") from error
        phase = found.phase(now)
        shown = {
            "show": found.show,
            "phase": phase and {**_members(phase), "state": phase.state(now)},
            "tiers": found.tiers,
            "as_of": found.as_of,
        }
        headers = {"Cache-Control": SHARED_A_SECOND}
        return Response(AvailabilitySerializer(shown).data, headers=headers)


def _members(phase: seats_left.Phase) -> dict[str, Any]:
    return {name: getattr(phase, name) for name in ("kind", "opens_at", "closes_at", "per_buyer_limit")}


# -- seat plan
# ------------------------------------------------------------------------------------------------------
class PlanSeatSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    # DRF's serializers have an attribute of this name; here it is a member of the answer.
    label = serializers.CharField()  # type: ignore[assignment]
    tier = serializers.CharField()
    state = serializers.ChoiceField(choices=["free", "taken"])


class PlanRowSerializer(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    seats = PlanSeatSerializer(many=True)


class SeatPlanSerializer(serializers.Serializer[Any]):
    rows = PlanRowSerializer(many=True)


class SeatPlanView(PublicView):
    @extend_schema(
        operation_id="show_section_seats",
        summary="The seats of a section, row by row",
        responses={200: SeatPlanSerializer, **problem_responses("not_found")},
        auth=[],
    )
    @replica.looks
    def get(self, request: Request, code: str, section: str) -> Response:
        # Postgres texts hold no NUL, so no section has one in its code.
        rows = [] if "\0" in section else listings.seat_plan(code, section)
        if not rows:
            raise Problem(code="not_found")
        # A section has up to some thousand seats: plain dictionaries, a serializer would take longer than the query.
        return Response(
            {"rows": [_plan_row(row) for row in rows]}, headers={"Cache-Control": SHARED_A_SECOND}
        )


def _plan_row(row: listings.PlanRow) -> dict[str, Any]:
    seats = [
        {"id": seat.id, "label": seat.label, "tier": seat.tier, "state": "free" if seat.free else "taken"}
        for seat in row.seats
    ]
    return {"label": row.label, "seats": seats}
