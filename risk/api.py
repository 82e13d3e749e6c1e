"""/api/v1/challenge: hand in the answer to a challenge, and get the pass that it earns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from basis.problems import Problem, define, problem_responses
from basis.shapes import StrictInput, StrictText, UtcField
from risk import challenge, gate_web, policy
from risk.features import ORDER, SIGN_IN

define("challenge_failed", status=409, title=_("The answer does not earn a pass"))


class ChallengeAnswerSerializer(StrictInput):
    """`answer`: a number such that SHA-256 of `<token>.<answer>` begins with `difficulty` zero bits."""

    token = StrictText(max_length=challenge.TEXT_MAX, trim_whitespace=False)
    answer = StrictText(max_length=16, trim_whitespace=False)


class EarnedSerializer(serializers.Serializer[Any]):
    """Send `pass` in the header `X-Challenge-Pass`."""

    purpose = serializers.ChoiceField(choices=[ORDER, SIGN_IN])
    expires_at = UtcField()

    def get_fields(self) -> dict[str, Any]:
        # A member of this name cannot be written as a class attribute.
        return super().get_fields() | {"pass": serializers.CharField(source="text")}


class ChallengeView(APIView):
    """Open to everybody, as signing in is what may be challenged."""

    public = True

    @extend_schema(
        operation_id="challenge_answer",
        summary="Answer a challenge",
        description=(
            "A request that was refused with `challenge_required` carries a challenge. Needs no Idempotency-Key: it "
            "changes nothing but the challenge, which counts once."
        ),
        request=ChallengeAnswerSerializer,
        responses={200: EarnedSerializer, **problem_responses("malformed", "invalid", "challenge_failed")},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = ChallengeAnswerSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        now = timezone.now()
        subject = challenge.subject_of(gate_web.features_of(request._request, ORDER, now=now))
        try:
            earned = challenge.take_answer(
                data.validated_data["token"],
                data.validated_data["answer"],
                subject=subject,
                pass_life=timedelta(minutes=policy.current().pass_minutes),
                now=now,
            )
        except challenge.ChallengeRefused as error:
            detail = _("Repeat the first request to get a new challenge.")
            raise Problem(code="challenge_failed", detail=detail, reason=error.reason) from error
        return Response(EarnedSerializer(earned).data, headers={"Cache-Control": "no-store"})
