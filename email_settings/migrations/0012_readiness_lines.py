from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('email_settings', '0011_credential_sources'),
    ]

    operations = [
        migrations.CreateModel(
            name='ReadinessLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=20, unique=True)),
                ('state', models.CharField(blank=True, max_length=10)),
                ('said', models.CharField(blank=True, max_length=60)),
                ('evidence', models.TextField(blank=True)),
                ('fix', models.TextField(blank=True)),
                ('records', models.JSONField(blank=True, default=list)),
                ('statement', models.TextField(blank=True)),
                ('words', models.TextField(blank=True)),
                ('actions', models.JSONField(blank=True, default=list)),
                ('used', models.FloatField(blank=True, null=True)),
                ('limit', models.FloatField(blank=True, null=True)),
                ('checked_at', models.DateTimeField(blank=True, null=True)),
                ('since', models.DateTimeField(blank=True, null=True)),
                ('settings_version', models.PositiveIntegerField(default=0)),
                ('wanted_at', models.DateTimeField(blank=True, null=True)),
                ('running_until', models.DateTimeField(blank=True, null=True)),
            ],
        ),
    ]
