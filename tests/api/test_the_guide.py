"""The guide's purchase runs as it is written."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from accounts.models import User
from basis.problems import KINDS
from ticketing.models import Order

GUIDE = Path(__file__).parents[2] / "docs" / "api.md"


def run(script, where, **environment):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=where,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.django_db(transaction=True)
def test_the_purchase_of_the_guide(show, buyer, live_server, tmp_path):
    if not shutil.which("curl"):
        if os.environ.get("KAIPIAO_REQUIRE_ALL"):
            pytest.fail("curl is missing")
        pytest.skip("needs curl")
    first, *others = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    token = run(first + "\necho $TOKEN", tmp_path, HOST=live_server.url).strip()
    buyer(User.objects.get().handle, cash=100_000)
    said = run(
        first.split("\n\n")[0] + f"\nTOKEN={token}\n" + "\n".join(others), tmp_path, HOST=live_server.url
    ).splitlines()
    assert "'free': 400" in said[0]
    assert said[2] == "succeeded"
    assert said[3].startswith("KP1.")
    assert Order.objects.get().state == "paid"


def test_the_codes_of_the_guide_are_those_of_the_product():
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE)
    assert len(rows) >= 18  # the table was found, and is read to its end
    for status, code in rows:
        assert KINDS[code].status == int(status), code
