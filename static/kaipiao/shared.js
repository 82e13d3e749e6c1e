// An event's page from the web server's disk: the same for everybody, so what is left is counted here.

const VISIBLE_MS = 3000;
const FEW = 50;

const number = (value) => new Intl.NumberFormat(document.documentElement.lang).format(value);

async function count(show) {
  const answer = await fetch(show.dataset.leftOf, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.status);
  const date = Date.parse(answer.headers.get("Date"));
  if (date) document.dispatchEvent(new CustomEvent("kaipiao:time", { detail: date + 500 }));
  for (const tier of (await answer.json()).tiers) {
    const place = show.querySelector(`[data-tier="${CSS.escape(tier.code)}"] [data-left]`);
    const { gone, few, many } = show.dataset;
    if (place) place.textContent = tier.free === 0 ? gone : (tier.free < FEW ? few : many).replace("{n}", number(tier.free));
  }
}

async function follow(show, failures) {
  let failed = failures;
  if (!document.hidden) {
    try { await count(show); failed = 0; } catch { failed += 1; }
  }
  setTimeout(() => follow(show, failed), VISIBLE_MS * (1 + failed) * (0.8 + Math.random() * 0.4));
}

for (const show of document.querySelectorAll("[data-show]")) {
  if (["open", "coming"].includes(show.dataset.sale)) follow(show, 0);
}
