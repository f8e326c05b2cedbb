// Verifies what a page says of one thing: it asks the API for the same answer
// with its proof, checks that, and marks each value. With ?api=ORIGIN in the
// page's address the answer comes from there, and its values are shown.
// ?trust=HEIGHT:HASH names the header that is trusted; without it the first one
// that was seen of the chain is.
import { Trust, available, trustText, verify } from "./answer.js";
import { shown } from "./format.js";
import { at } from "./record.js";

const panel = document.getElementById("proof");
const [verdict, details] = panel.querySelectorAll("p");
const anew = panel.querySelector("button");
const params = new URLSearchParams(location.search);
const tries = 5; // for a header that is not there yet
const pause = 2000; // milliseconds

// origin is where the answers come from.
function origin() {
  if (!params.get("api")) return location.origin;
  const url = new URL(params.get("api"));
  if (!/^https?:$/.test(url.protocol)) throw new Error(`api=${url.protocol}: want http or https`);
  return url.origin;
}

// ask fetches a path of an origin as bytes.
const ask = (from) => async (path) => {
  const answer = await fetch(from + path, { credentials: "omit", cache: "no-store" });
  if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(`${from} answers ${answer.status}: ${said.detail ?? answer.statusText}`), { status: answer.status });
};

// fetchAnswer asks for the page's answer as of the page's height, or, of
// another origin, as of the newest one.
async function fetchAnswer(from, claim) {
  const foreign = from !== location.origin;
  const path = `${claim.dataset.path}?proof=true${foreign ? "" : `&height=${claim.value}`}`;
  for (let left = tries; ; left--) {
    try {
      return new TextDecoder().decode(await ask(from)(path));
    } catch (err) {
      if (left === 0 || !/not there yet|not committed yet/.test(err.message)) throw err;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

const values = () => [...document.querySelectorAll("#main [data-f]")];
const exactOf = (e) => e.dataset.v ?? (e instanceof HTMLDataElement ? e.value : e instanceof HTMLTimeElement ? e.dateTime : e.textContent);

// textOf is a field's value as a page has it exactly.
function textOf(v) {
  if (v === undefined || v === null) return "";
  return Array.isArray(v) ? v.join(" ") : String(v);
}

// mark says of a value whether it is proven.
function mark(e, state, why) {
  if (e.nextElementSibling?.classList.contains("proof")) e.nextElementSibling.remove();
  const sign = document.createElement("span");
  sign.className = `proof ${state}`;
  sign.dataset.of = e.dataset.f;
  sign.setAttribute("role", "img");
  sign.title = why;
  sign.setAttribute("aria-label", why);
  sign.textContent = { good: "✓", bad: "✗", none: "?" }[state];
  e.after(sign);
}

// replace shows a value of an answer from elsewhere.
function replace(e, exact) {
  if (exactOf(e) === exact) return;
  if (e instanceof HTMLDataElement) e.value = exact;
  if (e instanceof HTMLTimeElement) e.dateTime = exact;
  if (e.dataset.v !== undefined) e.dataset.v = exact;
  e.removeAttribute("title");
  e.textContent = shown(exact, e.dataset.u) || "nothing";
}

// judge marks a value by what was found of its field.
function judge(e, result, from) {
  const found = result.fields.find((f) => f.field === e.dataset.f);
  const foreign = from !== location.origin;
  const claimed = textOf(found ? found.found : at(result.answer, e.dataset.f));
  if (foreign) replace(e, claimed);
  if (!found) return mark(e, "none", "not verified: no record holds this value, it is computed from others");
  const proven = textOf(found.expected);
  if (!found.good) return mark(e, "bad", `not verified: ${from} says ${claimed || "nothing"}, proven is ${proven || "nothing"}`);
  if (textOf(found.found) !== exactOf(e)) return mark(e, "bad", `not verified: the page says ${exactOf(e)}, proven is ${proven || "nothing"}`);
  return mark(e, "good", `verified: as the state of height ${result.header.height - 1n} says`);
}

function say(state, text, more = "") {
  panel.hidden = false;
  verdict.className = `verdict ${state}`;
  verdict.textContent = text;
  details.textContent = more;
  panel.dataset.state = state;
  if (state === "bad") {
    verdict.setAttribute("role", "alert");
    document.getElementById("content").before(panel); // not to be overlooked
  } else verdict.removeAttribute("role");
}

// conclude sums up what was found of the page's values.
function conclude(result, from) {
  const marks = [...document.querySelectorAll("#main .proof.bad")];
  const wrong = result.fields.filter((f) => !f.good).map((f) => `${f.field}: ${from} says ${JSON.stringify(f.found)}, proven is ${JSON.stringify(f.expected)}`);
  const header = `the header ${trustText(result.header.height, result.header.hash)} of ${new Date(result.header.time).toISOString()}`;
  const more = `It stands under ${header}, which more than two thirds of the validators' votes signed. Trusted is the header ${result.anchor}.`;
  if (wrong.length || marks.length) {
    const list = wrong.length ? wrong : marks.map((m) => `${m.dataset.of}: ${m.title}`);
    return say("bad", `Not verified: ${list.join("; ")}.`, more);
  }
  const beside = result.beside.filter((f) => f !== "syncing");
  say("good", `Verified: ${result.fields.length} fields are as the state of height ${result.header.height - 1n} says.`, more + (beside.length ? ` Not proven: ${beside.join(", ")}.` : ""));
}

// banner says that the values come from another node.
function banner(from) {
  if (document.getElementById("foreign")) return;
  const note = document.createElement("p");
  note.id = "foreign";
  note.textContent = `The marked values on this page come from ${from}. They are shown as it says them, and verified by their proofs.`;
  document.getElementById("main").prepend(note);
}

async function check(claim) {
  const from = origin();
  const foreign = from !== location.origin;
  if (foreign) banner(from);
  const lacking = await available();
  if (lacking) throw new Error(lacking);
  const trust = new Trust({ ask: ask(from), store: storage(), given: params.get("trust"), witness: foreign ? ask(location.origin) : undefined });
  const text = await fetchAnswer(from, claim);
  anew.hidden = !!trust.given;
  const result = await verify(text, trust, { kind: claim.dataset.kind, key: claim.dataset.key, chain: claim.dataset.chain });
  if (claim !== seen) return; // the page has gone on
  for (const e of values()) judge(e, result, from);
  conclude(result, from);
}

// storage keeps what is trusted, for this page only if the browser closes it to us.
function storage() {
  try {
    return localStorage;
  } catch {
    const kept = new Map();
    return { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v) };
  }
}

let seen; // the claim that was checked last
async function run() {
  const claim = document.getElementById("claim");
  if (!claim || claim === seen) return;
  seen = claim;
  try {
    await check(claim);
  } catch (err) {
    if (claim !== seen) return;
    for (const e of values()) mark(e, "none", `not verified: ${err.message}`);
    say("none", `Not verified: ${err.message}.`);
  }
}

anew.addEventListener("click", () => {
  for (const key of Object.keys(localStorage)) if (key.startsWith("perdure-trust-")) localStorage.removeItem(key);
  seen = undefined;
  run();
});

// What replaces the content as blocks come brings a new claim.
new MutationObserver(run).observe(document.getElementById("content"), { childList: true });
run();
