"""
/api/v1/desk: look at a case, preview, resolve, ask for approval, approve, reject. For staff who are signed in: a
program's token moves no money here, because two tokens are not two people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import SignedInWithScope, signed_in
from basis import addresses
from basis.idempotency import idempotent
from basis.problems import Problem, define, problem_responses
from basis.shapes import KEYED, SIGNED_IN, MoneyField, StrictInput, StrictInteger, StrictText, UtcField
from desk import approve, resolve, types
from desk.acts import CannotBeDone
from desk.models import Case, CaseState, Queue, RequestState, Resolution, ResolutionRequest
from desk.preview import Preview
from desk.trail import Person

define("no_such_case", status=404, title=_("There is no such case"))
define("no_such_request", status=404, title=_("There is no such request for approval"))
define("case_not_open", status=409, title=_("The case is closed, waits for approval or was acted on"))
define("no_such_resolution", status=400, title=_("This type of case has no such resolution"))
define("cannot_be_done", status=409, title=_("The resolution does not fit the facts"))
define("would_break", status=409, title=_("An invariant would not hold afterwards"))
define("stale_preview", status=409, title=_("Things changed since the preview"))
define("needs_two_people", status=409, title=_("This must be asked for and approved by somebody else"))
define("one_person_is_enough", status=409, title=_("This needs no second person"))
define("same_person", status=403, title=_("Who asked for it cannot decide it"))
define("not_waiting", status=409, title=_("The request is decided already"))
define("no_checker", status=409, title=_("Nobody else may approve this"))
define("reason_missing", status=400, title=_("Say why"))
define("amount_not_typed", status=400, title=_("Type the amount, so that it was read"))

PROBLEMS: Mapping[type[Exception], str] = {
    Case.DoesNotExist: "no_such_case",
    ResolutionRequest.DoesNotExist: "no_such_request",
    resolve.NotAllowed: "forbidden",
    resolve.NotOpen: "case_not_open",
    resolve.NoSuchWay: "no_such_resolution",
    resolve.WouldBreak: "would_break",
    resolve.StalePreview: "stale_preview",
    resolve.NeedsTwoPeople: "needs_two_people",
    resolve.ReasonMissing: "reason_missing",
    resolve.AmountNotTyped: "amount_not_typed",
    resolve.KeyReused: "idempotency_key_reused",
    approve.NotNeeded: "one_person_is_enough",
    approve.SamePerson: "same_person",
    approve.NotWaiting: "not_waiting",
    approve.NoChecker: "no_checker",
    CannotBeDone: "cannot_be_done",
}
BODY = ("malformed", "invalid", "too_large", "unsupported_media_type")
LOOKING = ("forbidden", "no_such_case", *SIGNED_IN)
TRYING = ("no_such_resolution", "cannot_be_done", "would_break")
DOING = ("case_not_open", "stale_preview", "reason_missing", "amount_not_typed", *TRYING)
DECIDING = (
    "forbidden",
    "same_person",
    "no_such_request",
    "not_waiting",
    "stale_preview",
    "reason_missing",
    *SIGNED_IN,
)


class StaffOnly(SignedInWithScope):
    """
    Staff with the right to look at cases, and with the view's own `right`: who lacks it learns neither what there is
    nor what could be sent. Tokens have no scope here, so they are refused.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        return bool(
            request.user.is_staff and request.user.has_perms(["desk.view_case", *view.rights(request)])
        )


class DeskCaseSerializer(serializers.Serializer[Any]):
    """`resolutions` are what may be done about it, the suggested one first."""

    number = serializers.CharField()
    type = serializers.CharField(source="kind")
    subject = serializers.CharField()
    state = serializers.ChoiceField(choices=CaseState.choices)
    queue = serializers.ChoiceField(choices=Queue.choices)
    channel = serializers.CharField()
    purchase = serializers.CharField(source="purchase_number")
    payment = serializers.CharField(source="payment_number")
    amount = MoneyField()
    since = UtcField()
    opened_at = UtcField()
    due_at = UtcField()
    resolutions = serializers.SerializerMethodField()

    def get_resolutions(self, case: Case) -> list[str]:
        return [way.code for way in types.TYPES[case.kind].ways]


class DeskTrySerializer(StrictInput):
    resolution = StrictText(max_length=32)
    inputs = serializers.DictField(child=StrictText(max_length=200), required=False, default=dict)


class DeskDoSerializer(DeskTrySerializer):
    """`fingerprint` is the preview's: what was shown is what is done. `typed_minor`: the preview's amount."""

    fingerprint = StrictText(max_length=64)
    reason = StrictText(max_length=500)
    typed_minor = StrictInteger(required=False)


class DeskDecisionSerializer(StrictInput):
    reason = StrictText(max_length=500, required=False, allow_blank=True, default="")


class DeskMoveSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    number = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class DeskLineSerializer(serializers.Serializer[Any]):
    entry = serializers.CharField()
    account = serializers.CharField()
    amount_minor = serializers.IntegerField()
    currency = serializers.CharField()


class DeskMessageSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    about = serializers.CharField()


class DeskCheckSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    holds = serializers.BooleanField()
    why = serializers.CharField()


class DeskPreviewSerializer(serializers.Serializer[Any]):
    """What the resolution would do now: states, ledger lines, messages, and what must hold afterwards."""

    resolution = serializers.CharField()
    answer = serializers.CharField()
    moves = DeskMoveSerializer(many=True)
    lines = DeskLineSerializer(many=True)
    messages = DeskMessageSerializer(many=True)
    checks = DeskCheckSerializer(many=True)
    case_becomes = serializers.CharField()
    amount_minor = serializers.IntegerField()
    moved_minor = serializers.IntegerField()
    currency = serializers.CharField()
    needs_two = serializers.BooleanField()
    types_amount = serializers.BooleanField()
    fingerprint = serializers.CharField()


class DeskResolutionSerializer(serializers.Serializer[Any]):
    case = serializers.CharField(source="case.number")
    resolution = serializers.CharField()
    actor = serializers.CharField()
    approved_by = serializers.CharField()
    reason = serializers.CharField()
    at = UtcField()


class DeskRequestSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    case = serializers.CharField(source="case.number")
    resolution = serializers.CharField()
    state = serializers.ChoiceField(choices=RequestState.choices)
    amount_minor = serializers.IntegerField()
    currency = serializers.CharField()
    reason = serializers.CharField()
    maker = serializers.CharField(source="maker.handle")
    made_at = UtcField()


def person(request: Request) -> Person:
    return Person(signed_in(request), addresses.of(request._request) or None)


def answered(step: Callable[[], Any]) -> Any:
    """
    What the step answers.

    :raises Problem: what the step raised, by its code
    """
    try:
        return step()
    except tuple(PROBLEMS) as error:
        code = next(code for kind, code in PROBLEMS.items() if isinstance(error, kind))
        detail = str(error) if code in ("cannot_be_done", "would_break") else ""
        raise Problem(code=code, detail=detail) from error


def sent_as(request: Request, shape: type[StrictInput]) -> dict[str, Any]:
    """What was sent, checked."""
    data = shape(data=request.data)
    data.is_valid(raise_exception=True)
    return dict(data.validated_data)


def key_of(request: Request) -> str:
    """One key per person and Idempotency-Key, so that repeating a lost answer does it once, for ever."""
    sent = hashlib.sha256(request.headers["Idempotency-Key"].encode()).hexdigest()
    return f"api:{signed_in(request).pk}:{sent}"[:80]


class StaffView(APIView):
    # What the view needs besides the right to look at cases, e.g. `desk.approve_resolution`. (A docstring would stand
    # in the API's description.)
    permission_classes: list[type[BasePermission]] = [StaffOnly]
    right = ""

    def rights(self, _request: Request) -> list[str]:
        return [self.right] if self.right else []


class ResolvingView(StaffView):
    # About one case: needs the right to resolve it, also to try.
    def rights(self, _request: Request) -> list[str]:
        case = Case.objects.filter(number=self.kwargs.get("number", "")).first()
        return [resolve.full_right(resolve.right_of(case))] if case else []


class CaseView(StaffView):
    @extend_schema(
        operation_id="desk_case",
        summary="A case",
        responses={200: DeskCaseSerializer, **problem_responses(*LOOKING)},
    )
    def get(self, request: Request, number: str) -> Response:
        return Response(DeskCaseSerializer(answered(lambda: Case.objects.get(number=number))).data)


class PreviewView(ResolvingView):
    @extend_schema(
        operation_id="desk_preview",
        summary="What a resolution would do now",
        description="Changes nothing. A resolution that asks the channel asks it here too.",
        request=DeskTrySerializer,
        responses={
            200: DeskPreviewSerializer,
            **problem_responses(*BODY, *LOOKING, *TRYING),
        },
    )
    def post(self, request: Request, number: str) -> Response:
        sent = sent_as(request, DeskTrySerializer)
        shown: Preview = answered(lambda: resolve.preview(case_number=number, now=timezone.now(), **sent))
        return Response(DeskPreviewSerializer(shown).data)


class ResolveView(ResolvingView):
    @extend_schema(
        operation_id="desk_resolve",
        summary="Do what a preview showed",
        request=DeskDoSerializer,
        responses={
            200: DeskResolutionSerializer,
            **problem_responses(*KEYED, *LOOKING, *DOING, "needs_two_people"),
        },
    )
    @idempotent
    def post(self, request: Request, number: str) -> Response:
        sent, key = sent_as(request, DeskDoSerializer), key_of(request)
        done: Resolution = answered(
            lambda: resolve.execute(
                case_number=number, by=person(request), key=key, now=timezone.now(), **sent
            )
        )
        return Response(DeskResolutionSerializer(done).data)


class RequestsView(ResolvingView):
    @extend_schema(
        operation_id="desk_request",
        summary="Ask for a resolution that takes two people",
        request=DeskDoSerializer,
        responses={
            201: DeskRequestSerializer,
            **problem_responses(*KEYED, *LOOKING, *DOING, "one_person_is_enough", "no_checker"),
        },
    )
    @idempotent
    def post(self, request: Request, number: str) -> Response:
        sent, key = sent_as(request, DeskDoSerializer), key_of(request)
        asked: ResolutionRequest = answered(
            lambda: approve.request(
                case_number=number, by=person(request), key=key, now=timezone.now(), **sent
            )
        )
        return Response(DeskRequestSerializer(asked).data, status=201)


class ApproveView(StaffView):
    right = "desk.approve_resolution"

    @extend_schema(
        operation_id="desk_approve",
        summary="Approve a request and do it",
        description="Never by who asked for it. Repeating it answers the same resolution.",
        request=DeskDecisionSerializer,
        responses={200: DeskResolutionSerializer, **problem_responses(*BODY, *DECIDING)},
    )
    def post(self, request: Request, request_id: int) -> Response:
        sent = sent_as(request, DeskDecisionSerializer)
        done: Resolution = answered(
            lambda: approve.approve(request_id=request_id, by=person(request), now=timezone.now(), **sent)
        )
        return Response(DeskResolutionSerializer(done).data)


class RejectView(StaffView):
    right = "desk.approve_resolution"

    @extend_schema(
        operation_id="desk_reject",
        summary="Reject a request, and say why",
        description="Never by who asked for it: he withdraws it on the desk's page.",
        request=DeskDecisionSerializer,
        responses={200: DeskRequestSerializer, **problem_responses(*BODY, *DECIDING)},
    )
    def post(self, request: Request, request_id: int) -> Response:
        sent = sent_as(request, DeskDecisionSerializer)
        asked: ResolutionRequest = answered(
            lambda: approve.reject(request_id=request_id, by=person(request), now=timezone.now(), **sent)
        )
        return Response(DeskRequestSerializer(asked).data)
