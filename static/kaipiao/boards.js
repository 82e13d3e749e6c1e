// The boards that keep themselves fresh: asks for the changing part every few seconds and puts in what has changed.
(() => {
  const board = document.querySelector("[data-board]");
  if (!board) return;
  const changing = board.querySelector("[data-changing]");
  const pulse = board.querySelector("[data-pulse]");
  const every = Number(board.dataset.every) * 1000;
  const charts = new Map();
  let paused = false, waits = every, timer = 0;

  const colour = (name) => getComputedStyle(board).getPropertyValue(name).trim();

  function shown(data) {
    const line = data.form === "line";
    return {
      labels: data.labels,
      datasets: data.series.map((one) => {
        const own = colour(`--kp-${one.colour}`);
        return line
          ? { label: one.name, data: one.values, borderColor: own, backgroundColor: own, borderWidth: 2, pointRadius: 0, pointHitRadius: 12, tension: 0.25 }
          : { label: one.name, data: one.values, backgroundColor: own, borderRadius: 2, maxBarThickness: 28 };
      }),
    };
  }

  function options(data) {
    const text = colour("--kp-faint"), grid = colour("--kp-line");
    const values = { beginAtZero: true, stacked: data.stacked, ticks: { color: text, precision: 0, maxTicksLimit: board.clientWidth < 500 ? 4 : 6, maxRotation: 0 }, grid: { color: grid }, border: { display: false } };
    const labels = { stacked: data.stacked, ticks: { color: text, maxRotation: 0, autoSkip: !data.sideways, autoSkipPadding: 16 }, grid: { display: false } };
    return {
      responsive: true, maintainAspectRatio: false, animation: false, indexAxis: data.sideways ? "y" : "x",
      interaction: { mode: "index", intersect: false, axis: data.sideways ? "y" : "x" },
      scales: data.sideways ? { x: values, y: labels } : { x: labels, y: values },
      plugins: { legend: { display: data.series.length > 1, position: "bottom", labels: { color: text, boxWidth: 12, boxHeight: 12 } } },
      onClick: (_event, hit) => { if (hit.length && data.links[hit[0].index]) location.assign(data.links[hit[0].index]); },
      onHover: (event, hit) => { event.native.target.style.cursor = hit.length && data.links.length ? "pointer" : ""; },
    };
  }

  function draw(canvas) {
    const data = JSON.parse(canvas.dataset.chart), known = charts.get(canvas.id);
    if (known && known.canvas === canvas) {
      known.data = shown(data);
      known.options = options(data);
      known.update("none");
      return;
    }
    if (known) known.destroy();
    charts.set(canvas.id, new Chart(canvas, { type: data.form, data: shown(data), options: options(data) }));
  }

  function drawAll() { board.querySelectorAll("canvas[data-chart]").forEach(draw); }

  // The same panels: put in what differs, so that a reader's place, selection and scrolling stay. Others: put in all.
  function take(html) {
    const fresh = document.createElement("div");
    fresh.innerHTML = html;
    const ids = (root) => [...root.querySelectorAll("[data-live-id], canvas")].map((one) => one.dataset.liveId || one.id).join();
    if (ids(fresh) !== ids(changing)) {
      charts.forEach((chart) => chart.destroy());
      charts.clear();
      changing.replaceChildren(...fresh.childNodes);
      drawAll();
      return;
    }
    fresh.querySelectorAll("[data-live-id]").forEach((one) => {
      const old = changing.querySelector(`[data-live-id="${one.dataset.liveId}"]`);
      if (old.outerHTML === one.outerHTML) return;
      const flashes = old.matches(".kp-figure") && old.querySelector(".kp-value").textContent !== one.querySelector(".kp-value").textContent;
      old.className = one.className;
      old.innerHTML = one.innerHTML;
      if (flashes) { old.classList.remove("kp-new"); void old.offsetWidth; old.classList.add("kp-new"); }
    });
    fresh.querySelectorAll("canvas").forEach((one) => {
      const old = changing.querySelector(`#${one.id}`);
      if (old.dataset.chart === one.dataset.chart) return;
      old.dataset.chart = one.dataset.chart;
      old.setAttribute("aria-label", one.getAttribute("aria-label"));
      draw(old);
    });
  }

  function tell(is, text) {
    pulse.hidden = false;
    pulse.dataset.is = is;
    pulse.setAttribute("aria-pressed", String(paused));
    pulse.querySelector("[data-pulse-text]").textContent = text;
  }

  async function refresh() {
    clearTimeout(timer);
    if (paused || document.hidden) return;
    const address = new URL(location.href);
    address.searchParams.set("part", "1");
    try {
      const answer = await fetch(address, { headers: { "X-Requested-With": "XMLHttpRequest" }, redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 403) { tell("lost", board.dataset.over); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      take(await answer.text());
      waits = every;
      tell("live", board.dataset.live);
    } catch {
      waits = Math.min(waits * 2, 30000);
      tell("lost", board.dataset.lost);
    }
    timer = setTimeout(refresh, waits);
  }

  pulse.addEventListener("click", () => {
    paused = !paused;
    if (paused) { clearTimeout(timer); tell("paused", board.dataset.paused); } else { tell("live", board.dataset.live); refresh(); }
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) refresh(); });
  board.querySelectorAll("select").forEach((one) => one.addEventListener("change", () => one.form.submit()));
  new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  drawAll();
  tell("live", board.dataset.live);
  timer = setTimeout(refresh, every);
})();
