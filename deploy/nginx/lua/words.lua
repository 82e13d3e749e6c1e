-- What the edge says to people, by the codes of docs/api-errors.md, in the words of Django (tests/edge/test_words.py
-- compares them). The names beside the codes are details.
return {
  en = {
    bad_quantity = "An order cannot have this many seats",
    idempotency_key_reused = "The Idempotency-Key belongs to another request",
    limit_reached = "You have as many seats as one buyer may",
    not_found = "There is nothing here",
    not_on_sale = "The show is not on sale now",
    pass_needed = "Wait for your turn: this needs an admission pass",
    pass_used = "The admission pass was used or has ended",
    sale_stopped = "The sale is stopped for now",
    sold_out = "Too few seats are left",
    too_large = "The request is too large",
    too_many_requests = "Too many requests; wait a moment",
    unavailable = "Temporarily unavailable; try again",
    place_kept = "Your place is kept; ask again in a moment",
  },
  ["zh-hans"] = {
    bad_quantity = "一张订单不能有这么多座位",
    idempotency_key_reused = "这个 Idempotency-Key 属于另一个请求",
    limit_reached = "已达到每人限购数量",
    not_found = "这里什么都没有",
    not_on_sale = "该场次现在不在售",
    pass_needed = "请等待轮到您：需要入场凭证",
    pass_used = "入场凭证已使用或已过期",
    sale_stopped = "暂停销售",
    sold_out = "余票不足",
    too_large = "请求过大",
    too_many_requests = "请求过于频繁，请稍候",
    unavailable = "暂时不可用，请重试",
    place_kept = "您的位置已保留，请稍后再问",
  },
}
