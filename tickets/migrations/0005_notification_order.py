from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tickets", "0004_unsolved")]

    operations = [
        migrations.AlterModelOptions(
            name="notification", options={"ordering": ["id"]}
        )
    ]
