"""
What the buyer sees on the phone: one small page per trade, Chinese and English, without a script.
"""

from __future__ import annotations

from html import escape

from payments.sandbox.books import Row

BRANDS = {"alipay": ("支付宝", "Alipay", "#0958d9"), "wechat": ("微信支付", "WeChat Pay", "#067a3c")}
STATES = {
    "paid": ("支付成功", "Paid"),
    "closed": ("交易已关闭", "This trade is closed"),
    "expired": ("二维码已过期", "This code has expired"),
    "declined": ("付款被拒绝，请换卡重试", "The bank declined. Try again."),
    "absent": ("没有这笔交易", "There is no such trade"),
}
PAGE = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name_zh} {name_en}</title>
<style>
body {{ margin: 0; font: 17px/1.5 system-ui, sans-serif; background: #f4f5f7; color: #1a1a1a }}
header {{ background: {colour}; color: #fff; padding: 12px 20px; font-weight: 600 }}
main {{ max-width: 26rem; margin: 0 auto; padding: 24px 20px; text-align: center }}
.amount {{ font-size: 2.6rem; font-weight: 700; margin: .3em 0; font-variant-numeric: tabular-nums }}
.subject, .number {{ overflow-wrap: anywhere; margin: 0 }}
.number, footer {{ color: #595959; font-size: .85rem }}
button {{ width: 100%; min-height: 52px; margin-top: 16px; border-radius: 10px; font: inherit;
  font-weight: 600; border: 1px solid {colour}; background: {colour}; color: #fff }}
button.quiet {{ background: #fff; color: #1a1a1a; border-color: #8c8c8c }}
footer {{ text-align: center; padding: 16px }}
</style></head><body>
<header>{name_zh} <span lang="en">{name_en}</span></header>
<main>{content}</main>
<footer>沙箱，不是真钱 <span lang="en">Sandbox, no real money</span></footer>
</body></html>
"""


def cashier(trade: Row) -> str:
    amount = yuan(trade["amount_minor"])
    content = f"""<p class="subject">{escape(trade["subject"])}</p>
<p class="amount">¥{amount}</p><p class="number">{escape(trade["number"])}</p>
<form method="post" action="/cashier/{trade["channel"]}/{escape(trade["number"])}/pay">
<button type="submit">支付 <span lang="en">Pay</span> ¥{amount}</button></form>
<form method="post" action="/cashier/{trade["channel"]}/{escape(trade["number"])}/abandon">
<button type="submit" class="quiet">离开 <span lang="en">Leave</span></button></form>"""
    return _page(trade["channel"], content)


def outcome(channel: str, state: str, trade: Row | None = None) -> str:
    chinese, english = STATES[state]
    amount = f'<p class="amount">¥{yuan(trade["amount_minor"])}</p>' if trade else ""
    return _page(channel, f'<h1>{chinese}</h1><p lang="en">{english}</p>{amount}')


def _page(channel: str, content: str) -> str:
    name_zh, name_en, colour = BRANDS[channel]
    return PAGE.format(name_zh=name_zh, name_en=name_en, colour=colour, content=content)


def yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"
