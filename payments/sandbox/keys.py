"""
Make every key of a merchant and of its two gateways once, as files.

`channels.json` is what the merchant holds: its own private keys and the gateways' public ones. `gateway.json`
is what the gateways hold. Neither names the other's secrets. File names inside are relative to the directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

from payments.sandbox import crypto

PRIVATE, PUBLIC = 0o600, 0o644
CERTIFICATE_LASTS = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Material:
    """
    What the gateways need at run time. `platform_keys` keeps the order: public key id first, then
    certificate.
    """

    app_id: str
    seller_id: str
    alipay_key: RSAPrivateKey
    app_public_key: RSAPublicKey
    appid: str
    mchid: str
    merchant_serial: str
    merchant_public_key: RSAPublicKey
    apiv3_key: str
    platform_keys: dict[str, RSAPrivateKey]
    platform_certificates: dict[str, bytes]


def make(directory: Path) -> Path:
    """
    Write all key material unless it is there already, and return the path of `channels.json`.

    Several callers may race: one makes, the others wait. `channels.json` is written last, so it never names a
    file that is not there.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    channels = directory / "channels.json"
    with _only_one(directory):
        if not channels.exists():
            _make_all(directory)
    return channels


def load(directory: Path) -> Material:
    """:raises FileNotFoundError: `make` has not run there"""
    about = json.loads((directory / "gateway.json").read_text())
    alipay, wechat = about["alipay"], about["wechat"]
    return Material(
        app_id=alipay["app_id"],
        seller_id=alipay["seller_id"],
        alipay_key=crypto.read_private(directory / alipay["alipay_private_key"]),
        app_public_key=crypto.read_public(directory / alipay["app_public_key"]),
        appid=wechat["appid"],
        mchid=wechat["mchid"],
        merchant_serial=wechat["merchant_serial"],
        merchant_public_key=crypto.read_public(directory / wechat["merchant_public_key"]),
        apiv3_key=wechat["apiv3_key"],
        platform_keys={
            serial: crypto.read_private(directory / name)
            for serial, name in wechat["platform_private_keys"].items()
        },
        platform_certificates={
            serial: (directory / name).read_bytes()
            for serial, name in wechat["platform_certificates"].items()
        },
    )


def _make_all(directory: Path) -> None:
    for name in ("alipay_app", "alipay_gateway", "wechat_merchant"):
        _write_pair(directory, name, crypto.new_key())
    names = {
        "app_id": "20210" + _digits(11),
        "seller_id": "2088" + _digits(12),
        "appid": "wx" + secrets.token_hex(8),
        "mchid": "16" + _digits(8),
        "merchant_serial": secrets.token_hex(20).upper(),
        "apiv3_key": secrets.token_hex(16),
    }
    # The two families of platform keys that WeChat mixes while a merchant switches from one to the other.
    public_id, hex_serial = "PUB_KEY_ID_0" + _digits(27), "5" + secrets.token_hex(19).upper()
    _write_pair(directory, "wechat_platform_public", crypto.new_key())
    certified = crypto.new_key()
    _write_pair(directory, "wechat_platform_certified", certified)
    _write(directory / "wechat_platform_certified_cert.pem", _certificate(certified, hex_serial), PUBLIC)
    serials = {public_id: "wechat_platform_public", hex_serial: "wechat_platform_certified"}
    _write_json(directory / "gateway.json", _gateway_side(names, serials, hex_serial))
    _write_json(directory / "channels.json", _merchant_side(names, serials))


def _merchant_side(names: dict[str, str], serials: dict[str, str]) -> dict[str, Any]:
    return {
        "alipay": {
            "app_id": names["app_id"],
            "seller_id": names["seller_id"],
            "app_private_key": "alipay_app_private.pem",
            "alipay_public_key": "alipay_gateway_public.pem",
        },
        "wechat": {
            "appid": names["appid"],
            "mchid": names["mchid"],
            "merchant_serial": names["merchant_serial"],
            "merchant_private_key": "wechat_merchant_private.pem",
            "apiv3_key": names["apiv3_key"],
            "platform_keys": {serial: f"{file}_public.pem" for serial, file in serials.items()},
        },
    }


def _gateway_side(names: dict[str, str], serials: dict[str, str], certified: str) -> dict[str, Any]:
    return {
        "alipay": {
            "app_id": names["app_id"],
            "seller_id": names["seller_id"],
            "alipay_private_key": "alipay_gateway_private.pem",
            "app_public_key": "alipay_app_public.pem",
        },
        "wechat": {
            "appid": names["appid"],
            "mchid": names["mchid"],
            "merchant_serial": names["merchant_serial"],
            "merchant_public_key": "wechat_merchant_public.pem",
            "apiv3_key": names["apiv3_key"],
            "platform_private_keys": {serial: f"{file}_private.pem" for serial, file in serials.items()},
            "platform_certificates": {certified: f"{serials[certified]}_cert.pem"},
        },
    }


def _digits(count: int) -> str:
    return "".join(secrets.choice("0123456789") for _ in range(count))


def _certificate(key: RSAPrivateKey, serial: str) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kaipiao sandbox platform")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int(serial, 16))
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + CERTIFICATE_LASTS)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    with (directory / ".making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_pair(directory: Path, name: str, key: RSAPrivateKey) -> None:
    _write(directory / f"{name}_private.pem", crypto.private_pem(key), PRIVATE)
    _write(directory / f"{name}_public.pem", crypto.public_pem(key), PUBLIC)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write(path, json.dumps(content, indent=2).encode() + b"\n", PRIVATE)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all: under another name first, with its final mode, then renamed."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        file.write(content)
        file.flush()
        os.fsync(handle)
    os.replace(temporary, path)
