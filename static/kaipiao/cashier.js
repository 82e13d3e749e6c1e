// Paying. One press is one payment: the button is disabled at the first press, the token in the form makes any further
// press the same payment at the server, and whatever the network does, the page finds out and says what is the case.

const QUICK_S = [1, 2, 3, 5, 8];
const SLOW_S = 15;
const HIDDEN_S = 60;
const EXPLAIN_AFTER_MS = 8000;

let round = 0;
let timer = 0;
let etag = "";
let asking = false;

const live = () => document.querySelector("[data-live]");
const desk = () => document.querySelector("[data-cashier]");

// -- following what happens ------------------------------------------------------------------------------------------

function pause() {
  if (document.hidden) return HIDDEN_S;
  if (desk().dataset.pace === "fast" || pressed) return QUICK_S[round] ?? SLOW_S;
  return SLOW_S * 2;
}

function plan() {
  clearTimeout(timer);
  if (desk().dataset.pace === "never") return;
  timer = setTimeout(ask, pause() * 1000);
  round += 1;
}

async function ask() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    await look();
  } catch {
    // No network, or a server that is being restarted: the next round asks again.
  } finally {
    asking = false;
    plan();
  }
}

// Answers what the server knows now: the stage, and whether it is news.
async function look() {
  const { status, version } = desk().dataset;
  const answer = await fetch(status, { headers: { Accept: "application/json", ...(etag && { "If-None-Match": etag }) }, cache: "no-store" });
  tellTime(answer);
  if (answer.status === 304) return { stage: desk().dataset.stage, isNews: false };
  if (answer.redirected || answer.status === 404) { location.reload(); return { stage: "", isNews: true }; }
  if (!answer.ok) throw new Error(answer.status);
  const state = await answer.json();
  etag = answer.headers.get("ETag") ?? "";
  const isNews = state.version !== version;
  if (isNews) await refresh();
  return { stage: state.stage, isNews };
}

function tellTime(answer) {
  const date = Date.parse(answer.headers.get("Date"));
  if (date) document.dispatchEvent(new CustomEvent("kaipiao:time", { detail: date + 500 }));
}

// Puts the server's new page in place of the old part of this one.
async function refresh() {
  const stage = desk().dataset.stage;
  const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("[data-live]");
  if (!fresh) { location.reload(); return; }
  const chosen = live().querySelector("input[name=channel]:checked")?.value;
  live().replaceWith(fresh);
  document.title = page.title;
  const same = chosen && live().querySelector(`input[name=channel][value="${chosen}"]:not(:disabled)`);
  if (same) same.checked = true;
  pressed = null;
  if (desk().dataset.stage !== stage) {
    round = 0;
    document.querySelector("[data-announcements]").textContent = document.querySelector("[data-heading]").textContent;
  }
}

// -- pressing Pay ------------------------------------------------------------------------------------------------------

let pressed = null;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if ("pay" in form.dataset) { event.preventDefault(); press(form, event.submitter); }
  else if ("check" in form.dataset) { event.preventDefault(); check(form, event.submitter); }
});

async function press(form, button) {
  if (pressed) return;
  pressed = { form, button };
  const body = new FormData(form, button);
  busy(button, true);
  trouble(form, "");
  const slow = setTimeout(() => { trouble(form, "slow"); round = 0; ask(); }, EXPLAIN_AFTER_MS);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    clearTimeout(slow);
    if (answer.status === 403 || answer.redirected) { location.reload(); return; }
    if (!answer.ok) throw new Error(answer.status);
    go((await answer.json()).go);
  } catch {
    clearTimeout(slow);
    trouble(form, "lost");
    await findOut(form, button);
  }
}

function go(address) {
  // The page itself again: show what has become of it. Messages wait for the next full page, so load it whole.
  if (new URL(address, location.href).pathname === location.pathname) location.replace(address);
  else location.assign(address);
}

// The press may or may not have arrived. Ask until we know; only then may the button be pressed again.
async function findOut(form, button) {
  for (let attempt = 0; ; attempt += 1) {
    await new Promise((done) => setTimeout(done, 1000 * (QUICK_S[attempt] ?? SLOW_S)));
    if (!form.isConnected) return;
    try {
      const { isNews } = await look();
      if (isNews || !form.isConnected) return;
      // Not there after two looks: the request was lost on its way. The same token makes a late arrival the same payment.
      if (attempt >= 1) break;
    } catch {
      // Still no network.
    }
  }
  pressed = null;
  busy(button, false);
  trouble(form, "again");
}

function busy(button, isBusy) {
  if (isBusy) {
    button.dataset.label = button.innerHTML;
    button.textContent = button.dataset.busy;
    button.setAttribute("aria-busy", "true");
  } else {
    button.innerHTML = button.dataset.label;
    button.removeAttribute("aria-busy");
  }
  button.disabled = isBusy;
}

function trouble(form, name) {
  const place = form.querySelector("[data-trouble]");
  const words = form.querySelector(`template[data-say="${name}"]`);
  if (!place) return;
  place.hidden = !words;
  place.textContent = words ? words.content.textContent : "";
}

async function check(form, button) {
  if (button.disabled) return;
  busy(button, true);
  try {
    await fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } });
    await look();
  } catch {
    // The polling goes on by itself.
  }
  round = 0;
  plan();
  if (form.isConnected) setTimeout(() => busy(button, false), 2000);
}

// -- when to look again --------------------------------------------------------------------------------------------------

const soon = () => { round = 0; ask(); };
document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
document.addEventListener("kaipiao:deadline", soon);
window.addEventListener("online", soon);
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  // Back from the channel's page: whatever the button said when we left is over.
  if (pressed) busy(pressed.button, false);
  pressed = null;
  location.reload();
});

if (desk()) plan();
