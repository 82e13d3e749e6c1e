"""
Personal data at rest: sealed columns (AES-256-GCM), blind indexes to find them by, masks to show them with.

A token is `v1.<key id>.<base64url(nonce + ciphertext + tag)>`. `settings.DATA_KEYS` lists the keys, newest
first: new tokens use the first, old tokens open with the key that their id names. To rotate: list the new key
second on every machine, then first; run `manage.py reseal_people`; drop the old key. While two keys are listed, a
blind index is looked up under both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models

VERSION = "v1"
NONCE_BYTES = 12


class Unsealable(Exception):
    """The token is damaged or forged, or was sealed with a key that `DATA_KEYS` no longer lists."""


def seal(text: str) -> str:
    """Encrypt `text` with the newest key. Two calls give two different tokens."""
    key_id, aead, _index_key = _ring(tuple(settings.DATA_KEYS))[0]
    nonce = os.urandom(NONCE_BYTES)
    sealed = aead.encrypt(nonce, text.encode(), f"{VERSION}.{key_id}".encode())
    return f"{VERSION}.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def open_sealed(token: str) -> str:
    """
    The text inside a token made by `seal`.

    :raises Unsealable: damaged, forged, or its key is gone
    """
    version, _dot, rest = token.partition(".")
    key_id, _dot, payload = rest.partition(".")
    aead = {ring_id: ring_aead for ring_id, ring_aead, _ in _ring(tuple(settings.DATA_KEYS))}.get(key_id)
    if version != VERSION or aead is None:
        raise Unsealable("the token is not ours, or its key is not listed")
    try:
        raw = base64.urlsafe_b64decode(payload)
        return aead.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], f"{version}.{key_id}".encode()).decode()
    except (InvalidTag, ValueError, binascii.Error) as error:
        raise Unsealable("the token is damaged") from error


def sealed_with_newest(token: str) -> bool:
    """False means that a rotation has not reached this token yet."""
    return token.startswith(f"{VERSION}.{_ring(tuple(settings.DATA_KEYS))[0][0]}.")


def listed_keys() -> list[str]:
    """The names of the listed keys, newest first, as they stand in front of what each sealed."""
    return [key_id for key_id, _aead, _index_key in _ring(tuple(settings.DATA_KEYS))]


def blind_index(text: str, purpose: str) -> str:
    """
    HMAC-SHA256 (hex) under the newest key: equal texts give equal indexes, which tell nothing without the
    key.
    """
    return blind_indexes(text, purpose)[0]


def blind_indexes(text: str, purpose: str) -> list[str]:
    """
    The index under every listed key, newest first: look up with `__in`, so that a rotation loses nobody.
    """
    message = f"{purpose}\0{text}".encode()
    return [
        hmac.new(index_key, message, hashlib.sha256).hexdigest()
        for _id, _aead, index_key in _ring(tuple(settings.DATA_KEYS))
    ]


@lru_cache(maxsize=8)
def _ring(keys: tuple[str, ...]) -> list[tuple[str, AESGCM, bytes]]:
    """
    Per key: its id, its cipher, and the key of its blind indexes. Keyed by the setting, so tests may change
    it.
    """
    if not keys:
        raise ImproperlyConfigured("DATA_KEYS is empty: personal data could not be stored")
    return [_ring_entry(key) for key in keys]


def _ring_entry(key_hex: str) -> tuple[str, AESGCM, bytes]:
    try:
        master = bytes.fromhex(key_hex)
    except ValueError as error:
        raise ImproperlyConfigured("DATA_KEYS must be hex") from error
    if len(master) != 32:
        raise ImproperlyConfigured("DATA_KEYS must be 32 bytes each (64 hex digits)")
    # One master key, three derived ones: the id, the cipher's and the index's never share key material.
    key_id = _derive(master, b"id", 4).hex()
    return key_id, AESGCM(_derive(master, b"seal", 32)), _derive(master, b"index", 32)


def _derive(master: bytes, use: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"kaipiao.sealed." + use).derive(master)


class SealedTextField(models.TextField):
    """
    Text that the database only ever sees sealed; Python sees it in the clear.

    Every write gives another token, so the column cannot be compared or ordered: keep a `BlindIndexField`
    beside it.
    """

    description = "Text, encrypted at rest"

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return value if value is None else seal(value)

    def from_db_value(self, value: str | None, _expression: Any, _connection: Any) -> str | None:
        return value if value is None else open_sealed(value)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is sealed: look it up by its blind index")
        return super().get_lookup(lookup_name)


class BlindIndexField(models.CharField):
    """
    The blind index of the field `of`, written whenever the model is; unique, and null where `of` is null.
    """

    def __init__(self, *args: Any, of: str = "", **kwargs: Any) -> None:
        self.of = of
        super().__init__(
            *args, **{"max_length": 64, "unique": True, "null": True, "editable": False} | kwargs
        )

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"of": self.of, "unique": True, "null": True, "editable": False}

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        text = getattr(model_instance, self.of)
        index = None if text is None else blind_index(text, self.of)
        setattr(model_instance, self.attname, index)
        return index


def mask_phone(phone: str | None) -> str:
    """`13812345678` -> `138****5678`: enough for its owner to know it, too little for anybody else."""
    if not phone:
        return ""
    return "****" if len(phone) < 8 else f"{phone[:-8]}****{phone[-4:]}"


def mask_email(email: str | None) -> str:
    """`lin.wei@example.com` -> `l***@example.com`."""
    if not email:
        return ""
    local, _at, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}"


def mask_secret(secret: str | None) -> str:
    """The first eight characters at most a third of the whole, then dots."""
    if not secret:
        return ""
    return f"{secret[: min(8, len(secret) // 3)]}…"
