"""The Celery application: queues `notify`, `compensate` and `default`; schedules stand in the settings."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("kaipiao")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
