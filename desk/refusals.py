"""What the services say when a resolution does not fit, and the stable code that staff see."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import OperationalError

from basis.lifecycle import IllegalMove, StaleState
from payments import disputes, money, paying_out, redirect, refunds, settle, strays, withdrawals
from payments.reconcile import explain

REFUSALS: Mapping[type[Exception], str] = {
    refunds.NotRefundable: "not_refundable",
    settle.AmountDiffers: "amount_differs",
    money.InsufficientFunds: "insufficient_funds",
    money.KeyReused: "booked_before",
    money.NoSuchEntry: "no_entry",
    money.HoldEnded: "hold_ended",
    redirect.NotOffered: "not_redirectable",
    redirect.NoSuchRefund: "no_refund",
    strays.NotStray: "known_by_now",
    paying_out.AmountDiffers: "amount_differs",
    paying_out.NotOnItsWay: "not_on_its_way",
    withdrawals.NotYours: "not_yours",
    explain.AlreadySettled: "changed_meanwhile",
    disputes.DecidedBefore: "changed_meanwhile",
    disputes.NothingTaken: "no_channel",
    IllegalMove: "illegal_move",
    StaleState: "changed_meanwhile",
    OperationalError: "busy",
    ValueError: "does_not_fit",
    ValidationError: "does_not_fit",
}
