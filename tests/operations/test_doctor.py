"""The doctor finds what is wrong with a place before a sale does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.models import User
from basis import fast
from operations import doctor, tasks
from operations.doctor import Level, channels, database, people, program, promises, surroundings
from payments import money
from payments.channels import registry
from wallet.models import Account, AccountFold

ROOT = Path(__file__).resolve().parents[2]


def told(findings: Any, what: str) -> Any:
    found = [finding for finding in findings if finding.what == what]
    assert len(found) == 1, (what, found)
    return found[0]


@pytest.mark.django_db
def test_a_migrated_database_keeps_every_promise() -> None:
    findings = list(promises.kept())
    assert [finding for finding in findings if finding.level != Level.OK] == []
    triggers, constraints = promises.by_hand()
    assert "wallet_apply_postings" in triggers
    assert "ticketing_orderevent_append_only" in triggers
    assert "ticketing_salephase_apart" in constraints


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("what", "name", "harm"),
    [
        ("triggers", "wallet_apply_postings", "DROP TRIGGER wallet_apply_postings ON wallet_posting"),
        (
            "triggers",
            "ticketing_orderevent_append_only",
            "ALTER TABLE ticketing_orderevent DISABLE TRIGGER ticketing_orderevent_append_only",
        ),
        (
            "constraints",
            "ticketing_seat_taken_has_order",
            "ALTER TABLE ticketing_seat DROP CONSTRAINT ticketing_seat_taken_has_order",
        ),
        (
            "constraints",
            "ticketing_salephase_apart",
            "ALTER TABLE ticketing_salephase DROP CONSTRAINT ticketing_salephase_apart",
        ),
        ("constraints", "payments_payment_one_winner", "DROP INDEX payments_payment_one_winner"),
        ("indexes", "payments_outbox_due", "DROP INDEX payments_outbox_due"),
        (
            "unique columns",
            "wallet_account.code",
            "ALTER TABLE wallet_account DROP CONSTRAINT wallet_account_code_key",
        ),
    ],
)
def test_a_broken_promise_is_named(what: str, name: str, harm: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(harm)
    found = told(promises.kept(), what)
    assert found.level == Level.FAILURE
    assert name in found.found
    assert found.do


@pytest.mark.django_db
def test_pending_migrations_are_a_failure() -> None:
    assert told(database.migrations(), "migrations").level == Level.OK
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'wallet' AND name = '0002_guards'")
    found = told(database.migrations(), "migrations")
    assert found.level == Level.FAILURE
    assert "wallet.0002_guards" in found.found


@pytest.mark.django_db
def test_a_fold_from_another_cluster_is_a_failure(clock: Any) -> None:
    money.open_system_accounts(channels=[], currency="CNY", now=clock())
    assert told(database.ledger_horizon(), "ledger horizon").level == Level.OK
    guarantee = Account.objects.get(code=money.guarantee("CNY"))
    AccountFold.objects.create(account=guarantee, before_txid=2**60, balance_minor=1, folded_at=clock())
    found = told(database.ledger_horizon(), "ledger horizon")
    assert found.level == Level.FAILURE
    assert "unfold" in found.do


@pytest.mark.django_db
def test_postings_from_another_cluster_are_a_warning(buyer: Any) -> None:
    buyer("lin", cash=100)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE wallet_posting SET txid = %s", [2**60])
    assert told(database.ledger_horizon(), "ledger horizon").level == Level.WARNING


@pytest.mark.django_db
def test_postgres_answers_with_our_time() -> None:
    assert {finding.level for finding in database.reachable()} <= {Level.OK, Level.WARNING}
    assert told(database.reachable(), "postgres clock").level == Level.OK


def test_a_clock_that_is_off_is_told() -> None:
    now = timezone.now()
    assert database.skew("clock", now, now, 0.0).level == Level.OK
    assert database.skew("clock", now + timedelta(seconds=2), now, 0.0).level == Level.WARNING
    assert database.skew("clock", now - timedelta(seconds=9), now, 0.0).level == Level.FAILURE


def test_the_heartbeat_is_heard_until_it_is_late(settings: Any) -> None:
    fast.store().delete(tasks.HEARTBEAT_KEY)
    assert told(surroundings.beat(), "beat").level == Level.WARNING
    tasks.heartbeat()
    assert told(surroundings.beat(), "beat").level == Level.OK
    fast.store().set(tasks.HEARTBEAT_KEY, (timezone.now() - timedelta(minutes=5)).isoformat())
    assert told(surroundings.beat(), "beat").level == Level.WARNING
    settings.PRODUCTION = True
    assert told(surroundings.beat(), "beat").level == Level.FAILURE


def test_the_beat_sends_the_heartbeat(settings: Any) -> None:
    sent = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert tasks.heartbeat.name in sent


def test_queues_without_a_worker_are_named() -> None:
    found = list(surroundings.workers())
    assert {finding.what for finding in found} == {"queue notify", "queue compensate", "queue default"}
    assert {finding.level for finding in found} == {Level.WARNING}


@pytest.fixture
def no_redis(settings: Any, tmp_path: Path) -> Any:
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    fast.store.cache_clear()
    yield
    fast.store.cache_clear()


def test_redis_away_is_one_failure(no_redis: None) -> None:
    (found,) = surroundings.redis()
    assert found.level == Level.FAILURE
    assert told(surroundings.beat(), "beat").level == Level.WARNING


def test_malformed_credentials_are_named_and_never_told(settings: Any) -> None:
    registry._channels.cache_clear()
    settings.SANDBOX_URL = ""
    settings.ALIPAY = settings.ALIPAY | {
        "app_id": "2021000000000000",
        "seller_id": "2088000000000000",
        "app_private_key_pem": "very secret",
        "alipay_public_key_pem": "",
    }
    settings.WECHAT = settings.WECHAT | {"mchid": "1900000001", "apiv3_key": "too short"}
    findings = list(channels.credentials())
    registry._channels.cache_clear()
    alipay, wechat = told(findings, "alipay credentials"), told(findings, "wechat credentials")
    assert "app_private_key_pem" in alipay.found
    assert "app_id" not in alipay.found
    assert "apiv3_key" in wechat.found
    assert "platform_keys" in wechat.found
    assert told(findings, "channels").level == Level.FAILURE
    assert all(secret not in str(findings) for secret in ("very secret", "too short"))


def test_what_is_dangerous_in_production_fails_there(settings: Any) -> None:
    assert [finding.level for finding in program.dangerous_settings()] == [Level.OK]
    settings.DEBUG = True
    assert [finding.level for finding in program.dangerous_settings()] == [Level.WARNING]
    settings.PRODUCTION = True
    settings.SANDBOX_URL = "http://127.0.0.1:8900"
    found = {finding.found: finding.level for finding in program.dangerous_settings()}
    assert set(found.values()) == {Level.FAILURE}
    assert any("SANDBOX" in what for what in found)
    assert any("https" in what for what in found)


@pytest.mark.django_db
def test_the_command_answers_in_json_and_by_its_exit_code() -> None:
    out = StringIO()
    call_command("doctor", "--json", stdout=out)
    answer = json.loads(out.getvalue())
    assert answer["ok"] is True
    assert all(set(finding) == {"what", "level", "found", "do"} for finding in answer["findings"])
    assert all(finding["do"] for finding in answer["findings"] if finding["level"] != "ok")
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER wallet_apply_postings ON wallet_posting")
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=StringIO())
    assert ended.value.code == 1


def test_without_any_service_it_still_tells_everything_it_can(tmp_path: Path) -> None:
    elsewhere = {
        "DATABASE_URL": f"postgresql://kaipiao@/kaipiao?host={tmp_path}",
        "REDIS_URL": f"unix://{tmp_path}/nothing.sock?db=0",
    }
    ended = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=ROOT,
        env=os.environ | elsewhere,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    answer = json.loads(ended.stdout)
    failed = {finding["what"] for finding in answer["findings"] if finding["level"] == "failure"}
    assert {"postgres", "redis"} <= failed
    assert "Traceback" not in ended.stderr
    assert doctor.Level.OK in {finding["level"] for finding in answer["findings"]}


@pytest.mark.django_db
def test_a_key_that_was_dropped_too_early_is_told(settings: Any) -> None:
    settings.DATA_KEYS = ["0b" * 32]
    User.objects.create_user("lin", phone="13812345678")
    assert told(people.sealed(), "personal data").level == Level.OK
    settings.DATA_KEYS = ["0c" * 32, "0b" * 32]
    assert told(people.sealed(), "personal data").level == Level.WARNING
    settings.DATA_KEYS = ["0c" * 32]
    assert told(people.sealed(), "personal data").level == Level.FAILURE


@pytest.mark.parametrize(
    ("kept", "level"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "ok"}, Level.OK),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "ok"}, Level.WARNING),
        ({}, Level.WARNING),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, Level.FAILURE),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, Level.FAILURE),
    ],
)
def test_a_redis_that_forgets_is_told(kept: Any, level: Level) -> None:
    assert surroundings.persistence(kept).level == level


def test_our_own_redis_keeps_what_it_is_told() -> None:
    assert told(surroundings.redis(), "redis persistence").level == Level.OK
