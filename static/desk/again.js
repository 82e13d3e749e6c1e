/* A page that tells how far something is looks again by itself: only that part changes, so nobody loses his place. */
let part = document.querySelector("[data-again]");

async function look() {
  if (!document.hidden && !part.contains(document.activeElement)) {
    try {
      const answer = await fetch(location.href, { redirect: "error" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = answer.ok && page.querySelector("[data-progress]");
      if (fresh) {
        part.replaceWith(fresh);
        part = fresh;
      }
    } catch {
      // The server is away for a moment: what is shown stays.
    }
  }
  if (part.dataset.again) setTimeout(look, part.dataset.again * 1000);
}

if (part) setTimeout(look, part.dataset.again * 1000);
