"""Which channels are open for business, and their adapters, built once per process from the settings."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from django.conf import settings

from basis import fast
from payments.channels.alipay import Alipay, AlipayConfig
from payments.channels.alipay_payouts import AlipayPayouts
from payments.channels.bills import BillChannel
from payments.channels.payouts import Payouts
from payments.channels.port import Channel
from payments.channels.wechat import Wechat, WechatConfig


class NoSuchChannel(Exception):
    """No channel of this code is configured."""


def channel(code: str) -> Channel:
    """
    The adapter of a channel.

    :raises NoSuchChannel: see there
    """
    try:
        return _channels()[code]
    except KeyError:
        raise NoSuchChannel(code) from None


def offered() -> list[str]:
    """The codes of the configured channels, in the order in which buyers see them."""
    return list(_channels())


def with_bills() -> dict[str, BillChannel]:
    """The configured channels that write statements."""
    found = {code: adapter for code, adapter in _channels().items() if hasattr(adapter, "ask_bill")}
    return cast("dict[str, BillChannel]", found)


def payouts() -> dict[str, Payouts]:
    """The configured channels that pay money out."""
    alipay = _channels().get("alipay")
    return {"alipay": AlipayPayouts(alipay.call)} if isinstance(alipay, Alipay) else {}


@lru_cache(maxsize=1)
def _channels() -> dict[str, Channel]:
    alipay, wechat = (_sandbox("alipay"), _sandbox("wechat")) if settings.SANDBOX_URL else ({}, {})
    found: dict[str, Channel] = {}
    alipay = alipay or settings.ALIPAY
    if alipay.get("app_id"):
        found["alipay"] = Alipay(AlipayConfig(**alipay, **_ours("alipay")))
    wechat = wechat or settings.WECHAT
    if wechat.get("mchid"):
        found["wechat"] = Wechat(WechatConfig(**wechat, **_ours("wechat")), replay_guard=_first_time)
    return found


def _ours(code: str) -> dict[str, Any]:
    return {
        "notify_url": f"{settings.PUBLIC_URL}/notify/{code}/",
        "read_timeout_s": settings.CHANNEL_TIMEOUT_S,
    }


def _sandbox(code: str) -> dict[str, Any]:
    """
    In development, the credentials that the channel sandbox made for its merchant; empty if it made none.
    """
    directory: Path = settings.CHANNEL_KEYS_DIR
    path = directory / "channels.json"
    if not path.exists():
        return {}
    facts = json.loads(path.read_text())[code]
    if code == "alipay":
        return {
            "gateway_url": f"{settings.SANDBOX_URL}/alipay/gateway.do",
            "app_id": facts["app_id"],
            "seller_id": facts["seller_id"],
            "app_private_key_pem": (directory / facts["app_private_key"]).read_text(),
            "alipay_public_key_pem": (directory / facts["alipay_public_key"]).read_text(),
            "product": settings.ALIPAY["product"],
        }
    return {
        "gateway_url": f"{settings.SANDBOX_URL}/wechat",
        "appid": facts["appid"],
        "mchid": facts["mchid"],
        "merchant_serial": facts["merchant_serial"],
        "merchant_private_key_pem": (directory / facts["merchant_private_key"]).read_text(),
        "apiv3_key": facts["apiv3_key"],
        "platform_keys": {
            serial: (directory / name).read_text() for serial, name in facts["platform_keys"].items()
        },
    }


def _first_time(key: str, *_: object) -> bool:
    """
    Whether this signed message was not seen before. The inbox's unique row decides; this only refuses sooner.
    """
    try:
        return bool(fast.store().set(f"replay:{{{key}}}", 1, nx=True, ex=900))
    except fast.FastStoreAway:
        return True
