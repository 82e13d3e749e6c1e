"""The door of the administration: the same bounds on guessing as at the buyers' (accounts.throttle)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.forms import AuthenticationForm

from accounts import signin, throttle
from basis.problems import Problem


class StaffSignInForm(AuthenticationForm):
    """Tries are counted before the password is looked at, and together with those at the other doors."""

    def clean(self) -> dict[str, Any]:
        identifier = self.cleaned_data.get("username") or ""
        if self.request is not None and identifier:
            self._admit("sign_in", throttle.address(self.request), throttle.SIGN_IN_PER_ADDRESS)
            self._admit("sign_in_as", signin.identity(identifier), throttle.SIGN_IN_PER_IDENTIFIER)
        return super().clean()

    def _admit(self, group: str, value: str, rate: throttle.Rate) -> None:
        try:
            throttle.admit(self.request, group=group, value=value, rate=rate)
        except Problem as refused:
            text = _("Too many tries. Wait a few minutes, then try again.")
            raise ValidationError(text, code="too_many_requests") from refused
