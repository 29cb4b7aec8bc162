"""A help desk can take tickets from its first minute."""

from django.db import migrations


def create_first_queue(apps, schema_editor):
    apps.get_model("tickets", "Queue").objects.create(
        name="Help desk", description="Everything", icon="inbox"
    )


class Migration(migrations.Migration):
    dependencies = [("tickets", "0002_words")]

    operations = [migrations.RunPython(create_first_queue, migrations.RunPython.noop)]
