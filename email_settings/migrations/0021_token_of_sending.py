from django.db import migrations, models


def clear_what_was_left(apps, schema_editor):
    messages = apps.get_model("email_settings", "OutboxMessage").objects
    messages.exclude(state="sending").exclude(claim_token="").update(claim_token="")


class Migration(migrations.Migration):

    dependencies = [
        ("email_settings", "0020_webhook_problem"),
    ]

    operations = [
        migrations.RunPython(
            clear_what_was_left, migrations.RunPython.noop, elidable=True
        ),
        migrations.AddConstraint(
            model_name="outboxmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state", "sending"), ("claim_token", ""), _connector="OR"
                ),
                name="outbox_token_is_of_sending",
            ),
        ),
    ]
