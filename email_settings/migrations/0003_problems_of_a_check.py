from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("email_settings", "0002_claims_of_a_message"),
    ]

    operations = [
        migrations.AddField(
            model_name="sessettings",
            name="check_problems",
            field=models.JSONField(blank=True, default=list),
        ),
    ]
