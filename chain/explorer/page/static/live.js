// Renews the page as blocks come: it asks for the height, and when that has
// grown, for the page itself, of which it takes the content as the node drew it.
const pause = document.getElementById("live");
const every = 2000; // milliseconds
let shown = document.querySelector("#asof data")?.value;
let paused = false;

async function renew() {
  if (paused || document.hidden || busy()) return;
  const status = await (await fetch("/v1/node/id")).json();
  if (String(status.height) === shown) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["content", "asof"]) {
    const from = next.getElementById(id);
    const to = document.getElementById(id);
    if (from && to) to.replaceChildren(...document.importNode(from, true).childNodes);
  }
  shown = String(status.height);
}

// busy reports whether the reader is in the middle of what would be replaced:
// a selection, the keyboard's focus, figures folded out.
function busy() {
  const content = document.getElementById("content");
  const selection = getSelection();
  return (
    content.contains(document.activeElement) ||
    content.querySelector("details[open]") !== null ||
    (selection !== null && !selection.isCollapsed && content.contains(selection.anchorNode))
  );
}

async function loop() {
  try {
    await renew();
  } catch {
    // the node is away; it is asked again
  }
  setTimeout(loop, every);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Go on" : "Pause";
});
setTimeout(loop, every);
