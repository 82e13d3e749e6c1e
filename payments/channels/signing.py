"""
RSA PKCS#1 v1.5 with SHA-256, base64: what Alipay calls RSA2 and WeChat Pay WECHATPAY2-SHA256-RSA2048.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

BITS_AT_LEAST = 2048


class BadKey(ValueError):
    """
    A configured key is not an RSA key of at least 2048 bits in PEM form. The message never holds the key.
    """


def load_private(pem: str) -> RSAPrivateKey:
    """:raises BadKey: see there"""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        # Without the cause: the library's message may quote what it was given.
        raise BadKey("the private key cannot be read") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < BITS_AT_LEAST:
        raise BadKey("the private key is not RSA of 2048 bits or more")
    return key


def load_public(pem: str) -> RSAPublicKey:
    """:raises BadKey: see there"""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError):
        raise BadKey("the public key cannot be read") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < BITS_AT_LEAST:
        raise BadKey("the public key is not RSA of 2048 bits or more")
    return key


def sign(key: RSAPrivateKey, message: bytes) -> str:
    return base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()


def is_signed(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """
    Whether `signature` is ours to believe. The hash is SHA-256 whatever the sender claims, so SHA-1 never
    passes; and a signature is written in one way only, though base64 has bits to spare at its end.
    """
    try:
        raw = base64.b64decode(signature, validate=True)
        if base64.b64encode(raw).decode() != signature:
            return False
        key.verify(raw, message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
