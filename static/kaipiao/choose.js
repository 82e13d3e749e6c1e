// The total of what is chosen, before it is ordered. The server decides the price; this only adds up.
const form = document.querySelector("[data-choose]");
const output = form?.querySelector("[data-total]");

function total() {
  const chosen = [...form.querySelectorAll("input[name=seat]:checked")];
  if (form.querySelector("input[name=seat]")) return chosen.reduce((sum, seat) => sum + Number(seat.dataset.price), 0);
  const tier = form.querySelector("input[name=tier]:checked");
  const quantity = form.querySelector("input[name=quantity]:checked");
  return tier && quantity ? Number(tier.dataset.price) * Number(quantity.value) : 0;
}

function show() {
  const minor = total();
  const format = new Intl.NumberFormat(document.documentElement.lang, { style: "currency", currency: output.dataset.currency, minimumFractionDigits: minor % 100 ? 2 : 0 });
  output.textContent = minor ? format.format(minor / 100) : "—";
}

if (output) {
  form.addEventListener("change", show);
  window.addEventListener("pageshow", show);
  show();
}
