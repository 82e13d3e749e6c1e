// A submission in line: asks what became of it, at the pace that the server sets. Whatever is decided is the server's
// page, fetched anew: it leads to the order.

const FAILED_S = [1, 2, 4, 8, 15];

let failures = 0;

const desk = () => document.querySelector("[data-submission]");

function plan(ms) {
  setTimeout(ask, ms);
}

async function ask() {
  try {
    const answer = await fetch(desk().dataset.poll, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (answer.status === 429 || answer.status === 503) { later(Number(answer.headers.get("Retry-After")) || 0); return; }
    if (answer.status !== 202) { location.reload(); return; }
    failures = 0;
    notice(false);
    plan((await answer.json()).poll_after_ms);
  } catch {
    later(0);
  }
}

// Nothing is lost: the order stands in line, and its receipt in the address.
function later(seconds) {
  const wait = Math.max(seconds, FAILED_S[Math.min(failures, FAILED_S.length - 1)]);
  failures += 1;
  notice(failures > 1);
  plan(wait * 1000 * (0.8 + Math.random() * 0.4));
}

function notice(visible) {
  desk().querySelector("[data-offline-here]").hidden = !visible;
}

if (desk()?.dataset.stage === "queued") plan(Number(desk().dataset.after));
