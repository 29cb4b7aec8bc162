from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('email_settings', '0008_shared_bodies'),
    ]

    operations = [
        migrations.AddField(
            model_name='sessettings',
            name='configuration_set',
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name='sessettings',
            name='event_queue_url',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name='sessettings',
            name='event_topic_arn',
            field=models.CharField(blank=True, max_length=400),
        ),
    ]
