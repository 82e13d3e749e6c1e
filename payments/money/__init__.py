"""
How money is booked: the only package of payments that touches the wallet's ledger, a module for each subject.

| fact                              | debit                | credit                         |
|-----------------------------------|----------------------|--------------------------------|
| payment through a channel, won    | clearing:<channel>   | what the purchase names        |
| payment through a channel, surplus| clearing:<channel>   | suspense                       |
| payment from the wallet           | buyer bonus, then cash | what the purchase names      |
| refund of a won payment, requested| what was credited    | suspense                       |
| refund done by a channel          | suspense             | clearing:<channel>             |
| refund done to the wallet         | suspense             | buyer bonus and cash, as taken |
| refund redirected to the wallet   | suspense             | buyer cash                     |
| fee kept by a channel             | channel_fee:<channel>| clearing:<channel>             |
| channel sends to our bank         | bank                 | clearing:<channel>             |
| show settled with its organiser   | guarantee            | merchant:<organiser>, fee      |
| withdrawal paid out               | buyer cash or merchant | bank                         |
| the same, after it was given back | buyer cash or merchant | bank                         |
| withdrawal returned               | bank                 | buyer cash or merchant         |
"""

from __future__ import annotations

from payments.money.accounts import (
    balance_of,
    buyer_bonus,
    buyer_cash,
    clearing,
    clearing_accounts,
    guarantee,
    lock_account,
    lock_merchants,
    merchant,
    open_buyer_accounts,
    open_system_accounts,
    suspense,
)
from payments.money.by_hand import (
    NoSuchEntry,
    book_by_hand,
    release_hold,
    reverse_by_hand,
)
from payments.money.giving_back import (
    book_refund_done,
    book_refund_requested,
    book_refunds_requested,
    book_wallet_refunds_done,
    ways_back,
)
from payments.money.paying_out import (
    book_withdrawal_after_all,
    book_withdrawal_paid,
    book_withdrawal_returned,
    reserve_withdrawal,
)
from payments.money.settling import (
    BOOKED_BETWEEN,
    CLEARED,
    CLEARED_EXACTLY,
    ShowSettled,
    book_settlement,
    book_show_settlements,
)
from payments.money.taking import (
    Share,
    Taking,
    book_success,
    lock_and_share,
    take_all_from_wallets,
    take_from_wallet,
)
from wallet.folding import fold
from wallet.ledger import HoldEnded, InsufficientFunds, KeyReused

__all__ = [
    "BOOKED_BETWEEN",
    "CLEARED",
    "CLEARED_EXACTLY",
    "HoldEnded",
    "InsufficientFunds",
    "KeyReused",
    "NoSuchEntry",
    "Share",
    "ShowSettled",
    "Taking",
    "balance_of",
    "book_by_hand",
    "book_refund_done",
    "book_refund_requested",
    "book_refunds_requested",
    "book_settlement",
    "book_show_settlements",
    "book_success",
    "book_wallet_refunds_done",
    "book_withdrawal_after_all",
    "book_withdrawal_paid",
    "book_withdrawal_returned",
    "buyer_bonus",
    "buyer_cash",
    "clearing",
    "clearing_accounts",
    "fold",
    "guarantee",
    "lock_account",
    "lock_and_share",
    "lock_merchants",
    "merchant",
    "open_buyer_accounts",
    "open_system_accounts",
    "release_hold",
    "reserve_withdrawal",
    "reverse_by_hand",
    "suspense",
    "take_all_from_wallets",
    "take_from_wallet",
    "ways_back",
]
