"""The product's settings without the connection pool: every process here lives for one step."""

from config.settings import *  # noqa: F403
from config.settings import DATABASES

DATABASES["default"]["OPTIONS"] = {
    name: value for name, value in DATABASES["default"]["OPTIONS"].items() if name != "pool"
}
