"""What production refuses to start with."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import environment

KNOWN = "0b" * 32


@pytest.mark.parametrize("given", ["", KNOWN])
def test_production_has_secrets_of_its_own(monkeypatch, given):
    monkeypatch.setenv("KAIPIAO_DATA_KEY", given)
    with pytest.raises(ImproperlyConfigured, match="KAIPIAO_DATA_KEY"):
        environment.secret("KAIPIAO_DATA_KEY", development=KNOWN, production=True)
    assert environment.secret("KAIPIAO_DATA_KEY", development=KNOWN, production=False) == KNOWN
    monkeypatch.setenv("KAIPIAO_DATA_KEY", "of our own")
    assert environment.secret("KAIPIAO_DATA_KEY", development=KNOWN, production=True) == "of our own"


def test_nor_does_one_of_several_keys_come_from_the_source(monkeypatch):
    monkeypatch.setenv("KAIPIAO_DATA_KEYS", f"{'0c' * 32},{KNOWN}")
    with pytest.raises(ImproperlyConfigured, match="KAIPIAO_DATA_KEYS"):
        environment.secrets("KAIPIAO_DATA_KEYS", development=KNOWN, production=True)
    assert len(environment.secrets("KAIPIAO_DATA_KEYS", development=KNOWN, production=False)) == 2
