"""Settings of the test suite: the product's own, with a folder that is thrown away."""

import os
import tempfile

# Read before the import below; a test run must never touch the real data folder.
os.environ["TICKETFLOW_DATA_DIR"] = tempfile.mkdtemp(prefix="ticketflow-test-")
os.environ["SITE_URL"] = "https://help.example.com"
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

from ticketflow.settings import *  # noqa: F403

DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1", "help.example.com"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True
SECURE_SSL_REDIRECT = False
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
SESSION_COOKIE_NAME = "ticketflow_session"
CSRF_COOKIE_NAME = "ticketflow_csrf"
ACCOUNT_RATE_LIMITS = False
