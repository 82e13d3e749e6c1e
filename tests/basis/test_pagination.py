"""Lists: newest first, bounded, and cursors that hold nonsense are the caller's mistake."""

import base64

import pytest
from django.contrib.auth.models import Group
from django.urls import path
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.test import APIClient

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class GroupSerializer(serializers.ModelSerializer):
    class Meta:
        model = Group
        fields = ("id", "name")


class Groups(ListAPIView):
    public = True
    authentication_classes = []
    queryset = Group.objects.all()
    serializer_class = GroupSerializer


urlpatterns = [path("api/groups", Groups.as_view())]


@pytest.fixture
def seven():
    Group.objects.all().delete()  # the desk's roles
    return [Group.objects.create(name=f"g{number}").pk for number in range(7)]


def ids(response):
    return [item["id"] for item in response.json()["items"]]


def test_pages_run_from_new_to_old_and_back(seven, django_assert_num_queries):
    client = APIClient()
    with django_assert_num_queries(1):
        first = client.get("/api/groups?limit=3")
    second = client.get(first.json()["next"])
    third = client.get(second.json()["next"])
    assert ids(first) + ids(second) + ids(third) == seven[::-1]
    assert (first.json()["previous"], third.json()["next"]) == (None, None)
    assert ids(client.get(third.json()["previous"])) == ids(second)


def test_a_growing_list_neither_repeats_nor_skips(seven):
    client = APIClient()
    first = client.get("/api/groups?limit=3")
    Group.objects.create(name="new")
    assert ids(client.get(first.json()["next"])) == seven[::-1][3:6]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", "9" * 50, "²", ""])
def test_a_limit_out_of_bounds_is_named(limit):
    answer = APIClient().get("/api/groups", {"limit": limit})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/limit"


@pytest.mark.parametrize("limit", ["1", "200"])
def test_the_bounds_belong_to_it(limit):
    assert APIClient().get("/api/groups", {"limit": limit}).status_code == 200


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!!!",
        "é",
        "a" * 3000,
        *(
            base64.b64encode(text).decode()
            for text in (
                b"p=abc",
                b"o=-1",
                b"o=x&p=1",
                b"p=%00",
                b"p=" + b"9" * 40,
                b"\xff\xfe",
                b"r=1&p=1e9",
            )
        ),
    ],
)
def test_a_cursor_with_nonsense_is_400_or_an_empty_page_never_500(seven, cursor):
    answer = APIClient().get("/api/groups", {"cursor": cursor})
    if answer.status_code != 200:
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == "/cursor"
