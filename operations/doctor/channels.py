"""The channels' credentials: there, well-formed, and good enough to build the adapters with. Nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings

from operations.doctor.findings import Finding, failure, warning, well
from payments.channels import registry
from payments.channels.signing import BadKey, load_private, load_public

FORMS = {
    "alipay": {"app_id": r"\d{16}", "seller_id": r"2088\d{12}"},
    "wechat": {
        "appid": r"wx[0-9a-zA-Z]{16}",
        "mchid": r"\d{8,10}",
        "merchant_serial": r"[0-9A-Fa-f]{16,40}",
        "apiv3_key": r".{32}",
    },
}
KEYS: dict[str, dict[str, Callable[[str], object]]] = {
    "alipay": {"app_private_key_pem": load_private, "alipay_public_key_pem": load_public},
    "wechat": {"merchant_private_key_pem": load_private},
}
OWN = {"alipay": "app_id", "wechat": "mchid"}


def credentials() -> Iterator[Finding]:
    for code, facts in (("alipay", settings.ALIPAY), ("wechat", settings.WECHAT)):
        if facts.get(OWN[code]):
            yield _well_formed(code, facts)
    yield _offered()


def _well_formed(code: str, facts: dict[str, Any]) -> Finding:
    """What stands in the environment, variable by variable. Values are never told."""
    wrong = [
        name
        for name, form in FORMS[code].items()
        if not re.fullmatch(form, str(facts.get(name, "")), re.DOTALL)
    ]
    for name, load in KEYS[code].items():
        try:
            load(facts.get(name, ""))
        except BadKey as error:
            wrong.append(f"{name} ({error})")
    for serial, pem in (facts.get("platform_keys") or {}).items():
        try:
            load_public(pem)
        except BadKey as error:
            wrong.append(f"platform key {serial} ({error})")
    if code == "wechat" and not facts.get("platform_keys"):
        wrong.append("platform_keys")
    if not str(facts["gateway_url"]).startswith("https://"):
        wrong.append("gateway_url")
    if not wrong:
        return well(f"{code} credentials", "complete and well-formed")
    names = ", ".join(wrong)
    return failure(
        f"{code} credentials",
        f"missing or malformed: {names}",
        f"correct the variables {code.upper()}_… (docs/settings.md); buyers cannot pay there",
    )


def _offered() -> Finding:
    try:
        codes = registry.offered()
    except (ValueError, OSError, KeyError) as error:
        return failure(
            "channels", f"cannot be opened: {error}", "correct the credentials; nobody can pay now"
        )
    if codes:
        source = " of the sandbox" if settings.SANDBOX_URL and settings.SANDBOX_URL in _urls() else ""
        return well("channels", f"{', '.join(codes)}{source} beside the wallet")
    return warning(
        "channels",
        "none but the wallet",
        "set the credentials of a channel, or run manage.py stack run, which brings the sandbox",
    )


def _urls() -> str:
    """Where the adapters go, as text, to tell the sandbox from the real thing."""
    adapters = (registry.channel(code) for code in registry.offered())
    return " ".join(str(vars(adapter)["_config"].gateway_url) for adapter in adapters)
