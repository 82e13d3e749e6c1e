"""The staff's pages of statements: uploaded whole or refused with the line, looked at, downloaded, never changed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from payments import outbox
from payments.models import OutboxMessage, Statement, StatementLine
from payments.statements import load
from payments.statements.load import Wanted
from tests.statements import papers

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
LIST, UPLOAD = "admin:payments_statement_changelist", "admin:payments_statement_upload"


@pytest.fixture(autouse=True)
def _nobody_configured(settings, monkeypatch):
    """Whose files they are is not looked at: the papers' merchant is not the sandbox's."""
    from payments.statements import fetch

    monkeypatch.setattr(fetch.registry, "_channels", dict)


def client_with(handle: str, *codenames: str) -> Client:
    user = User.objects.create_user(handle, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


@pytest.fixture
def finance() -> Client:
    return client_with("lin", "view_statement", "add_statement", "view_statementline")


def upload(client, file, *, day=papers.DAY, **more):
    sent = SimpleUploadedFile("bill.bin", file.getvalue())
    return client.post(reverse(UPLOAD), {"day": day.isoformat(), "file": sent, **more})


def test_an_upload_is_loaded_and_shown(finance):
    assert "Upload a statement" in finance.get(reverse(LIST)).content.decode()
    assert finance.get(reverse(UPLOAD)).status_code == 200

    answer = upload(finance, papers.alipay(summary_first=True))

    statement = Statement.objects.get()
    assert answer.url == reverse("admin:payments_statement_change", args=[statement.pk])
    assert (statement.source, statement.uploaded_by, statement.lines) == (
        "uploaded",
        "lin",
        3,
    )
    page = finance.get(answer.url).content.decode()
    assert statement.sha256 in page
    assert "商家实收 2140.00" in page
    lines = finance.get(
        reverse("admin:payments_statementline_changelist"), {"statement__id__exact": statement.pk}
    )
    assert "PAYMENT00000001" in lines.content.decode()
    line = StatementLine.objects.first()
    assert finance.get(reverse("admin:payments_statementline_change", args=[line.pk])).status_code == 200


def test_a_refused_upload_names_the_line(finance):
    answer = upload(finance, papers.wechat(papers.WECHAT_ALL.replace("`3.0", "`4.0")))
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "Line 6" in page
    assert "总交易单数" in page
    assert not Statement.objects.exists()


def test_a_second_file_of_the_day_must_be_asked_for(finance):
    upload(finance, papers.wechat())
    newer = papers.WECHAT_ALL.replace("`PROCESSING", "`SUCCESS")
    assert "replace it explicitly" in upload(finance, papers.wechat(newer)).content.decode()
    assert upload(finance, papers.wechat(newer), replace="on").status_code == 302
    assert Statement.objects.filter(replaced_by=None).count() == 1
    assert finance.get(reverse(LIST)).status_code == 200


def test_the_file_is_given_to_those_who_may_see_it(finance):
    file = papers.wechat()
    upload(finance, file)
    address = reverse("admin:payments_statement_file", args=[Statement.objects.get().pk])
    answer = finance.get(address)
    assert b"".join(answer.streaming_content) == file.getvalue()
    assert "attachment" in answer.headers["Content-Disposition"]
    assert client_with("chen", "view_payment").get(address).status_code == 403
    empty = load.load_nothing(wanted=Wanted(papers.DAY, "alipay", "trade"), now=NOW)
    assert finance.get(reverse("admin:payments_statement_file", args=[empty.pk])).status_code == 404


def test_who_may_only_look_uploads_nothing():
    viewer = client_with("zhou", "view_statement")
    assert "Upload a statement" not in viewer.get(reverse(LIST)).content.decode()
    assert viewer.get(reverse(UPLOAD)).status_code == 403
    assert upload(viewer, papers.wechat()).status_code == 403
    assert not Statement.objects.exists()


def test_what_is_not_here_yet_is_told(finance):
    outbox.put(
        "statement.fetch",
        key="statement:wechat:trade:2026-11-20",
        payload={"channel": "wechat", "kind": "trade", "day": "2026-11-20"},
        due_at=NOW,
        now=NOW,
    )
    OutboxMessage.objects.update(attempts=3, last_error="Refused: line 8: totals")
    page = finance.get(reverse(LIST)).content.decode()
    assert "Asked for and not here yet" in page
    assert "line 8: totals" in page
    assert "asked 3 times" in page


def test_the_list_asks_a_bounded_number_of_questions(finance):
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert finance.get(reverse(LIST)).status_code == 200
        return len(queries)

    load.load_nothing(wanted=Wanted(papers.DAY, "alipay", "trade"), now=NOW)
    with_one = asked()
    for channel in ("alipay", "wechat"):
        for kind in ("funds", "trade"):
            if (channel, kind) != ("alipay", "trade"):
                load.load_nothing(wanted=Wanted(papers.DAY, channel, kind), now=NOW)
    assert asked() == with_one
