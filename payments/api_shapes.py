"""How the API shows payments and refunds."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from basis.shapes import MoneyField, UtcField
from payments import entry, listings, redirect
from payments.models import ChannelCode, Destination, Outcome, Payment, PaymentState, Refund, RefundState

# What can be paid, and where a channel sends its buyer back to.
PAGES = {"order": "/orders/{number}/", "topup": "/wallet/"}


class PurchaseSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=list(PAGES))
    number = serializers.CharField()


class CashierSerializer(serializers.Serializer[Any]):
    """Where the buyer pays: `redirect` is a page to go to, `qr` the text of a code to scan."""

    kind = serializers.ChoiceField(choices=["redirect", "qr"])
    url = serializers.CharField()


class RefundSerializer(serializers.Serializer[Any]):
    """`wallet_offer`: its channel does not carry it out, and the buyer may have it in the wallet instead."""

    number = serializers.CharField()
    state = serializers.ChoiceField(choices=RefundState.choices)
    amount = MoneyField()
    reason = serializers.CharField()
    destination = serializers.ChoiceField(choices=Destination.choices)
    wallet_offer = serializers.SerializerMethodField()

    def get_wallet_offer(self, refund: Refund) -> bool:
        return redirect.is_offered(refund)


class ChannelPlaceSerializer(serializers.Serializer[Any]):
    """How many payments are opened before this one, and about how long that takes."""

    ahead = serializers.IntegerField()
    seconds = serializers.IntegerField()


class PaymentSerializer(serializers.Serializer[Any]):
    """
    One try at one channel. `state` is the channel's word; `outcome` says whether the money paid the purchase (`won`)
    or was not needed and goes back (`surplus`). `cashier` is null as soon as there is nothing left to pay there.
    """

    number = serializers.CharField()
    purchase = serializers.SerializerMethodField()
    channel = serializers.ChoiceField(choices=ChannelCode.choices)
    state = serializers.ChoiceField(choices=PaymentState.choices)
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    amount = MoneyField()
    cashier = serializers.SerializerMethodField()
    created_at = UtcField()
    paid_at = UtcField(allow_null=True)
    refusal = serializers.CharField(help_text="The channel's own code; empty if it did not refuse")
    refunds = serializers.SerializerMethodField()
    queue = serializers.SerializerMethodField(help_text="While it waits for its turn at a busy channel")

    @extend_schema_field(ChannelPlaceSerializer(allow_null=True))
    def get_queue(self, payment: Payment) -> dict[str, int] | None:
        place = entry.place_of(payment)
        return None if place is None else {"ahead": place.ahead, "seconds": place.seconds}

    @extend_schema_field(PurchaseSerializer)
    def get_purchase(self, payment: Payment) -> dict[str, str]:
        return {"kind": payment.purchase_kind, "number": payment.purchase_number}

    @extend_schema_field(CashierSerializer(allow_null=True))
    def get_cashier(self, payment: Payment) -> dict[str, str] | None:
        if not payment.cashier_url or not payment.live or payment.superseded_at is not None:
            return None
        return {"kind": payment.cashier_kind, "url": payment.cashier_url}

    @extend_schema_field(RefundSerializer(many=True))
    def get_refunds(self, payment: Payment) -> Any:
        if self.context.get("new") and payment.outcome == Outcome.WON:
            return []  # Nothing can have gone back yet, so nothing is asked.
        return RefundSerializer(listings.refunds_of(payment), many=True).data
