"""Signing in, up and out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import authenticate, login, logout
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import signin, throttle
from accounts.models import Language
from basis.problems import Problem
from risk.pages import gated
from ticketing.pages.answers import SeeOther, safe_next, unkept

PASSWORD_LENGTH_MAX = 128
BACKEND = "accounts.signin.PhoneOrEmailBackend"


class SignInForm(forms.Form):
    identifier = forms.CharField(
        label=_("Mobile number or e-mail"),
        max_length=254,
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=PASSWORD_LENGTH_MAX,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class SignUpForm(forms.Form):
    identifier = forms.CharField(
        label=_("Mobile number or e-mail"),
        max_length=254,
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    name = forms.CharField(
        label=_("Your name (may be left out)"),
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = forms.CharField(
        label=_("Password"),
        help_text=_("At least 10 characters."),
        max_length=PASSWORD_LENGTH_MAX,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


@unkept
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@gated("sign_in", needs_buyer=False)
def sign_in(request: HttpRequest) -> HttpResponse:
    form = SignInForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        identifier = form.cleaned_data["identifier"]
        try:
            _admit(request, "sign_in", throttle.SIGN_IN_PER_ADDRESS)
            throttle.admit(
                request,
                group="sign_in_as",
                value=signin.identity(identifier),
                rate=throttle.SIGN_IN_PER_IDENTIFIER,
            )
        except Problem as problem:
            return _too_many(request, "pages/sign_in.html", form, problem)
        user = authenticate(request, username=identifier, password=form.cleaned_data["password"])
        if user is not None:
            login(request, user)
            return SeeOther(_next(request))
        form.add_error(None, _("The account or the password is not right."))
    return _form(request, "pages/sign_in.html", form)


@unkept
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            _admit(request, "register", throttle.REGISTER_PER_ADDRESS)
        except Problem as problem:
            return _too_many(request, "pages/sign_up.html", form, problem)
        try:
            user = signin.register(**_registration(form.cleaned_data), now=timezone.now())
        except ValidationError as error:
            for field, errors in error.error_dict.items():
                form.add_error("password" if field == "password" else "identifier", errors)
        else:
            login(request, user, backend=BACKEND)
            return SeeOther(_next(request))
    return _form(request, "pages/sign_up.html", form)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return SeeOther("/")


def _registration(data: dict[str, Any]) -> dict[str, Any]:
    identifier = data["identifier"]
    contact = {"email": identifier} if "@" in identifier else {"phone": identifier}
    language = get_language() if get_language() in Language.values else Language.CHINESE
    return {"password": data["password"], "name": data["name"], "language": language, **contact}


def _admit(request: HttpRequest, group: str, rate: throttle.Rate) -> None:
    throttle.admit(request, group=group, value=throttle.address(request), rate=rate)


def _too_many(request: HttpRequest, template: str, form: forms.Form, problem: Problem) -> HttpResponse:
    form.add_error(None, _("Too many tries. Wait a few minutes, then try again."))
    response = _form(request, template, form)
    response.status_code = 429
    response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _next(request: HttpRequest) -> str:
    return safe_next(request, request.POST.get("next") or request.GET.get("next"))


def _form(request: HttpRequest, template: str, form: forms.Form) -> HttpResponse:
    status = 400 if form.errors else 200
    return render(request, template, {"form": form, "next": _next(request)}, status=status)
