// The desk's keys and small comforts. Every page works without this file.

const root = document.querySelector(".desk");
const typing = (target) => target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, dialog[open]");

function inbox(list) {
  const rows = [...list.querySelectorAll("[data-case]")];
  const bulk = document.querySelector("[data-bulk]");
  const all = list.querySelector("[data-all]");
  const boxes = rows.map((row) => row.querySelector("input[type=checkbox]"));
  let at = -1;
  let last = -1;

  function go(to) {
    if (!rows.length) return;
    rows[at]?.classList.remove("at");
    at = Math.max(0, Math.min(rows.length - 1, to));
    rows[at].classList.add("at");
    rows[at].querySelector("a").focus({ preventScroll: true });
    rows[at].scrollIntoView({ block: "nearest" });
    sessionStorage.setItem("desk-at", rows[at].dataset.case);
  }

  function count() {
    const chosen = boxes.filter((box) => box.checked).length;
    rows.forEach((row, n) => row.classList.toggle("chosen", boxes[n].checked));
    if (!bulk) return;
    bulk.hidden = chosen === 0;
    bulk.querySelector("[data-count]").textContent = chosen;
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
  }

  boxes.forEach((box, n) =>
    box.addEventListener("click", (event) => {
      if (event.shiftKey && last >= 0) {
        const [from, to] = [Math.min(last, n), Math.max(last, n)];
        for (let i = from; i <= to; i++) boxes[i].checked = box.checked;
      }
      last = n;
      count();
    }),
  );
  all?.addEventListener("click", () => {
    boxes.forEach((box) => (box.checked = all.checked));
    count();
  });
  document.querySelector("[data-clear]")?.addEventListener("click", () => {
    boxes.forEach((box) => (box.checked = false));
    count();
  });
  bulk?.classList.add("ready");
  count();

  // An inbox that stays open says so when it is no longer true; nothing moves under a reader's eyes by itself.
  const changed = document.querySelector("[data-changed]");
  setInterval(async () => {
    if (document.hidden || !changed.hidden) return;
    try {
      const answer = await fetch(list.dataset.waiting, { headers: { Accept: "application/json" } });
      if (answer.redirected) {
        document.querySelector("[data-over]").hidden = false; // to the sign-in page
        return;
      }
      const told = await answer.json();
      changed.hidden = `${told.count}-${told.late}` === list.dataset.count;
      changed.querySelector("[data-now]").textContent = told.count;
      if (!changed.hidden) document.title = document.title.replace(/^(\(\d+\) )?/, `(${told.count}) `);
    } catch {
      // The network is away: the next click will tell.
    }
  }, Number(list.dataset.every || 20) * 1000);

  const toggle = () => {
    if (at < 0) return;
    boxes[at].checked = !boxes[at].checked;
    last = at;
    count();
  };
  const page = (name) => document.querySelector(`[data-page=${name}]`)?.click();
  const keys = {
    j: () => go(at + 1),
    k: () => go(at < 0 ? 0 : at - 1),
    ArrowDown: () => go(at + 1),
    ArrowUp: () => go(at < 0 ? 0 : at - 1),
    x: toggle,
    o: () => rows[at]?.querySelector("a").click(),
    Enter: () => rows[at]?.querySelector("a").click(),
    m: () => {
      if (!boxes.some((box) => box.checked)) toggle();
      document.querySelector("[data-take]")?.click();
    },
    ".": () => location.reload(),
    n: () => page("next"),
    p: () => page("previous"),
  };
  const back = rows.findIndex((row) => row.dataset.case === sessionStorage.getItem("desk-at"));
  if (back >= 0 && document.referrer.includes("/desk/case/")) go(back);
  return keys;
}

// The rows of a plain list (requests for approval): the same keys to move, open and turn the page.
function lines(rows) {
  let at = -1;
  const go = (to) => {
    at = Math.max(0, Math.min(rows.length - 1, to));
    rows[at]?.querySelector("a").focus();
  };
  const page = (name) => () => document.querySelector(`[data-page=${name}]`)?.click();
  return {
    j: () => go(at + 1),
    k: () => go(at - 1),
    o: () => rows[at]?.querySelector("a").click(),
    n: page("next"),
    p: page("previous"),
  };
}

function onecase() {
  const press = (name) => () => document.querySelector(`[data-${name}]`)?.click();
  return {
    j: press("following"),
    k: press("preceding"),
    u: press("up"),
    m: press("take"),
    q: press("ask"),
    r: () => {
      const panel = document.querySelector("[data-resolve]");
      panel?.scrollIntoView({ block: "start", behavior: "smooth" });
      panel?.querySelector("a, input:not([type=hidden]), textarea")?.focus({ preventScroll: true });
    },
  };
}

function listen(keys) {
  const help = document.querySelector("dialog[data-keys]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "?") return help?.open ? help.close() : help?.showModal();
    if (event.key === "/") {
      event.preventDefault();
      return document.querySelector(".desk-filters input[type=search]")?.focus();
    }
    // A link or a button that has the focus keeps its own Enter.
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }, true);
}

if (root) {
  root.classList.add("js");
  root.querySelector("[data-more]")?.addEventListener("click", (event) => {
    const open = event.currentTarget.closest("form").classList.toggle("open");
    event.currentTarget.setAttribute("aria-expanded", open);
  });
  const list = root.querySelector("[data-inbox]");
  const rows = [...root.querySelectorAll("[data-request]")];
  listen(list ? inbox(list) : rows.length ? lines(rows) : onecase());

  for (const opener of root.querySelectorAll("[data-opens]")) {
    opener.addEventListener("click", () => document.getElementById(opener.dataset.opens).showModal());
  }
  for (const closer of root.querySelectorAll("dialog [data-closes]")) {
    closer.addEventListener("click", () => closer.closest("dialog").close());
  }
  for (const select of root.querySelectorAll("[data-submits] select")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
  // One press is one request: money is not moved twice by an impatient hand, and the server would refuse it anyway.
  for (const form of root.querySelectorAll("form[method=post]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) return event.preventDefault();
      form.dataset.sent = "1";
      form.querySelectorAll("button").forEach((button) => button.setAttribute("aria-busy", "true"));
    });
  }
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) root.querySelectorAll("form").forEach((form) => delete form.dataset.sent);
  });
}
