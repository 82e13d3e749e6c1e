"""
The five incidents that the product exists for, each replayed over HTTP with the channels misbehaving as they once did.

`replay` runs them, `verdict` says what "right" means and was seen, `scene` gives each replay a buyer, seats and the
channels' books; the incidents themselves are told one to a module, in their order:

1. `pressed_again`   presses Pay again and again because nothing happens
2. `four_deductions` presses Pay four times with the money in the wallet
3. `late_money`      pays when the order is over
4. `lost_notify`     pays, and nobody tells us
5. `paid_twice`      pays at a second channel, then at the first one, too
"""
