// On every page: clocks that follow the server's time, buttons that are pressed once, the language switch, offline.

// The server's time minus the device's, in ms. A device whose clock is wrong counts down rightly all the same.
let skew = 0;
const now = () => Date.now() + skew;
const synced = document.querySelector("[data-now]");
if (synced) skew = Number(synced.dataset.now) - (Date.now() - performance.now() + responseStart());
function responseStart() {
  return performance.getEntriesByType("navigation")[0]?.responseStart ?? 0;
}
document.addEventListener("kaipiao:time", (event) => { skew = event.detail - Date.now(); });

const MARKS = [300, 120, 60, 30];
const passed = new WeakSet();

function tick() {
  for (const timer of document.querySelectorAll("[data-deadline]")) {
    const left = Math.max(0, Math.ceil((Number(timer.dataset.deadline) - now()) / 1000));
    const text = written(left);
    if (timer.textContent !== text) timer.textContent = text;
    timer.classList.toggle("soon", left <= 60);
    if ("announce" in timer.dataset) announce(timer, left);
    if (left === 0 && !passed.has(timer)) {
      passed.add(timer);
      if (timer.dataset.then === "reload") setTimeout(() => location.reload(), 300 + Math.random() * 1200);
      else document.dispatchEvent(new CustomEvent("kaipiao:deadline"));
    }
  }
}

function written(seconds) {
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}

// A timer is silent (role=timer, aria-live=off); what is left is said at 5, 2, 1 minutes and 30 seconds.
function announce(timer, left) {
  const before = Number(timer.dataset.left ?? left);
  timer.dataset.left = left;
  const mark = MARKS.find((seconds) => before > seconds && left <= seconds);
  const place = document.querySelector("[data-announcements]");
  if (!mark || !place) return;
  const label = timer.parentElement.firstChild.textContent.trim();
  const unit = mark >= 60 ? [mark / 60, "minute"] : [mark, "second"];
  const amount = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: unit[1], unitDisplay: "long" });
  place.textContent = `${label} ${amount.format(unit[0])}`;
}

tick();
setInterval(tick, 1000);

// A plain form is sent once: the second press of an impatient thumb does nothing. Forms marked data-pay have a
// module of their own (cashier.js).
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || "pay" in form.dataset || form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  const button = event.submitter;
  form.dataset.sent = "1";
  if (button?.dataset.busy) {
    button.dataset.label = button.innerHTML;
    button.setAttribute("aria-busy", "true");
    button.textContent = button.dataset.busy;
  }
});

// Back from the next page: the form may be used again, and what is shown may be old.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-busy]")) {
      button.removeAttribute("aria-busy");
      button.innerHTML = button.dataset.label;
    }
  }
  tick();
});

// Changing the language keeps what was chosen on the page.
document.querySelector("[data-language]")?.addEventListener("submit", (event) => {
  const form = document.querySelector("[data-keep]");
  if (!form) return;
  const address = new URL(location.href);
  for (const [name, value] of new FormData(form)) {
    if (name !== "csrfmiddlewaretoken" && name !== "client_key") address.searchParams.set(name, value);
  }
  event.target.elements.next.value = address.pathname + address.search;
});

const offline = document.querySelector("[data-offline]");
const show = () => { offline.hidden = navigator.onLine; };
window.addEventListener("online", show);
window.addEventListener("offline", show);
show();
