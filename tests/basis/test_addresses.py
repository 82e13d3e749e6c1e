"""One spelling of an address, and how much of it one customer has."""

import pytest

from basis import addresses


@pytest.mark.parametrize(
    ("text", "spelled", "customer"),
    [
        ("203.0.113.9", "203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0:0:a:b:c:d", "2001:db8::a:b:c:d", "2001:db8:0:0"),
        ("2001:db8::1", "2001:db8::1", "2001:db8:0:0"),
        ("2001:db8:1:2::1", "2001:db8:1:2::1", "2001:db8:1:2"),
        ("fe80::1%eth0", "fe80::1%eth0", "fe80:0:0:0"),
        ("::1", "::1", "0:0:0:0"),
        ("", "", ""),
        ("unix:", "unix:", "unix:"),
    ],
)
def test_an_address_is_spelled_and_counted_in_one_way(text, spelled, customer):
    assert addresses.spelled(text) == spelled
    assert addresses.customer(spelled) == customer


@pytest.mark.parametrize(("behind", "said"), [(True, "198.51.100.7"), (False, "203.0.113.9")])
def test_only_the_edge_is_believed(rf, settings, behind, said):
    settings.BEHIND_PROXY = behind
    claims = {"HTTP_X_REAL_IP": "198.51.100.7", "HTTP_X_FORWARDED_FOR": "192.0.2.1"}
    assert addresses.of(rf.get("/", REMOTE_ADDR="203.0.113.9", **claims)) == said
