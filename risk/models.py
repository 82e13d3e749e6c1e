"""What risk remembers for good. Counters, queues and limits live in the fast store."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class BurnedToken(models.Model):
    """A payment token that was used. The unique nonce decides who used it; the fast store only knows it sooner."""

    nonce = models.CharField(max_length=32)
    subject = models.CharField(max_length=48)
    buyer_id = models.BigIntegerField()
    burned_for = models.CharField(max_length=32)
    burned_at = models.DateTimeField()

    class Meta:
        verbose_name = _("burned payment token")
        verbose_name_plural = _("burned payment tokens")
        constraints = [models.UniqueConstraint(name="risk_burnedtoken_nonce_once", fields=["nonce"])]

    def __str__(self) -> str:
        return f"{self.subject} → {self.burned_for}"


# -- the gate: what staff set
# -------------------------------------------------------------------------------------------
class Edited(models.Model):
    """Who set it last, why and when."""

    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    updated_by = models.CharField(_("set by"), max_length=64, blank=True, default="", editable=False)
    updated_at = models.DateTimeField(_("set at"), db_default=Now(), editable=False)

    class Meta:
        abstract = True


class PolicyVersion(models.Model):
    """One row. Triggers give it a new version whenever one of the gate's tables changes, however it is changed."""

    version = models.BigIntegerField()

    def __str__(self) -> str:
        return str(self.version)


class RuleMode(models.TextChoices):
    OFF = "off", _("off")
    SHADOW = "shadow", _("shadow: judges and logs, does not act")
    ON = "on", _("on")


class RuleVerdict(models.TextChoices):
    SCORE = "score", _("adds its weight")
    CHALLENGE = "challenge", _("challenge")
    DENY = "deny", _("deny")


class RuleSetting(Edited):
    """How one rule of `risk.rules` is used. A rule without a row is off."""

    code = models.CharField(_("rule"), max_length=40, unique=True)
    mode = models.CharField(_("mode"), max_length=8, choices=RuleMode, default=RuleMode.SHADOW)
    verdict = models.CharField(
        _("verdict alone"), max_length=10, choices=RuleVerdict, default=RuleVerdict.SCORE
    )
    weight = models.PositiveSmallIntegerField(
        _("weight"),
        default=25,
        validators=[MaxValueValidator(1000)],
        help_text=_("Weights of all rules that find something are added up."),
    )
    parameters = models.JSONField(_("parameters"), default=dict, blank=True)
    if_failed = models.CharField(
        _("if the rule itself fails"),
        max_length=10,
        choices=[("allow", _("allow")), ("deny", _("deny"))],
        default="allow",
    )

    class Meta:
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(name="risk_rulesetting_mode", condition=Q(mode__in=RuleMode.values)),
            models.CheckConstraint(
                name="risk_rulesetting_verdict", condition=Q(verdict__in=RuleVerdict.values)
            ),
        ]

    def __str__(self) -> str:
        return self.code

    def clean(self) -> None:
        """
        :raises ValidationError: no such rule, or parameters that it does not declare or that are out of bounds
        """
        from risk import rules

        if self.code not in rules.RULES:
            raise ValidationError({"code": _("There is no such rule.")})
        try:
            self.parameters = rules.checked(self.code, self.parameters or {})
        except rules.BadParameter as error:
            raise ValidationError({"parameters": str(error)}) from None


class GateSetting(Edited):
    """One row: from which score on the gate acts, and how hard its challenge is."""

    challenge_at = models.PositiveSmallIntegerField(_("challenge from score"), default=50)
    deny_at = models.PositiveSmallIntegerField(_("deny from score"), default=100)
    difficulty = models.PositiveSmallIntegerField(
        _("difficulty of the challenge"),
        default=15,
        validators=[MinValueValidator(8), MaxValueValidator(24)],
        help_text=_("Leading zero bits; every bit doubles the work. 15 takes a phone well under a second."),
    )
    pass_minutes = models.PositiveSmallIntegerField(
        _("a passed challenge counts for minutes"),
        default=15,
        validators=[MinValueValidator(1), MaxValueValidator(24 * 60)],
    )

    class Meta:
        verbose_name = _("gate")
        verbose_name_plural = _("gate")
        constraints = [
            models.CheckConstraint(name="risk_gatesetting_one_row", condition=Q(pk=1)),
            models.CheckConstraint(
                name="risk_gatesetting_deny_above_challenge", condition=Q(deny_at__gte=F("challenge_at"))
            ),
        ]

    def __str__(self) -> str:
        return str(_("gate"))

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)


class ListKind(models.TextChoices):
    ALLOW = "allow", _("allow")
    DENY = "deny", _("deny")


class Subject(models.TextChoices):
    BUYER = "buyer", _("buyer (id)")
    ADDRESS = "address", _("address")
    NETWORK = "network", _("network (CIDR)")
    DEVICE = "device", _("device mark")
    CARD = "card", _("card")
    DOCUMENT = "document", _("identity document")


SEALED_SUBJECTS = frozenset({Subject.DEVICE, Subject.CARD, Subject.DOCUMENT})


class ListEntry(models.Model):
    """Somebody whom the gate lets pass or refuses, whatever the rules say. What is secret is a blind index."""

    kind = models.CharField(_("list"), max_length=5, choices=ListKind)
    subject = models.CharField(_("of"), max_length=8, choices=Subject)
    value = models.CharField(
        _("value"), max_length=64, help_text=_("Stored as a blind index where it is secret.")
    )
    hint = models.CharField(_("hint"), max_length=16, blank=True, default="", editable=False)
    reason = models.CharField(_("reason"), max_length=200)
    added_by = models.CharField(_("added by"), max_length=64, blank=True, default="", editable=False)
    added_at = models.DateTimeField(_("added at"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)

    class Meta:
        verbose_name = _("list entry")
        verbose_name_plural = _("allow and deny lists")
        constraints = [
            models.UniqueConstraint(name="risk_listentry_once", fields=["kind", "subject", "value"]),
            models.CheckConstraint(name="risk_listentry_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} {self.hint or self.value}"


class Route(models.TextChoices):
    ORDER = "order", _("placing an order")
    SIGN_IN = "sign_in", _("signing in")
    PAYMENT_TOKEN = "payment_token", _("payment tokens")


class LimitScope(models.TextChoices):
    SHOW = "show", _("all together, by show")
    BUYER = "buyer", _("each buyer")
    ADDRESS = "address", _("each address")
    DEVICE = "device", _("each device")


class LimitSetting(Edited):
    """At most `limit` per `window_ms`. Without a row nothing is limited here, and the fast store is not asked."""

    route = models.CharField(_("what is limited"), max_length=16, choices=Route)
    scope = models.CharField(_("counted for"), max_length=8, choices=LimitScope)
    show = models.CharField(
        _("show"), max_length=50, blank=True, default="", help_text=_("Empty: every show.")
    )
    limit = models.PositiveIntegerField(_("limit"), validators=[MinValueValidator(1)])
    window_ms = models.PositiveIntegerField(
        _("in milliseconds"), default=1000, validators=[MinValueValidator(100), MaxValueValidator(3_600_000)]
    )
    if_away = models.CharField(
        _("while the fast store is away"),
        max_length=6,
        choices=[("closed", _("refuse")), ("open", _("let pass"))],
        default="closed",
    )
    is_on = models.BooleanField(_("on"), default=True)

    class Meta:
        verbose_name = _("limit")
        verbose_name_plural = _("limits")
        constraints = [
            models.UniqueConstraint(
                name="risk_limitsetting_once", fields=["route", "scope", "show", "window_ms"]
            ),
            models.CheckConstraint(
                name="risk_limitsetting_positive", condition=Q(limit__gte=1, window_ms__gte=100)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.route} {self.scope} {self.show or '*'}: {self.limit}/{self.window_ms} ms"


# -- the gate: what it did
# ----------------------------------------------------------------------------------------------
class Judgement(models.Model):
    """One verdict with its reasons. Arrives through the fast store in batches; losing that loses only these rows."""

    key = models.CharField(max_length=40, unique=True)
    at = models.DateTimeField(_("at"), db_index=True)
    purpose = models.CharField(_("purpose"), max_length=16)
    verdict = models.CharField(_("verdict"), max_length=10)
    score = models.IntegerField(_("score"), default=0)
    reasons = models.JSONField(_("reasons"), default=list)
    buyer_id = models.BigIntegerField(_("buyer"), null=True, blank=True, db_index=True)
    show = models.CharField(_("show"), max_length=50, blank=True)
    address = models.CharField(_("address"), max_length=45, blank=True)
    device = models.CharField(_("device"), max_length=64, blank=True)
    request_id = models.CharField(_("request"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("judgement")
        verbose_name_plural = _("judgements")

    def __str__(self) -> str:
        return f"{self.purpose}: {self.verdict}"


# Other parts of risk keep their tables in modules of their own.
from risk.load_models import ThresholdEstimate, ThresholdSetting  # noqa: E402, F401
from risk.room_models import Room, RoomEvent  # noqa: E402, F401
from risk.switch_models import KillSwitch, SwitchEvent  # noqa: E402, F401
from risk.trading_models import (  # noqa: E402
    BuyerDevice,  # noqa: F401
    MerchantDay,  # noqa: F401
    MerchantPerson,  # noqa: F401
    RiskFinding,  # noqa: F401
    SettlementHold,  # noqa: F401
    TradingRule,  # noqa: F401
)
