"""/api/v1/auth/: register, sign in and out, who am I, tokens for programs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate, login, logout
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import signin, throttle, tokens
from accounts.models import ApiToken, Language, User
from basis import door
from basis.pagination import newest_first
from basis.problems import Problem, problem_responses
from basis.sealed import mask_email, mask_phone
from basis.shapes import UtcField

PASSWORD_LENGTH_MAX = 128
# What the guard of the door may answer (basis.door).
GUARDED = (*door.CODES, "unavailable")
TOKENS_LIVE_MAX = 50


class BadCredentials(Problem):
    """Which of the two is wrong, and whether there is such an account, is not said."""

    code = "bad_credentials"
    status = 401
    title = _("The account or the password is not right")


class TooManyTokens(Problem):
    """The account has as many live tokens as it may."""

    code = "too_many_tokens"
    status = 409
    title = _("There are too many tokens; revoke one first")


class MeSerializer(serializers.Serializer[Any]):
    """The signed-in user. Contacts are masked."""

    id = serializers.IntegerField()
    handle = serializers.CharField()
    name = serializers.CharField()
    phone = serializers.SerializerMethodField()
    email = serializers.SerializerMethodField()
    language = serializers.ChoiceField(choices=Language.choices)
    is_staff = serializers.BooleanField()
    joined_at = UtcField()

    def get_phone(self, user: User) -> str:
        return mask_phone(user.phone)

    def get_email(self, user: User) -> str:
        return mask_email(user.email)


class RegisterView(APIView):
    """Make an account."""

    public = True
    authentication_classes: list[type[BaseAuthentication]] = []

    class RegisterInput(serializers.Serializer[Any]):
        phone = serializers.CharField(max_length=32, required=False)
        email = serializers.CharField(max_length=254, required=False)
        password = serializers.CharField(
            max_length=PASSWORD_LENGTH_MAX, trim_whitespace=False, write_only=True
        )
        name = serializers.CharField(max_length=80, required=False, allow_blank=True)
        language = serializers.ChoiceField(choices=Language.choices, required=False)

    @extend_schema(
        operation_id="auth_register",
        summary="Register with a mobile number or an e-mail address",
        description="Does not sign in. Every value at fault is named, all at once.",
        request=RegisterInput,
        responses={201: MeSerializer, **problem_responses("malformed", "invalid", "too_many_requests")},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        admit_from(request, group="register", rate=throttle.REGISTER_PER_ADDRESS)
        data = self.RegisterInput(data=request.data)
        data.is_valid(raise_exception=True)
        user = signin.register(**data.validated_data, now=timezone.now())
        return Response(MeSerializer(user).data, status=201)


class SessionView(APIView):
    """The session of a browser: a cookie. Programs use tokens instead."""

    class SignInInput(serializers.Serializer[Any]):
        identifier = serializers.CharField(
            max_length=254, help_text="Mobile number, e-mail address or handle"
        )
        password = serializers.CharField(
            max_length=PASSWORD_LENGTH_MAX, trim_whitespace=False, write_only=True
        )

    @property
    def public(self) -> bool:
        # Whoever describes the API asks without a request.
        return getattr(self.request, "method", "") == "POST"

    def get_authenticators(self) -> list[BaseAuthentication]:
        # Who signs in is nobody yet: an old cookie must not make the CSRF check refuse him.
        return [] if self.public else super().get_authenticators()

    @extend_schema(
        operation_id="auth_sign_in",
        summary="Sign in",
        description="Sets the session cookie and a CSRF cookie; send the latter back as X-CSRFToken.",
        request=SignInInput,
        responses={
            200: MeSerializer,
            **problem_responses("malformed", "invalid", "bad_credentials", "too_many_requests", *GUARDED),
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        door.ask(request._request, "sign_in")
        data = self.SignInInput(data=request.data)
        data.is_valid(raise_exception=True)
        identifier = data.validated_data["identifier"]
        admit_from(request, group="sign_in", rate=throttle.SIGN_IN_PER_ADDRESS)
        throttle.admit(
            request._request,
            group="sign_in_as",
            value=signin.identity(identifier),
            rate=throttle.SIGN_IN_PER_IDENTIFIER,
        )
        user = authenticate(request._request, username=identifier, password=data.validated_data["password"])
        if user is None:
            raise BadCredentials
        login(request._request, user)
        return Response(MeSerializer(user).data)

    @extend_schema(
        operation_id="auth_sign_out",
        summary="Sign out",
        request=None,
        responses={204: None, **problem_responses("not_authenticated", "csrf_failed")},
    )
    def delete(self, request: Request) -> Response:
        logout(request._request)
        return Response(status=204)


class MeView(APIView):
    scopes = {"GET": "account:read"}

    @extend_schema(
        operation_id="auth_me",
        summary="Who am I",
        responses={200: MeSerializer, **problem_responses("not_authenticated", "bad_token", "scope_missing")},
    )
    def get(self, request: Request) -> Response:
        user = tokens.signed_in(request)
        if isinstance(request.auth, ApiToken):
            user = User.objects.get(
                pk=user.pk
            )  # A token's user comes without contacts; one query opens both.
        return Response(MeSerializer(user).data)


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    created_at = UtcField(read_only=True)
    expires_at = UtcField(read_only=True, allow_null=True)
    revoked_at = UtcField(read_only=True, allow_null=True)

    class Meta:
        model = ApiToken
        fields = ("id", "name", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "last_used_on")
        read_only_fields = fields


class IssuedTokenSerializer(TokenSerializer):
    """`secret` is shown this once and kept nowhere."""

    secret = serializers.CharField()

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "secret")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]


class TokensView(APIView):
    scopes = {"GET": "account:read", "POST": "account:write"}

    class IssueTokenInput(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=80)
        scopes = serializers.ListField(
            child=serializers.ChoiceField(choices=list(tokens.SCOPES.items())),
            allow_empty=False,
            max_length=len(tokens.SCOPES),
        )
        expires_at = serializers.DateTimeField(required=False, allow_null=True)

    class TokenPage(serializers.Serializer[Any]):
        items = TokenSerializer(many=True)
        next = serializers.URLField(allow_null=True)
        previous = serializers.URLField(allow_null=True)

    @extend_schema(
        operation_id="auth_tokens",
        summary="My tokens, newest first",
        responses={
            200: TokenPage,
            **problem_responses("invalid", "not_authenticated", "bad_token", "scope_missing"),
        },
    )
    def get(self, request: Request) -> Response:
        return newest_first(ApiToken.objects.filter(user=tokens.signed_in(request)), TokenSerializer, request)

    @extend_schema(
        operation_id="auth_issue_token",
        summary="Issue a token",
        description=(
            "Not idempotent on purpose: an answer that can be repeated would keep the secret. "
            "If the answer was lost, revoke the token and issue another."
        ),
        request=IssueTokenInput,
        responses={
            201: IssuedTokenSerializer,
            **problem_responses("malformed", "invalid", "not_authenticated", "bad_token", "scope_missing"),
            **problem_responses("too_many_tokens"),
        },
    )
    def post(self, request: Request) -> Response:
        data = self.IssueTokenInput(data=request.data)
        data.is_valid(raise_exception=True)
        now = timezone.now()
        wanted = data.validated_data
        expires_at = wanted.get("expires_at")
        if expires_at is not None and expires_at <= now:
            raise serializers.ValidationError({"expires_at": [_("Choose a time to come.")]})
        refuse_more_than_own(request, wanted["scopes"], expires_at)
        if (
            ApiToken.objects.filter(user=tokens.signed_in(request), revoked_at=None).count()
            >= TOKENS_LIVE_MAX
        ):
            raise TooManyTokens
        token, secret = tokens.issue_token(
            user=tokens.signed_in(request),
            name=wanted["name"],
            scopes=wanted["scopes"],
            expires_at=expires_at,
            now=now,
        )
        return Response(TokenSerializer(token).data | {"secret": secret}, status=201)


class TokenView(APIView):
    scopes = {"DELETE": "account:write"}

    @extend_schema(
        operation_id="auth_revoke_token",
        summary="Revoke a token",
        description="Takes effect with the next request. Revoking twice is fine.",
        request=None,
        responses={
            204: None,
            **problem_responses("not_authenticated", "bad_token", "scope_missing", "not_found"),
        },
    )
    def delete(self, request: Request, token_id: int) -> Response:
        if not tokens.revoke_token(token_id=token_id, user=tokens.signed_in(request), now=timezone.now()):
            raise Problem(code="not_found")
        return Response(status=204)


def admit_from(request: Request, *, group: str, rate: throttle.Rate) -> None:
    throttle.admit(request._request, group=group, value=throttle.address(request._request), rate=rate)


def refuse_more_than_own(request: Request, scopes: list[str], expires_at: Any) -> None:
    """A token may hand on what it holds, for as long as it lives itself; otherwise a small one would grow."""
    own = request.auth
    if not isinstance(own, ApiToken):
        return
    if not set(scopes) <= set(own.scopes):
        raise tokens.ScopeMissing(detail=_("A token can only issue tokens with scopes of its own."))
    if own.expires_at is not None and (expires_at is None or expires_at > own.expires_at):
        raise tokens.ScopeMissing(detail=_("A token can only issue tokens that expire no later than itself."))
