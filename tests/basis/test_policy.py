"""What a page may load and run: no page anywhere runs a script that was smuggled into it."""

import pytest
from django.test import Client

from accounts.models import User

pytestmark = pytest.mark.django_db


def policy(answer):
    parts = (one.split() for one in answer["Content-Security-Policy"].split("; "))
    return {name: set(sources) for name, *sources in parts}


@pytest.mark.parametrize(
    "path", ["/", "/sign-in/", "/admin/login/", "/api/docs/", "/nothing/here", "/api/v1/events"]
)
def test_no_page_runs_a_script_that_is_not_ours(path):
    told = policy(Client().get(path))
    assert "'unsafe-inline'" not in told["script-src"]
    assert told["object-src"] == told["frame-ancestors"] == {"'none'"}
    assert told["base-uri"] == {"'self'"}
    assert ("'unsafe-eval'" in told["script-src"]) == path.startswith("/admin/")


def test_the_staffs_pages_have_no_script_of_their_own_and_post_to_us_alone():
    staff = Client()
    staff.force_login(User.objects.create_superuser("root"))
    for path in ("/admin/", "/admin/desk/case/", "/admin/boards/finance/", "/admin/accounts/user/add/"):
        answer = staff.get(path)
        assert policy(answer)["form-action"] == {"'self'"}
        page = answer.content.decode()
        for script in page.split("<script")[1:]:
            head = script.split(">", 1)[0]
            assert "src=" in head or "application/json" in head, (path, head)
        assert " onclick=" not in page
