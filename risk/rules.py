"""
The rules: pure functions over features, each with the parameters that staff may tune. Whether, how strictly and with
which weight one is used is a `RuleSetting`; `risk.judge` applies them.

A rule answers None, or what it found in a sentence for staff. It never decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from risk.features import Features, Need

WINDOWS_S = (10, 60, 600)


class BadParameter(Exception):
    """A parameter that the rule does not declare, of the wrong kind, or out of its bounds."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A whole number within bounds, one of `choices`, or (`words`) a list of short texts."""

    name: str
    default: Any
    low: int = 0
    high: int = 1_000_000
    choices: tuple[int, ...] = ()
    words: bool = False

    def checked(self, value: Any) -> Any:
        """
        :raises BadParameter: see there
        """
        if self.words:
            if not isinstance(value, list) or len(value) > 50 or not all(_is_word(word) for word in value):
                raise BadParameter(f"{self.name}: a list of at most 50 texts of 2 to 40 characters")
            return [word.lower() for word in value]
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadParameter(f"{self.name}: a whole number")
        if self.choices and value not in self.choices:
            raise BadParameter(f"{self.name}: one of {', '.join(map(str, self.choices))}")
        if not self.low <= value <= self.high:
            raise BadParameter(f"{self.name}: from {self.low} to {self.high}")
        return value


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule saw, for staff to read."""

    message: str


Judge = Callable[[Features, Mapping[str, Any]], Finding | None]


@dataclass(frozen=True, slots=True)
class RuleKind:
    code: str
    judge: Judge
    parameters: tuple[Parameter, ...]
    needs: frozenset[Need]

    @property
    def about(self) -> str:
        return (self.judge.__doc__ or "").strip()


RULES: dict[str, RuleKind] = {}


def rule(*parameters: Parameter, needs: tuple[Need, ...] = ()) -> Callable[[Judge], Judge]:
    """Register a rule under its function's name."""

    def register(judge: Judge) -> Judge:
        code = judge.__name__
        RULES[code] = RuleKind(code, judge, parameters, frozenset(needs))
        return judge

    return register


def checked(code: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """
    The rule's parameters, whole: what was given, else the defaults.

    :raises BadParameter: see there
    """
    declared = {parameter.name: parameter for parameter in RULES[code].parameters}
    if not isinstance(given, Mapping):
        raise BadParameter("an object of parameters")
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise BadParameter(f"{code} has no {', '.join(unknown)}; it has {', '.join(declared) or 'none'}")
    return {
        name: parameter.checked(given.get(name, parameter.default)) for name, parameter in declared.items()
    }


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 2 <= len(value) <= 40


# -- how often
# -----------------------------------------------------------------------------------------------------------
WINDOW = Parameter("window_s", 60, choices=WINDOWS_S)


def _too_often(features: Features, parameters: Mapping[str, Any], who: str) -> Finding | None:
    seen = features.rates.counts.get((who, parameters["window_s"]), 0) if features.rates else 0
    if seen <= parameters["most"]:
        return None
    return Finding(f"{seen} requests of one {who} in {parameters['window_s']} s, above {parameters['most']}")


@rule(WINDOW, Parameter("most", 20, low=1), needs=(Need.RATES,))
def often_by_buyer(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """One buyer asks more often than a person presses."""
    return _too_often(features, parameters, "buyer")


@rule(WINDOW, Parameter("most", 300, low=1), needs=(Need.RATES,))
def often_by_address(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """One address asks more often than a dormitory behind one router would."""
    return _too_often(features, parameters, "address")


@rule(WINDOW, Parameter("most", 30, low=1), needs=(Need.RATES,))
def often_by_device(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """One device asks more often than a person presses."""
    return _too_often(features, parameters, "device")


@rule(Parameter("most", 3, low=1), needs=(Need.RATES,))
def many_buyers_on_device(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """One device serves many accounts within an hour or two."""
    seen = features.rates.buyers_on_device if features.rates else 0
    return Finding(f"about {seen} buyers on one device") if seen > parameters["most"] else None


@rule(Parameter("most", 200, low=1), needs=(Need.RATES,))
def many_buyers_on_address(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """One address serves very many accounts within an hour or two."""
    seen = features.rates.buyers_on_address if features.rates else 0
    return Finding(f"about {seen} buyers on one address") if seen > parameters["most"] else None


@rule(Parameter("most", 5, low=1), needs=(Need.RATES,))
def many_addresses_of_buyer(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """One account comes from many addresses within an hour or two: rented proxies, or a shared account."""
    seen = features.rates.addresses_of_buyer if features.rates else 0
    return Finding(f"one buyer from about {seen} addresses") if seen > parameters["most"] else None


# -- what it comes with
# ----------------------------------------------------------------------------------------------------
SCRIPTS = [
    "curl",
    "wget",
    "python-requests",
    "python-urllib",
    "aiohttp",
    "httpx",
    "scrapy",
    "headless",
    "phantomjs",
]


@rule(Parameter("words", SCRIPTS, words=True))
def script_agent(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """The user agent is missing or names a script."""
    agent = features.agent.lower()
    if not agent:
        return Finding("no user agent")
    named = next((word for word in parameters["words"] if word in agent), None)
    return Finding(f"the user agent names {named}") if named else None


@rule()
def no_device_mark(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """The request carries no device mark, as one does that never loaded a page."""
    return None if features.device else Finding("no device mark")


@rule()
def no_language(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """The request names no language; every browser does."""
    return None if features.language else Finding("no Accept-Language")


# -- who it is
# ---------------------------------------------------------------------------------------------------------------
@rule(Parameter("minutes", 60, low=1, high=525_600))
def young_account(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """The account was made shortly before."""
    if features.account_age is None:
        return None
    minutes = features.account_age.total_seconds() / 60
    if minutes >= parameters["minutes"]:
        return None
    return Finding(f"the account is {minutes:.0f} minutes old, under {parameters['minutes']}")


@rule(Parameter("orders", 5, low=1), Parameter("paid_percent", 20, high=100), needs=(Need.HISTORY,))
def holds_and_lets_go(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """The buyer places orders and rarely pays one: seats held back from the others."""
    past = features.history
    if past is None or past.unpaid_ended < parameters["orders"]:
        return None
    if past.paid * 100 >= parameters["paid_percent"] * past.placed:
        return None
    return Finding(f"{past.unpaid_ended} of {past.placed} orders ended unpaid, {past.paid} were paid")


@rule(Parameter("most", 3, low=1), needs=(Need.HISTORY,))
def refunds_often(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """The buyer has given back many orders."""
    past = features.history
    if past is None or past.refunded <= parameters["most"]:
        return None
    return Finding(f"{past.refunded} refunded orders, above {parameters['most']}")


@rule()
def no_document(features: Features, parameters: Mapping[str, Any]) -> Finding | None:
    """The buyer has named no identity document."""
    return None if features.document or not features.signed_in else Finding("no identity document")
