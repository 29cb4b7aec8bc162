"""Settings, all from the environment; in development none has to be given."""

from pathlib import Path
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF

from ticketflow.errors import DomainError
from ticketflow.lib.localfiles import read_or_create_secret

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")

DATA_DIR = Path(env.str("TICKETFLOW_DATA_DIR", default=str(BASE_DIR / "var")))

# Core

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or read_or_create_secret(
    DATA_DIR / "secret_key"
)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
try:
    PORT = env.int("PORT", default=8000)
except ValueError:
    raise DomainError("PORT must be a number, such as 8000.") from None
SITE_URL = env.str("SITE_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
SITE_IS_HTTPS = SITE_URL.startswith("https://")
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS",
    default=[urlsplit(SITE_URL).hostname or "localhost", "localhost", "127.0.0.1"],
)
CSRF_TRUSTED_ORIGINS = [SITE_URL]
ROOT_URLCONF = "ticketflow.urls"
WSGI_APPLICATION = "ticketflow.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "ticketflow",
    "tickets",
    "accounts",
    "email_settings",
    "allauth",
    "allauth.account",
    "django_htmx",
    "csp",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "ticketflow.middleware.request_id",
    "ticketflow.middleware.drop_odd_session_cookie",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "ticketflow.middleware.explain_not_allowed",
    "ticketflow.middleware.never_cache_signed_in_pages",
    "ticketflow.middleware.persons_time_zone",
]

# Database: SQLite until DATABASE_URL says otherwise

_DATABASE_URL = env.str("DATABASE_URL", default="")
if _DATABASE_URL:
    DATABASES = {
        "default": {
            **env.db_url_config(_DATABASE_URL),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    }
    if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
        # PostgreSQL takes the counts of a page for dear, and would compile them for
        # longer than they take. And a process that is frozen in the middle of a
        # transaction would keep the others from its rows for as long.
        DATABASES["default"].setdefault("OPTIONS", {}).setdefault(
            "options", "-c jit=off -c idle_in_transaction_session_timeout=20s"
        )
else:
    DATABASES = {
        "default": {
            "ENGINE": "ticketflow.lib.fairsqlite",
            "NAME": str(DATA_DIR / "ticketflow.sqlite3"),
            # A fresh connection costs more than most pages: opening the file and five PRAGMAs.
            "CONN_MAX_AGE": 600,
            "OPTIONS": {
                "timeout": 20,
                # A read that becomes a write fails at once under DEFERRED, whatever the timeout.
                "transaction_mode": "IMMEDIATE",
                # FULL: a ticket that the person saw saved survives a power cut.
                "init_command": (
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                    "PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=67108864;"
                    "PRAGMA cache_size=-16000"
                ),
            },
            "TEST": {"NAME": str(DATA_DIR / "test.sqlite3")},
        }
    }

# Cache: rate limits of signing in live here

REDIS_URL = env.str("REDIS_URL", default="")
CACHES = {
    "default": {
        "BACKEND": "ticketflow.lib.fallback_cache.FallbackCache",
        "LOCATION": REDIS_URL,
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# Templates and forms

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["ticketflow.templatetags.ui"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "email_settings.context_processors.mail_status",
                "accounts.context_processors.own_mail",
                "tickets.context_processors.sidebar",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
# Error pages and error mails, under DEBUG too
DEFAULT_EXCEPTION_REPORTER_FILTER = "ticketflow.lib.exception_filter.HiddenValuesFilter"

# People and sessions

AUTH_USER_MODEL = "accounts.User"
# One only: with two, every wrong password would be hashed twice.
AUTHENTICATION_BACKENDS = ["accounts.backend.Backend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email", "name"]},
    },
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 8},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.validators.NotOfThisPlaceValidator"},
    {"NAME": "accounts.validators.NotEndlessValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "accounts.forms.SignInForm",
    "reset_password": "accounts.forms.ResetPasswordForm",
    "reset_password_from_key": "accounts.forms.NewPasswordForm",
    "change_password": "accounts.forms.ChangePasswordForm",
    "user_token": "accounts.forms.ResetTokenForm",
}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "accounts.tokens.ResetTokenGenerator"  # noqa: S105 - a dotted path, no secret
# None asks with a check box: "remember me"
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_RATE_LIMITS: dict[str, str] | bool = {
    "login": "60/m/ip",
    "login_failed": "10/15m/key,50/15m/ip",
    "reset_password": "20/m/ip,5/15m/key",
}
# Whose wrong guesses are counted: behind a trusted proxy, the address it saw.
ALLAUTH_TRUSTED_PROXY_COUNT = int(env.bool("TRUST_PROXY_HEADERS", default=False))
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_IS_HTTPS
SESSION_COOKIE_NAME = "__Host-session" if SITE_IS_HTTPS else "ticketflow_session"
CSRF_COOKIE_NAME = "__Host-csrf" if SITE_IS_HTTPS else "ticketflow_csrf"
CSRF_COOKIE_HTTPONLY = True
# An hour for a reset link: it is as good as a password.
PASSWORD_RESET_TIMEOUT = 60 * 60

# Transport and content security

SECURE_SSL_REDIRECT = SITE_IS_HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if SITE_IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SITE_IS_HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
# Set only behind a proxy that overwrites the header itself.
if env.bool("TRUST_PROXY_HEADERS", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Other sites learn nothing. With "no-referrer" browsers would send our own forms with
# "Origin: null", which the CSRF check refuses.
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

# Language and time

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# Static and uploaded files

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": str(DATA_DIR / "files"),
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_PERMISSIONS = 0o600

# E-mail: Django's own mail goes the same road as every other

EMAIL_BACKEND = "email_settings.backends.OutboxBackend"
DEFAULT_FROM_EMAIL = "helpdesk@localhost"
KEYS_FILE = Path(env.str("TICKETFLOW_KEYS_FILE", default=str(DATA_DIR / "keys")))
# Whom the set-up checklist asks: "127.0.0.1:5300,1.1.1.1"; without, as this machine does
DNS_SERVERS = env.list("DNS_SERVERS", default=[])
# Whether Email Settings may use the AWS credentials of this very server. An admin in
# the browser could otherwise borrow every right of the machine.
ALLOW_SERVER_ROLE = env.bool("TICKETFLOW_ALLOW_SERVER_ROLE", default=False)

# Celery: the database is the truth, the broker only wakes the worker

_EMBEDDED_BROKER = not REDIS_URL
CELERY_BROKER_URL = REDIS_URL or "memory://localhost/"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"polling_interval": 0.05}
    if _EMBEDDED_BROKER
    else {
        "visibility_timeout": 3600,
        "health_check_interval": 25,
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "client_name": "ticketflow",
    }
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# A lost wake-up costs one sweep. With late acknowledgement, kombu 5.7 ends the worker
# when Redis goes away in the middle of a task.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = 4
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 15
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
# Without it Celery closes the database connection around every task.
CELERY_DB_REUSE_MAX = 1000
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat")
CELERY_BEAT_SCHEDULE = {
    "outbox-sweep": {
        "task": "outbox.deliver",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "account-watch": {
        "task": "outbox.watch_account",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "readiness": {
        "task": "readiness.check",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    # One update that finds nothing, four times out of five
    "reputation": {
        "task": "reputation.look",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    # Two looks at indexes of next to nothing, when nobody wants anything
    "suppression": {
        "task": "suppression.look",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "letters": {
        "task": "events.read_letters",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "event-watch": {
        "task": "events.watch",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    # One look at an index of at most one row, when no key is being rotated
    "rotation": {
        "task": "rotation.advance",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    # One look at an index of nothing, when all mail arrived
    "undelivered": {
        "task": "tickets.tell_undelivered",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "key-age": {
        "task": "rotation.remind",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
    "retention": {
        "task": "outbox.prune",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
}

# Logging: one line a message, with the request it belongs to

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "ticketflow.lib.request_id.RequestIdFilter"},
        "hidden_links": {"()": "ticketflow.lib.hidden_links.HiddenLinksFilter"},
        "no_false_alarms": {"()": "ticketflow.lib.request_log.NoFalseAlarms"},
    },
    "formatters": {
        "line": {
            "format": "{asctime} {levelname} {name} [{request_id}] {message}",
            "style": "{",
        }
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["request_id", "hidden_links"],
        }
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django.server": {"handlers": [], "propagate": True},
        "django.request": {"filters": ["no_false_alarms"]},
        # At DEBUG botocore prints the bodies of mails, invitation links among them.
        "botocore": {"level": "WARNING"},
        "boto3": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
