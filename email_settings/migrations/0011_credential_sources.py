from django.db import migrations, models


def date_the_stored_key(apps, schema_editor):
    """Take the last save for the moment since when the key is here: nothing says better."""
    settings = apps.get_model('email_settings', 'SesSettings')
    settings.objects.exclude(secret_access_key_encrypted='').update(
        key_since=models.F('saved_at')
    )


class Migration(migrations.Migration):

    dependencies = [
        ('email_settings', '0010_delivery_events'),
    ]

    operations = [
        migrations.AddField(
            model_name='sessettings',
            name='external_id',
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name='sessettings',
            name='key_asked_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='sessettings',
            name='key_created_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='sessettings',
            name='key_since',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='sessettings',
            name='key_told',
            field=models.CharField(blank=True, max_length=128),
        ),
        migrations.AddField(
            model_name='sessettings',
            name='role_arn',
            field=models.CharField(blank=True, max_length=640, verbose_name='Role ARN'),
        ),
        migrations.AddField(
            model_name='sessettings',
            name='source',
            field=models.CharField(choices=[('keys', 'Keys'), ('server', 'Server'), ('role', 'Role')], default='keys', max_length=8),
        ),
        migrations.RunPython(date_the_stored_key, migrations.RunPython.noop),
    ]
