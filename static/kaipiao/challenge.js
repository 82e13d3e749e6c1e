// Work for the gate: find n so that SHA-256("<token>.<n>") begins with `difficulty` zero bits. One file, page and worker.
const K = [], H0 = [];
for (let n = 2; K.length < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
  if (!prime) continue;
  const bits = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  if (H0.length < 8) H0.push(bits(Math.sqrt(n)));
  K.push(bits(Math.cbrt(n)));
}
const W = new Int32Array(64);
const rot = (x, n) => (x >>> n) | (x << (32 - n));

// The first 32 bits of the digest of an ASCII text.
function head(text) {
  const length = text.length, blocks = ((length + 8) >> 6) + 1, m = new Int32Array(blocks * 16);
  for (let i = 0; i < length; i++) m[i >> 2] |= text.charCodeAt(i) << (24 - (i & 3) * 8);
  m[length >> 2] |= 0x80 << (24 - (length & 3) * 8);
  m[m.length - 1] = length * 8;
  const h = H0.slice();
  for (let at = 0; at < m.length; at += 16) {
    let [a, b, c, d, e, f, g, k] = h;
    for (let i = 0; i < 64; i++) {
      if (i < 16) W[i] = m[at + i];
      else {
        const x = W[i - 15], y = W[i - 2];
        W[i] = W[i - 16] + W[i - 7] + (rot(x, 7) ^ rot(x, 18) ^ (x >>> 3)) + (rot(y, 17) ^ rot(y, 19) ^ (y >>> 10));
      }
      const t = (k + (rot(e, 6) ^ rot(e, 11) ^ rot(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
      const u = ((rot(a, 2) ^ rot(a, 13) ^ rot(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      k = g; g = f; f = e; e = (d + t) | 0; d = c; c = b; b = a; a = (t + u) | 0;
    }
    [a, b, c, d, e, f, g, k].forEach((x, i) => { h[i] = (h[i] + x) | 0; });
  }
  return h[0] >>> 0;
}

export function solve(token, difficulty, from = 0, most = Infinity) {
  for (let n = from; n < from + most; n++) if (head(`${token}.${n}`) >>> (32 - difficulty) === 0) return n;
  return -1;
}

const page = globalThis.document?.querySelector("[data-challenge]");
if (page) {
  const { token, difficulty } = page.dataset, form = page.querySelector("[data-work]");
  page.querySelector("[data-working]").hidden = false;
  page.querySelector("[data-puzzle]").hidden = true;
  const done = (n) => { form.answer.value = n; form.submit(); };
  const slowly = (n = 0) => { const found = solve(token, +difficulty, n, 2000); found < 0 ? setTimeout(slowly, 0, n + 2000) : done(found); };
  try {
    const worker = new Worker(import.meta.url, { type: "module" });
    worker.onmessage = (event) => done(event.data);
    worker.onerror = () => slowly();
    worker.postMessage([token, +difficulty]);
  } catch { slowly(); }
} else if (globalThis.postMessage && !globalThis.document) {
  globalThis.onmessage = (event) => globalThis.postMessage(solve(...event.data));
}
