"""
wechatpayv3 in a process of its own: one JSON question per line on stdin, one JSON answer per line on stdout.

Runs in an environment that holds the library and nothing of ours. It plays the merchant ("drive"), reads
notifications, and lends its signing.
"""

from __future__ import annotations

import base64
import json
import sys
import time

import wechatpayv3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wechatpayv3 import core, utils

peers = {}


class LocalCore(core.Core):
    """The library knows one gateway and calls it while it is being built: its address has to be there before."""

    gateway = ""
    _gate_way = property(lambda self: self.gateway, lambda self, value: None)


core.Core = LocalCore


def init(name, gateway, **settings):
    """A client under a name: in public-key mode with `public_key` and `public_key_id`, else in certificate mode."""
    LocalCore.gateway = gateway
    peers[name] = wechatpayv3.WeChatPay(wechatpayv3.WeChatPayType.NATIVE, timeout=(3, 5), **settings)


def authorization(*, private_key, path, method, mchid, serial, body, nonce, timestamp):
    """The header that the library would send; PKCS#1 v1.5 signs the same text with the same bytes every time."""
    now = time.time
    time.time = lambda: timestamp
    try:
        key = utils.load_private_key(private_key)
        return utils.build_authorization(path, method, mchid, serial, key, data=body, nonce_str=nonce)
    finally:
        time.time = now


def verify_answer(name, headers, body):
    return bool(peers[name]._core._verify_signature(headers, body))


def callback(name, headers, body):
    return peers[name].callback(headers, body)


def notification(*, private_key, serial, apiv3_key, event, resource, timestamp):
    """A notification signed by the library and encrypted in its environment."""
    nonce = "abcdefghijkl"
    plain = json.dumps(resource).encode()
    sealed = AESGCM(apiv3_key.encode()).encrypt(nonce.encode(), plain, b"transaction")
    event["resource"] = {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "nonce": nonce,
        "associated_data": "transaction",
    }
    body = json.dumps(event)
    text = f"{timestamp}\npeernonce\n{body}\n"
    headers = {
        "Wechatpay-Serial": serial,
        "Wechatpay-Timestamp": str(timestamp),
        "Wechatpay-Nonce": "peernonce",
        "Wechatpay-Signature": utils.rsa_sign(utils.load_private_key(private_key), text),
    }
    return {"headers": headers, "body": body}


def drive(name, call, **arguments):
    status, message = getattr(peers[name], call)(**arguments)
    if isinstance(message, bytes):
        message = message.decode()
    return {"status": status, "message": message}


DO = {
    function.__name__: function
    for function in (init, authorization, verify_answer, callback, notification, drive)
}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        told = {"result": DO[asked.pop("do")](**asked)}
    except Exception as error:  # the library raises plain Exception for a bad signature
        told = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(told), flush=True)
