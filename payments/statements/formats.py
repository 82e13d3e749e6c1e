"""Which statements we can read. A new channel's statement is a new module and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from payments.statements import archive
from payments.statements.alipay import AlipayFunds, AlipayTrade
from payments.statements.archive import Text
from payments.statements.shape import Format, Refused
from payments.statements.wechat import WechatFunds, WechatTrade

FORMATS: Sequence[Format] = (AlipayTrade(), AlipayFunds(), WechatTrade(), WechatFunds())


def of(channel: str) -> Sequence[Format]:
    """A channel's statements."""
    return [form for form in FORMATS if form.channel == channel]


def find(file: BinaryIO) -> tuple[Format, list[Text]]:
    """
    The one statement in `file`, told by its content, in the order of its parts; a summary beside it is passed over.

    :raises Refused: there is none, or more than one, or the file is damaged
    """
    found = [(form, text) for text in archive.texts(file) for form in FORMATS if form.recognises(text.head)]
    if not found:
        raise Refused(1, "foreign")
    form = found[0][0]
    if any(other is not form for other, _ in found):
        raise Refused(0, "several")
    return form, sorted((text for _, text in found), key=lambda text: text.name)
