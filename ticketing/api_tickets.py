"""/api/v1/tickets, /api/v1/ticket-key: what admits, and how a gate without a network can tell."""

from __future__ import annotations

import base64
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import signed_in
from basis.pagination import newest_first
from basis.problems import Problem, problem_responses
from basis.shapes import PAGE_PARAMETERS, SIGNED_IN, UtcField, page_of
from ticketing import listings, tickets
from ticketing.api_events import EventNameSerializer, PublicView
from ticketing.models import Ticket, TicketState


class TicketSerializer(serializers.Serializer[Any]):
    number = serializers.CharField()
    state = serializers.ChoiceField(choices=TicketState.choices)
    order = serializers.CharField(source="order.number")
    event = EventNameSerializer(source="show.event")
    show = serializers.CharField(source="show.code")
    starts_at = UtcField(source="show.starts_at")
    section = serializers.CharField(source="seat.row.section.code")
    row = serializers.CharField(source="seat.row.label")
    seat = serializers.CharField(source="seat.label")
    issued_at = UtcField()


class TicketWithCodeSerializer(TicketSerializer):
    """`qr` is the text of the QR code; null for a ticket that admits nobody any more."""

    qr = serializers.SerializerMethodField()

    def get_qr(self, ticket: Ticket) -> str | None:
        return None if ticket.state == TicketState.VOID else tickets.payload(ticket)


class TicketsView(APIView):
    scopes = {"GET": "tickets:read"}

    @extend_schema(
        operation_id="tickets",
        summary="My tickets, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("TicketPage", TicketSerializer), **problem_responses("invalid", *SIGNED_IN)},
    )
    def get(self, request: Request) -> Response:
        return newest_first(listings.tickets_of(signed_in(request)), TicketSerializer, request)


class TicketView(APIView):
    scopes = {"GET": "tickets:read"}

    @extend_schema(
        operation_id="ticket",
        summary="A ticket of mine, with its QR code",
        responses={200: TicketWithCodeSerializer, **problem_responses(*SIGNED_IN, "not_found")},
    )
    def get(self, request: Request, number: str) -> Response:
        ticket = listings.tickets_of(signed_in(request)).filter(number=number).first()
        if ticket is None:
            raise Problem(code="not_found")
        return Response(TicketWithCodeSerializer(ticket).data, headers={"Cache-Control": "private, no-store"})


class TicketKeySerializer(serializers.Serializer[Any]):
    algorithm = serializers.ChoiceField(choices=["Ed25519"])
    public_key = serializers.CharField(help_text="The raw 32 bytes, base64url without padding")


class TicketKeyView(PublicView):
    @extend_schema(
        operation_id="ticket_key",
        summary="The key that verifies QR codes offline",
        responses={200: TicketKeySerializer},
        auth=[],
    )
    def get(self, request: Request) -> Response:
        key = base64.urlsafe_b64encode(tickets.public_key()).rstrip(b"=").decode()
        headers = {"Cache-Control": "public, max-age=3600"}
        return Response({"algorithm": "Ed25519", "public_key": key}, headers=headers)
