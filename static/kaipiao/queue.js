// The waiting room: asks where one stands, at the pace that the server sets, and changes the numbers on the page. Any
// other change (one's turn, sold out) is the server's page, fetched anew.

const HIDDEN_FACTOR = 3;
const FAILED_S = [3, 6, 12, 24, 45];

let failures = 0;
let timer = 0;
let asked = 0;

const desk = () => document.querySelector("[data-queue]");
const put = (name, text) => { const place = desk().querySelector(`[data-${name}]`); if (place && place.textContent !== text) place.textContent = text; };
const number = (value) => new Intl.NumberFormat(document.documentElement.lang).format(value);

function plan(seconds) {
  clearTimeout(timer);
  timer = setTimeout(ask, seconds * 1000 * (document.hidden ? HIDDEN_FACTOR : 1));
}

async function ask() {
  asked = Date.now();
  try {
    const answer = await fetch(desk().dataset.poll, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (answer.status === 429 || answer.status === 503) { later(Number(answer.headers.get("Retry-After")) || 0); return; }
    if (!answer.ok) { location.reload(); return; }
    const date = Date.parse(answer.headers.get("Date"));
    if (date) document.dispatchEvent(new CustomEvent("kaipiao:time", { detail: date + 500 }));
    show(await answer.json());
  } catch {
    later(0);
  }
}

// Nothing is lost: the number is in the cookie, the place at the server.
function later(seconds) {
  const wait = Math.max(seconds, FAILED_S[Math.min(failures, FAILED_S.length - 1)]);
  failures += 1;
  notice(failures > 1);
  plan(wait * (0.8 + Math.random() * 0.4));
}

function notice(visible) {
  const place = desk().querySelector("[data-offline-here]");
  if (place) place.hidden = !visible;
}

function show(told) {
  failures = 0;
  notice(false);
  const drawn = Boolean(desk().querySelector("[data-place]"));
  if (told.status !== desk().dataset.stage || (told.place !== null) !== drawn) { location.reload(); return; }
  put("waiting", number(told.waiting));
  if (told.place !== null) {
    put("place", number(told.place));
    put("ahead", number(told.ahead));
    const progress = desk().querySelector("[data-progress]");
    if (progress) Object.assign(progress, { max: told.place, value: told.place - told.ahead });
    wait(told.wait_seconds);
    const paused = desk().querySelector("[data-paused]");
    if (paused) paused.hidden = told.state !== "paused";
    for (const note of desk().querySelectorAll("[data-outlook]")) note.hidden = note.dataset.outlook !== told.outlook;
  }
  const updated = desk().querySelector("[data-updated]");
  if (updated) {
    const at = new Date(told.lastUpdated);
    updated.dateTime = told.lastUpdated;
    updated.textContent = at.toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  }
  plan(told.refreshIntervalSeconds);
}

function wait(seconds) {
  const place = desk().querySelector("[data-wait]");
  if (!place) return;
  const { minutes, about, unknown } = place.dataset;
  const low = seconds && Math.max(1, Math.floor(seconds.low / 60));
  const high = seconds && Math.max(1, Math.ceil(seconds.high / 60));
  if (seconds && low === high) { put("wait", about.replace("{n}", low)); return; }
  put("wait", seconds ? minutes.replace("{low}", low).replace("{high}", high) : unknown);
}

if (desk()?.dataset.stage === "waiting") {
  for (const name of ["place", "ahead", "waiting"]) {
    const place = desk().querySelector(`[data-${name}]`);
    if (place) place.textContent = number(Number(place.textContent.replace(/\D/g, "")));
  }
  plan(Number(desk().dataset.interval) / 1000);
  // Back from another app: ask at once, if the last answer is old.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - asked > 5000) plan(0.2 + Math.random());
  });
} else if (Number(desk()?.dataset.repeat)) {
  setTimeout(() => location.reload(), Number(desk().dataset.repeat) * 1000 * (0.8 + Math.random() * 0.4));
}
