"""
Every setting of Kaipiao, typed, bounded and read from the environment; `docs/settings.md` lists the variables.

Production is `KAIPIAO_ENV=production`: it has no default secret, insists on HTTPS and knows no sandbox. Everything
else is development: services come from `operations.devservices` where no URL names another.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import environment as env
from operations import devservices

BASE_DIR = Path(__file__).resolve().parent.parent

# -- where we run ---------------------------------------------------------------------------------
ENVIRONMENT = env.text("KAIPIAO_ENV", "development")
PRODUCTION = ENVIRONMENT == "production"
DEBUG = env.flag("KAIPIAO_DEBUG", False)
PUBLIC_URL = env.text("KAIPIAO_PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS = env.words(
    "KAIPIAO_ALLOWED_HOSTS", [] if PRODUCTION else ["127.0.0.1", "localhost", "[::1]", "testserver"]
)
CSRF_TRUSTED_ORIGINS = env.words("KAIPIAO_TRUSTED_ORIGINS", [PUBLIC_URL])

# -- secrets ----------------------------------------------------------------------------------------
SECRET_KEY = env.secret(
    "KAIPIAO_SECRET_KEY",
    development="development-only-secret-key-of-kaipiao-never-for-production-0",
    production=PRODUCTION,
)
SECRET_KEY_FALLBACKS = env.words("KAIPIAO_SECRET_KEY_FALLBACKS")
# 32 bytes, hex: encrypts personal data at rest (basis.sealed). Several, newest first, allow rotation.
DATA_KEYS = env.secrets("KAIPIAO_DATA_KEYS", development="0b" * 32, production=PRODUCTION) or [
    env.secret("KAIPIAO_DATA_KEY", development="0b" * 32, production=PRODUCTION)
]
# Ed25519 private key, 32 bytes hex: signs the tickets' QR payload.
TICKET_KEY = env.secret("KAIPIAO_TICKET_KEY", development="17" * 32, production=PRODUCTION)

# -- apps ---------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "basis",
    "accounts",
    "wallet",
    "risk",
    "payments",
    "ticketing",
    "desk",
    "operations",
]

MIDDLEWARE = [
    "basis.requests.RequestIdMiddleware",
    "risk.middleware.LoadMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "basis.policy.PolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "basis.requests.ReadableMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.signin.PhoneOrEmailBackend"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# -- Postgres decides ---------------------------------------------------------------------------------
DATABASE_URL = env.text("DATABASE_URL") or devservices.database_url()
DATABASES: dict[str, dict[str, Any]] = {"default": env.database(DATABASE_URL)}
# The statements of every order are prepared (basis.prepared); a pooler between us and Postgres must allow that.
DATABASE_PREPARED = env.flag("DATABASE_PREPARED", True)
DATABASES["default"] |= {
    "ATOMIC_REQUESTS": False,
    "CONN_MAX_AGE": 0,
    "OPTIONS": {
        "pool": {
            "min_size": env.integer("DATABASE_POOL_MIN", default=1, low=0, high=100),
            "max_size": env.integer("DATABASE_POOL_MAX", default=16, low=1, high=200),
            "timeout": 10,
        },
        # Django's own statements are bound in the client, and never prepared.
        "prepare_threshold": 1 if DATABASE_PREPARED else None,
        # A statement or a lock that waits longer than a buyer would is a defect; fail it and say so.
        "options": "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000",
    },
}

# Reads that decide nothing may ask a replica (basis.replica). It is read only, also where the server forgot to be; a
# question that it does not answer soon is asked of the other.
DATABASE_ROUTERS = ["basis.replica.Router"]
if DATABASE_REPLICA_URL := env.text("DATABASE_REPLICA_URL"):
    DATABASES["replica"] = DATABASES["default"] | env.database(DATABASE_REPLICA_URL)
    DATABASES["replica"]["OPTIONS"] = {
        "pool": DATABASES["default"]["OPTIONS"]["pool"] | {"timeout": 1},
        "connect_timeout": 2,
        "options": "-c statement_timeout=5000 -c default_transaction_read_only=on",
    }
    DATABASES["replica"]["TEST"] = {"MIRROR": "default"}

# -- Redis accelerates --------------------------------------------------------------------------------
REDIS_URL = env.text("REDIS_URL") or devservices.redis_url()
# A Redis Cluster holds the gate and the rush; the broker and the cache want one server, which must be named then.
CACHE_URL = env.text("CACHE_URL") or env.one_server(REDIS_URL, "CELERY_BROKER_URL")
REDIS_TIMEOUT_S = env.number("REDIS_TIMEOUT_S", default=0.5, low=0.05, high=10)
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "kaipiao",
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.DefaultClient",
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_S,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_S,
            # One try: the client's own retries would hold a buyer for seconds while nobody listens.
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)},
            # Postgres decides: a cache that is away must not take a sale down with it.
            "IGNORE_EXCEPTIONS": True,
        },
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 14 * 24 * 3600
RATELIMIT_FAIL_OPEN = False
SILENCED_SYSTEM_CHECKS: list[str] = []

# -- Celery ---------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL") or (
    "redis+socket://" + REDIS_URL.removeprefix("unix://").replace("?db=", "?virtual_host=")
    if REDIS_URL.startswith("unix://")
    else REDIS_URL
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "payments.tasks.drain_notifications": {"queue": "notify"},
    "payments.tasks.drain_outbox": {"queue": "compensate"},
    "ticketing.tasks.expire_orders": {"queue": "compensate"},
}
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 100
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 180,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "Asia/Shanghai"
BEAT_TICK_S = env.number("KAIPIAO_BEAT_TICK_S", default=2.0, low=0.2, high=60)
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # `expires` keeps a backlog of ticks from forming while a worker is down: one tick does the work of all.
    "apply notifications": {
        "task": "payments.tasks.drain_notifications",
        "schedule": BEAT_TICK_S,
        "options": {"expires": 10},
    },
    "drain the outbox": {
        "task": "payments.tasks.drain_outbox",
        "schedule": BEAT_TICK_S,
        "options": {"expires": 10},
    },
    "call bounded channels": {
        "task": "payments.tasks.call_channels",
        "schedule": BEAT_TICK_S,
        "options": {"expires": 10},
    },
    "move judgements": {"task": "risk.tasks.move_judgements", "schedule": 5.0, "options": {"expires": 10}},
    "estimate thresholds": {
        "task": "risk.tasks.estimate_thresholds",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "forget old judgements": {"task": "risk.tasks.forget_old_judgements", "schedule": 3600.0},
    "expire orders": {
        "task": "ticketing.tasks.expire_orders",
        "schedule": BEAT_TICK_S,
        "options": {"expires": 10},
    },
    "fold hot accounts": {
        "task": "payments.tasks.fold_hot_accounts",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "reconcile": {
        "task": "payments.tasks.reconcile_what_is_due",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "settle with organisers": {
        "task": "ticketing.tasks.settle_with_organisers",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "close overdue top-ups": {
        "task": "payments.tasks.close_overdue_topups",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "forget done messages": {"task": "payments.tasks.forget_done_messages", "schedule": 3600.0},
    "fetch statements": {
        "task": "payments.tasks.fetch_statements",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "judge merchants' trading": {
        "task": "ticketing.tasks.judge_todays_trading",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "judge merchants' trading by night": {
        "task": "ticketing.tasks.judge_yesterdays_trading",
        "schedule": crontab(hour=2, minute=40),
        "options": {"expires": 3600},
    },
    # Finds what rests too long, drives it, opens and closes cases (docs/desk.md).
    "coordinate": {"task": "desk.tasks.coordinate_round", "schedule": 30.0, "options": {"expires": 30}},
    "sum the inbox": {"task": "desk.tasks.sum_inbox", "schedule": 10.0, "options": {"expires": 10}},
    # `manage.py doctor` reads when this last arrived.
    "beat is alive": {"task": "operations.tasks.heartbeat", "schedule": 15.0, "options": {"expires": 15}},
    "forget old idempotency keys": {"task": "payments.tasks.forget_old_keys", "schedule": 3600.0},
}

# -- the sale ---------------------------------------------------------------------------------------------
ORDER_HOLD = timedelta(seconds=env.integer("ORDER_HOLD_SECONDS", default=900, low=2, high=7200))
# A payment in flight prolongs the hold, never past this long after the order was placed.
ORDER_HOLD_LIMIT = timedelta(seconds=env.integer("ORDER_HOLD_LIMIT_SECONDS", default=1500, low=2, high=14400))
PAYMENT_WINDOW = timedelta(seconds=env.integer("PAYMENT_WINDOW_SECONDS", default=300, low=2, high=7200))
ORDER_QUANTITY_MAX = env.integer("ORDER_QUANTITY_MAX", default=6, low=1, high=20)

# The edge's access log, where the application can read it; empty: no estimate is made from it.
ACCESS_LOG = env.text("KAIPIAO_ACCESS_LOG")
# Where `manage.py render_pages` writes and the edge reads; empty: no pages are served from disk.
PAGES_DIR = Path(env.text("KAIPIAO_PAGES_DIR")) if env.text("KAIPIAO_PAGES_DIR") else None
# A CDN in front that wants to be told which addresses to forget (docs/edge.md); empty: there is none.
CDN_PURGE_URL = env.text("KAIPIAO_CDN_PURGE_URL")
CDN_PURGE_TOKEN = env.text("KAIPIAO_CDN_PURGE_TOKEN")
CDN_PURGE_MEMBER = env.text("KAIPIAO_CDN_PURGE_MEMBER", "files")

# -- asking, repeating, giving up (seconds between tries; the last one repeats) --------------------------
PAYMENT_QUERY_SCHEDULE_S = env.numbers("PAYMENT_QUERY_SCHEDULE_S", (5, 10, 20, 30, 60, 60, 120, 300, 600))
REFUND_SCHEDULE_S = env.numbers("REFUND_SCHEDULE_S", (3, 10, 30, 60, 120, 300, 600, 1800, 3600))
# A channel that has not answered clearly about a refund for this long: the buyer may take it into the wallet instead.
REFUND_SILENT_AFTER = timedelta(
    seconds=env.integer("REFUND_SILENT_AFTER_SECONDS", default=1800, low=1, high=604800)
)
# How long after a refund was last sent a channel's "no such refund" is believed; longer than any call may take.
REFUND_SETTLES_AFTER = timedelta(
    seconds=env.integer("REFUND_SETTLES_AFTER_SECONDS", default=120, low=1, high=86400)
)
# What one person of the staff may refund of one order; above it a second one must approve.
REFUND_ALONE_MAX_MINOR = env.integer("REFUND_ALONE_MAX_MINOR", default=100_000, low=0, high=10**12)
# Money out, in fen: the least, the most of a day, and from where on an organiser's takes two people.
WITHDRAWAL_MIN_MINOR = env.integer("WITHDRAWAL_MIN_MINOR", default=100, low=10, high=10**9)
WITHDRAWAL_DAILY_MAX_MINOR = env.integer("WITHDRAWAL_DAILY_MAX_MINOR", default=2_000_000, low=10, high=10**12)
WITHDRAWAL_MERCHANT_DAILY_MAX_MINOR = env.integer(
    "WITHDRAWAL_MERCHANT_DAILY_MAX_MINOR", default=500_000_000, low=10, high=10**12
)
WITHDRAWAL_TWO_PEOPLE_FROM_MINOR = env.integer(
    "WITHDRAWAL_TWO_PEOPLE_FROM_MINOR", default=1_000_000, low=0, high=10**12
)
WITHDRAWAL_SCHEDULE_S = env.numbers("WITHDRAWAL_SCHEDULE_S", (3, 10, 30, 60, 300, 900, 1800, 3600))
# How long after a show's end (its beginning, if it names none) its money goes to the organiser (docs/settlement.md).
SETTLEMENT_AFTER = timedelta(hours=env.integer("SETTLEMENT_AFTER_HOURS", default=72, low=1, high=8760))
# A trade that a channel does not know this long after its deadline is closed; the time is for clocks that differ.
ABSENT_GRACE = timedelta(seconds=env.integer("ABSENT_GRACE_SECONDS", default=60, low=1, high=3600))
OUTBOX_LEASE = timedelta(seconds=env.integer("OUTBOX_LEASE_SECONDS", default=30, low=2, high=600))
OUTBOX_KEEP = timedelta(days=env.integer("OUTBOX_KEEP_DAYS", default=7, low=1, high=3650))
# What crosses midnight: so close to it, a success that a statement lacks is looked for on its neighbours.
RECONCILE_CROSSING = timedelta(
    seconds=env.integer("RECONCILE_CROSSING_SECONDS", default=1800, low=1, high=43_200)
)
# So long it is carried for a statement that is not there; then it is missing.
RECONCILE_CARRY = timedelta(hours=env.integer("RECONCILE_CARRY_HOURS", default=72, low=24, high=720))
RECONCILE_TIMEOUT = timedelta(
    seconds=env.integer("RECONCILE_TIMEOUT_SECONDS", default=600, low=30, high=7200)
)
RECONCILE_WORK_MEM_MB = env.integer("RECONCILE_WORK_MEM_MB", default=64, low=4, high=4096)
# By contract, in millionths of what is paid; a channel that is not named keeps what it likes.
CHANNEL_FEES_PPM = env.counts("CHANNEL_FEES_PPM", {"alipay": 6000, "wechat": 6000}, high=200_000)
IDEMPOTENCY_LEASE = timedelta(seconds=env.integer("IDEMPOTENCY_LEASE_SECONDS", default=60, low=1, high=600))
IDEMPOTENCY_KEEP = timedelta(hours=env.integer("IDEMPOTENCY_KEEP_HOURS", default=48, low=24, high=8760))

# -- the desk -----------------------------------------------------------------------------------------------
# From this amount on (fen), a resolution that moves money is asked for by one person and approved by another one.
DESK_TWO_PEOPLE_FROM_MINOR = env.integer(
    "DESK_TWO_PEOPLE_FROM_MINOR", default=100_000, low=0, high=1_000_000_000
)
# From this amount on (fen), it must be typed before the button works.
DESK_TYPED_FROM_MINOR = env.integer("DESK_TYPED_FROM_MINOR", default=50_000, low=0, high=1_000_000_000)

# -- channels -----------------------------------------------------------------------------------------------
# In development the channels are the sandbox's, with the keys that it made; in production they come from the
# environment, and a channel without its credentials is not offered.
SANDBOX_URL = "" if PRODUCTION else env.text("KAIPIAO_SANDBOX_URL", "http://127.0.0.1:8900").rstrip("/")
CHANNEL_KEYS_DIR = Path(env.text("KAIPIAO_CHANNEL_KEYS_DIR") or devservices.paths().state / "channels")
CHANNEL_TIMEOUT_S = env.number("CHANNEL_TIMEOUT_S", default=5.0, low=0.2, high=30)
# How many days back the channels are asked for statements that are not here.
STATEMENT_DAYS_BACK = env.integer("STATEMENT_DAYS_BACK", default=7, low=1, high=90)
# The channels' statements as they came; nothing of it is ever served by a web server.
STATEMENTS_DIR = Path(env.text("KAIPIAO_STATEMENTS_DIR") or devservices.paths().state / "statements")
ALIPAY = {
    "gateway_url": env.text("ALIPAY_GATEWAY_URL", "https://openapi.alipay.com/gateway.do"),
    "app_id": env.text("ALIPAY_APP_ID"),
    "seller_id": env.text("ALIPAY_SELLER_ID"),
    "app_private_key_pem": env.file_or_text("ALIPAY_APP_PRIVATE_KEY"),
    "alipay_public_key_pem": env.file_or_text("ALIPAY_PUBLIC_KEY"),
    "product": env.text("ALIPAY_PRODUCT", "page"),
}
WECHAT = {
    "gateway_url": env.text("WECHAT_GATEWAY_URL", "https://api.mch.weixin.qq.com"),
    "appid": env.text("WECHAT_APPID"),
    "mchid": env.text("WECHAT_MCHID"),
    "merchant_serial": env.text("WECHAT_MERCHANT_SERIAL"),
    "merchant_private_key_pem": env.file_or_text("WECHAT_MERCHANT_PRIVATE_KEY"),
    "apiv3_key": env.text("WECHAT_APIV3_KEY"),
    # serial=path, several with commas: during a key change WeChat Pay signs with both.
    "platform_keys": env.files("WECHAT_PLATFORM_KEYS"),
}

# -- metrics ----------------------------------------------------------------------------------------------
# Who sends it as a bearer token may read /metrics; empty: staff alone may.
METRICS_TOKEN = env.text("METRICS_TOKEN")

# -- REST -----------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.tokens.SignedInWithScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["basis.parsing.BoundedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "basis.pagination.NewestFirst",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "basis.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kaipiao",
    "DESCRIPTION": "Sell seats, take the money, answer for both.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    # Several things have a `state` or a `kind`; without names of their own, clients would get State78bEnum.
    "ENUM_NAME_OVERRIDES": {
        "OrderState": "ticketing.models.OrderState",
        "TicketState": "ticketing.models.TicketState",
        "PaymentState": "payments.models.PaymentState",
        "RefundState": "payments.models.RefundState",
        "RefundDestination": "payments.models.Destination",
        "RefundAskedBy": "ticketing.refund_models.AskedBy",
        "TopUpState": "wallet.models.TopUpState",
        "WithdrawalState": "payments.withdrawal_models.WithdrawalState",
        "PayeeKind": "payments.withdrawal_models.PayeeKind",
        "ChannelCode": "payments.models.ChannelCode",
        "SalePhaseKind": "ticketing.models.SalePhase.Kind",
        "PhaseState": ["open", "coming"],
        "SeatState": ["free", "taken"],
        "CashierKind": ["redirect", "qr"],
        "PurchaseKind": ["order", "topup"],
        "ChannelShut": ["busy", "not_answering", "stopped"],
    },
}

# -- languages and time -----------------------------------------------------------------------------------
LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", "简体中文"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"

# -- static files --------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("KAIPIAO_STATIC_ROOT") or BASE_DIR / "staticfiles")
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# -- security: deny first -----------------------------------------------------------------------------------
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("handle", "name", "phone", "email")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SECURE_SSL_REDIRECT = env.flag("KAIPIAO_SSL_REDIRECT", PRODUCTION)
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = env.integer(
    "KAIPIAO_HSTS_SECONDS", default=31_536_000 if PRODUCTION else 0, low=0, high=63_072_000
)
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "basis.problems.csrf_failure"
# The edge tells scheme and client address (X-Forwarded-Proto, X-Real-IP), overwriting what a client sent.
BEHIND_PROXY = env.flag("KAIPIAO_BEHIND_PROXY", False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "frame-ancestors": [NONE],
    },
}
# What differs below a path. The staff's theme evaluates the expressions of its own attributes and, as the API's console
# does, sets styles; no page has a script of its own, so none that is smuggled into one runs.
CONTENT_SECURITY_POLICY_BELOW = {
    "/admin/": {
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "form-action": [SELF],
    },
    "/api/docs/": {"script-src": [SELF], "style-src": [SELF, UNSAFE_INLINE]},
}

LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

UNFOLD = {
    "SITE_TITLE": "Kaipiao 开票",
    "SITE_HEADER": _("Kaipiao operations"),
    "SITE_SYMBOL": "confirmation_number",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("kaipiao/icon.svg")}
    ],
    "STYLES": [lambda _request: static("desk/admin.css")],
    "SHOW_LANGUAGES": True,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "accounts.staff_signin.StaffSignInForm"},
    "DASHBOARD_CALLBACK": "operations.dashboard.today",
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": True,
        "navigation": "operations.navigation.groups",
    },
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"event": {"()": "basis.events.formatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "event"}},
    "root": {"handlers": ["console"], "level": env.text("KAIPIAO_LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx2": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}
