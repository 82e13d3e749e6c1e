"""
The product's settings, with a Redis number of the tests' own: tests empty it.

It must stand in the environment before the settings are read, which pytest-django does before any conftest is.
"""

import os

from operations import devservices

os.environ.setdefault("REDIS_URL", devservices.redis_url(db=9))

from config.settings import *  # noqa: F403

# Programs that tests start are the product's own and read the product's settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
