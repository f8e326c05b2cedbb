// Renews the page as blocks come. The node says over a stream that something of
// the page's topics has happened (docs/api.md, "As it happens"); then the page
// asks for itself and takes the content as the node drew it. The stream is a
// WebSocket, or server-sent events where none can be had. It stands still while
// the page is hidden or paused, and goes on from its cursor. A sign beside the
// button says how it stands: live, paused, without a connection, without blocks.
const pause = document.getElementById("live");
const pulse = document.getElementById("pulse");
const news = document.getElementById("news");
const topics = encodeURIComponent(pause.dataset.topics);
const least = 1000; // milliseconds between two renewals
const quiet = 30000; // and between two announcements
const stall = Number(pause.dataset.stall); // milliseconds without a block that are unusual
const gone = 4010; // close code: what the cursor names is no longer kept
const refused = 4000; // close code: the node knows no such topics

let shown = Number(document.querySelector("#asof data")?.value ?? 0);
let paused = false;
let stream; // what closes the open one; undefined: none is open
let cursor = "";
let wait = 1000; // milliseconds before the next try
let retry; // timer of the next try
let sockets = true; // none has failed before it said anything
let wanted = 0; // height that the page should show
let timer; // of the next renewal
let renewed = 0; // when that was last
let announced = Date.now();
let connected; // whether the stream speaks; undefined: it is being opened
let tip = shown; // the newest height that it has told of
let risen = Date.now(); // when it told of it
let held = false; // there is something newer, but the reader is in the middle of it

// sign says how it stands. Whoever does not see it is told what is unusual.
function sign() {
  const still = Date.now() - risen;
  const [state, text] = paused
    ? ["paused", "paused"]
    : connected === undefined
      ? ["opening", "connecting"]
      : !connected
        ? ["lost", "no connection"]
        : still > stall
          ? ["still", `no block for ${Math.round(still / 60000)} min`]
          : held
            ? ["held", "held"]
            : ["on", "live"];
  const before = pulse.className;
  pulse.hidden = false;
  pulse.className = state;
  if (pulse.textContent !== text) pulse.textContent = text;
  pulse.title = state === "held" ? "It goes on when nothing is selected, folded out or in focus" : "";
  if (before !== state && (state === "lost" || state === "still" || before === "lost")) news.textContent = text;
}

// heard takes a frame of the stream.
function heard(text) {
  const frame = JSON.parse(text);
  cursor = frame.cursor || cursor;
  wait = 1000;
  connected = true;
  const height = frame.height ?? frame.tip;
  if (height > tip) {
    tip = height;
    risen = Date.now();
  }
  sign();
  if (frame.height > wanted) {
    wanted = frame.height;
    plan();
  }
}

function plan() {
  timer ??= setTimeout(renew, Math.max(0, renewed + least - Date.now()));
}

// renew replaces the content, unless the reader is in the middle of it.
async function renew() {
  timer = undefined;
  renewed = Date.now();
  if (paused || document.hidden || wanted <= shown) return;
  if (hold()) return plan();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (paused || hold()) return plan();
    for (const id of ["banner", "content", "asof"]) {
      const from = next.getElementById(id);
      const to = document.getElementById(id);
      if (from && to) put(document.importNode(from, true), to);
    }
    shown = Math.max(wanted, Number(next.querySelector("#asof data")?.value ?? 0));
    announce();
  } catch {
    // the node is away; the stream will tell when it is back
  }
}

// put has an element show what another one does. What is the same stays, and
// rows that were not there before are marked. Where values are verified all is
// new: they are marked anew.
function put(from, to) {
  const before = [...to.children];
  const after = [...from.children];
  if (from.querySelector("#claim") || before.length !== after.length) return to.replaceChildren(...from.childNodes);
  after.forEach((next, i) => {
    if (before[i].isEqualNode(next)) return;
    const known = new Set([...before[i].querySelectorAll("tbody th")].map((e) => e.textContent));
    if (known.size > 0) {
      for (const head of next.querySelectorAll("tbody th")) if (!known.has(head.textContent)) head.parentElement.className = "fresh";
    }
    before[i].replaceWith(next);
  });
}

// hold reports whether the page has to wait for the reader, and shows it.
function hold() {
  held = busy();
  sign();
  return held;
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

// announce tells a screen reader, now and then, that the page has changed.
function announce() {
  if (Date.now() - announced < quiet) return;
  announced = Date.now();
  news.textContent = "Renewed as of block " + shown;
}

// open begins a stream where the last one ended.
function open() {
  retry = undefined;
  if (stream || paused || document.hidden) return;
  const path = (name) => name + "?topics=" + topics + (cursor && "&cursor=" + cursor);
  stream = sockets ? socket(path("/v1/live")) : events(path("/v1/events/stream"));
}

function close() {
  clearTimeout(retry);
  retry = undefined;
  stream?.();
  stream = undefined;
}

// ended has a stream that broke off followed by another, later each time.
function ended(code) {
  stream = undefined;
  connected = false;
  sign();
  if (code === refused) return;
  if (code === gone) cursor = "";
  if (paused || document.hidden) return;
  retry = setTimeout(open, wait);
  wait = Math.min(2 * wait, 30000);
}

function socket(path) {
  let ws;
  try {
    ws = new WebSocket(location.origin.replace(/^http/, "ws") + path);
  } catch {
    sockets = false;
    return events(path.replace("/v1/live", "/v1/events/stream"));
  }
  let said = false;
  ws.onmessage = (m) => {
    said = true;
    heard(m.data);
  };
  ws.onclose = (e) => {
    if (!said && e.code === 1006) sockets = false; // a proxy on the way may let none through
    ended(e.code);
  };
  return () => {
    ws.onclose = ws.onmessage = null;
    if (ws.readyState === WebSocket.CONNECTING) ws.onopen = () => ws.close(); // a browser warns of one that is closed before it is open
    else ws.close();
  };
}

function events(path) {
  const source = new EventSource(path);
  source.onmessage = (m) => heard(m.data);
  source.addEventListener("subscribed", (m) => heard(m.data));
  source.addEventListener("heartbeat", (m) => heard(m.data));
  const over = (code) => {
    source.close();
    ended(code);
  };
  source.addEventListener("close", (m) => over(JSON.parse(m.data).code));
  source.onerror = () => {
    sockets = true; // the node may have been away: both are tried in turn
    over(0);
  };
  return () => source.close();
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Go on" : "Pause";
  news.textContent = paused ? "Paused" : "Going on";
  if (paused) close();
  else follow();
  sign();
});

// follow goes on after the page was hidden or paused.
function follow() {
  wait = 1000;
  connected = undefined;
  risen = Date.now();
  open();
  if (wanted > shown) plan();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) close();
  else follow();
});
addEventListener("pagehide", close);
addEventListener("pageshow", (e) => {
  if (e.persisted) follow();
});
open();
setInterval(sign, 5000);
