"""What was not delivered before this version is not told again."""

from django.db import migrations
from django.db.models import Q
from django.utils import timezone


def call_them_told(apps, schema_editor):
    messages = apps.get_model("email_settings", "OutboxMessage").objects
    messages.filter(
        Q(state__in=["failed", "suppressed"]) | Q(fate__in=[3, 5, 6, 7])
    ).update(undelivered_told_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("email_settings", "0016_what_became_of_mail")]

    operations = [
        migrations.RunPython(call_them_told, migrations.RunPython.noop, elidable=True)
    ]
