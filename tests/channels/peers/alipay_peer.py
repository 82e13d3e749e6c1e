"""
python-alipay-sdk in a process of its own: one JSON question per line on stdin, one JSON answer per line on stdout.

Runs in an environment that holds the library and nothing of ours. It plays the merchant ("drive") and lends its
signing and its verification to both sides.
"""

from __future__ import annotations

import json
import sys

from alipay import AliPay
from alipay.exceptions import AliPayException, AliPayValidationError

peers = {}


def init(name, gateway="", **keys):
    """A client under a name: `app_private_key_string` signs, `alipay_public_key_string` is believed."""
    peers[name] = AliPay(app_notify_url=None, sign_type="RSA2", **keys)
    peers[name]._gateway = gateway


def text_of(peer, fields):
    return "&".join(f"{name}={value}" for name, value in peer._ordered_data(dict(fields)))


def verify_notify(name, fields):
    fields = dict(fields)
    sign = fields.pop("sign")
    return bool(peers[name].verify(fields, sign))


def verify_request(name, fields):
    # verify() drops sign_type, which a request signs: the peer's own parts are put together instead.
    fields = dict(fields)
    sign = fields.pop("sign")
    return bool(peers[name]._verify(text_of(peers[name], fields), sign))


def verify_answer(name, raw, response_type):
    return peers[name]._verify_and_return_sync_response(raw, response_type)


def sign_fields(name, fields):
    return peers[name]._sign(text_of(peers[name], fields))


def signed_query(name, method, content, **common):
    return peers[name].client_api(method, content, **common)


def drive(name, call, **arguments):
    return getattr(peers[name], call)(**arguments)


DO = {
    function.__name__: function
    for function in (init, verify_notify, verify_request, verify_answer, sign_fields, signed_query, drive)
}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        told = {"result": DO[asked.pop("do")](**asked)}
    except (AliPayException, AliPayValidationError) as error:
        told = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(told), flush=True)
