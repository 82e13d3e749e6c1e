"""
A web server and workers for crash tests: one process that has loaded the product, and a fork of it for every request.

`python -m tests.crash.house PORT PLAN`. A request to `/_task/<name>` is the delivery of that Celery task to a worker;
one to `/_staff/<what>` is the test's own business and never dies; everything else goes to the product's WSGI
application. A fork that dies takes its connection with it, as a killed process does, and the next one is fresh.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import socketserver
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from operations import leash
from tests.crash.plan import Plan

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.crash.settings"

import httpx2._transports.default as transports
from django.db import connections
from django.test import Client
from django.utils import timezone

from config.celery import app as celery
from config.wsgi import application as product
from payments.channels import registry
from tests.crash import boundaries, staff


class House(socketserver.ForkingMixIn, WSGIServer):
    """One fork a request."""

    request_queue_size = 256
    max_children = 64
    plan: Plan

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a client that was killed has hung up


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        return

    def address_string(self) -> str:
        return "127.0.0.1"


def serve(port: int, plan: Plan) -> None:
    leash.prctl(leash.PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives the test
    _warm_up()
    server = House(("127.0.0.1", port), Quiet)
    server.set_app(lambda environ, start: answer(plan, environ, start))
    print("ready", flush=True)
    server.serve_forever(poll_interval=0.02)


def _warm_up() -> None:
    """Everything that a process loads once, and no connection: a fork must open its own."""
    registry.offered()  # their clocks stay the machine's, which the channels' signatures need
    celery.loader.import_default_modules()
    # Certificates that a plain HTTP call never looks at take longer to load than the rest of a step.
    transports.create_ssl_context = functools.cache(transports.create_ssl_context)
    transports.create_ssl_context(verify=True, cert=None, trust_env=False)
    for path in ("/livez", "/api/v1/orders"):
        client = Client(headers={"host": "127.0.0.1"})
        client.post(path, data="{}", content_type="application/json")
    connections.close_all()
    # A collector that walks what was loaded would copy every page of it in every fork.
    gc.collect()
    gc.freeze()
    gc.disable()


def answer(plan: Plan, environ: dict[str, Any], start: Any) -> list[bytes]:
    """In the fork: do one request and answer it whole."""
    path = environ["PATH_INFO"]
    if path.startswith("/_staff/"):
        _go_ahead(plan)
        asked = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        body = json.dumps(getattr(staff, path.removeprefix("/_staff/"))(**asked)).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
    if path.startswith("/_task/"):
        _go_ahead(plan)
        boundaries.watch(plan, "worker")
        # Late acks: a worker that dies before the end of this has the message delivered again.
        celery.tasks[path.removeprefix("/_task/")].apply(throw=True)
        plan.boundary("worker", "before the ack")
        start("204 No Content", [])
        return [b""]
    if not path.startswith("/notify/"):  # those are signed with the machine's time
        _go_ahead(plan)
    boundaries.watch(plan, "web")
    body = b"".join(product(environ, start))
    plan.boundary("web", "before the answer")
    return [body]


def _go_ahead(plan: Plan) -> None:
    now, ahead = timezone.now, timedelta(seconds=plan.ahead_s)
    timezone.now = lambda: now() + ahead


if __name__ == "__main__":
    serve(int(sys.argv[1]), Plan(Path(sys.argv[2])))
