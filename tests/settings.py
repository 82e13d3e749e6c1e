"""
The product's settings, with a Redis number of the tests' own: tests empty it.

It must stand in the environment before the settings are read, which pytest-django does before any conftest is.
"""

import os

from operations import devservices

# Tests that run side by side (pytest -n) have a Postgres and a Valkey each: some stop them, and some look at what
# every transaction of a server does.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER and not os.environ.get("DATABASE_URL"):
    os.environ["KAIPIAO_DEV_DIR"] = str(devservices.paths().state / WORKER)
    os.environ.pop("REDIS_URL", None)  # the one that the process which started us set below

os.environ.setdefault("REDIS_URL", devservices.redis_url(db=9))

from config.settings import *  # noqa: E402, F403

# Programs that tests start are the product's own and read the product's settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
