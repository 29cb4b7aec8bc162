"""The Celery application: the same worker, tasks and schedule with and without Redis.

celery -A ticketflow worker --without-gossip --without-mingle --without-heartbeat
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")

app = Celery("ticketflow")
# Celery keeps the current app by thread; web threads would find a default one without it.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# What rooms do at the start and the end of a worker
app.autodiscover_tasks(related_name="worker")
