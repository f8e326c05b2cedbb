// The page's scripts that verify proofs, against answers that Go made: true ones,
// and ones that are changed in each layer. PERDURE_VECTORS names the directory
// with vectors.json; without it the vectors are made first.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = process.env.PERDURE_ROOT ?? fileURLToPath(new URL("../../../", import.meta.url)); // the checks run from a copy
const scripts = new URL("../../../chain/explorer/page/static/", import.meta.url);
const { Trust, available, parseTrust, trustText, verify } = await import(new URL("answer.js", scripts));
const { fromBase64, fromHex, toBase58 } = await import(new URL("bytes.js", scripts));
const { shown } = await import(new URL("format.js", scripts));
const { parse } = await import(new URL("record.js", scripts));
const { decode, open } = await import(new URL("tree.js", scripts));

const data = JSON.parse(readFileSync(join(vectorsDir(), "vectors.json"), "utf8"));

function vectorsDir() {
  if (process.env.PERDURE_VECTORS) return process.env.PERDURE_VECTORS;
  const dir = mkdtempSync(join(tmpdir(), "perdure-vectors-"));
  after(() => rmSync(dir, { recursive: true }));
  execFileSync("go", ["test", "-count=1", "-run", "^TestVectors$", "./chain/explorer"], {
    cwd: root,
    env: { ...process.env, PERDURE_VECTORS: dir },
    stdio: "inherit",
  });
  return dir;
}

// memory is a store like localStorage.
function memory() {
  const kept = new Map();
  return { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) };
}

// node answers from the vectors' headers and blocks, and counts.
function node(headers = {}) {
  const ask = async (path) => {
    ask.count++;
    const [, list, name] = path.match(/^\/v1\/raw\/(headers|blocks)\/(\w+)$/);
    const text = list === "headers" ? (headers[name] ?? data.headers[name]) : data.blocks[name];
    if (!text) throw new Error(`${path}: not found`);
    return fromBase64(text);
  };
  ask.count = 0;
  return ask;
}

const trusting = (v, more = {}) => new Trust({ ask: node(v.headers), store: memory(), given: v.trust, now: () => v.now, ...more });

async function check(v, trust = trusting(v)) {
  const result = await verify(v.answer, trust, { kind: v.kind, key: v.key });
  const bad = result.fields.filter((f) => !f.good);
  if (bad.length) throw new Error(bad.map((f) => `${f.field}: expected ${JSON.stringify(f.expected)}, found ${JSON.stringify(f.found)}`).join("; "));
  return result;
}

const good = data.vectors.filter((v) => v.good);
const bad = data.vectors.filter((v) => !v.good);
const deal = good.find((v) => v.name === "true /v1/deals/1");

test("this runtime can verify", async () => assert.equal(await available(), ""));

for (const v of good) {
  test(v.name, async () => {
    const result = await check(v);
    const claimed = JSON.parse(v.answer).proof;
    assert.deepEqual(result.fields.map((f) => f.field), claimed.fields);
    for (const field of result.beside) assert.ok(claimed.unproven.includes(field), `${field} is not proven, and the answer does not say so`);
  });
}

for (const v of bad) {
  test(`refused: ${v.name}`, async () => {
    await assert.rejects(check(v), (err) => {
      assert.ok(err.message.includes(v.page ?? ""), `want ${v.page}, have ${err.message}`);
      return true;
    });
  });
}

// other is a value that says something else.
function other(v) {
  if (typeof v === "number") return v === 7 ? 3 : 7;
  if (typeof v === "boolean") return !v;
  if (Array.isArray(v)) return [...v, "7"];
  if (v !== null && typeof v === "object") return { none: "7" };
  return `${v ?? ""}7`;
}

test("each field counts", async () => {
  for (const v of good.filter((one) => one.name.startsWith("true /v1/"))) {
    const answer = JSON.parse(v.answer);
    for (const field of answer.proof.fields) {
      const [outer, inner] = field.split(".");
      if (inner) answer[outer] = { ...answer[outer], [inner]: other(answer[outer]?.[inner]) };
      else answer[outer] = other(answer[outer]);
    }
    const result = await verify(JSON.stringify(answer), trusting(v), { kind: v.kind, key: v.key });
    assert.deepEqual(result.fields.filter((f) => f.good), [], v.name);
  }
});

test("ways through all tables", async () => {
  for (const w of data.walks) {
    const { record } = await open(fromBase64(w.path), fromHex(data.appHash), w.table, fromHex(w.key));
    assert.deepEqual(record, w.record ? decode(fromBase64(w.record)) : undefined, `table ${w.table}, key ${w.key}`);
  }
});

test("trust at first use goes on to later headers, not to others", async () => {
  const store = memory();
  const tip = Number(deal.trust.split(":")[0]);
  const witness = node();
  await check(deal, trusting(deal, { given: "", store, witness }));
  assert.equal(witness.count, 1);
  const again = trusting(deal, { given: "", store, witness });
  await check(deal, again);
  assert.equal(witness.count, 1, "only the first use asks the witness");
  assert.match(again.anchor, new RegExp(`^${tip}:`));

  // What is known is an old header: the way to the new one is looked for.
  const early = await earlier(7);
  await check(deal, trusting(deal, { given: "", store: early }));
  assert.equal(JSON.parse(early.getItem("perdure-trust-explorer-test")).first.split(":")[0], "7");
  await check(deal, trusting(deal, { given: "", store: early, ask: () => assert.fail("the newest header is known") }));

  // A chain of strangers under the same name is refused.
  const forged = bad.find((v) => v.name === "a proof that strangers signed");
  await assert.rejects(check(forged, trusting(forged, { given: "", store: await earlier(tip - 2) })), /more than a third must be|not those that/);
  // So is one that a witness of this chain does not have.
  const lying = trusting(deal, { given: "", witness: async () => fromBase64(forged.headers[tip - 1]) });
  await assert.rejects(check(deal, lying), /is not that of the page's own node/);
});

// A link to a page may name both another node and a header of it to trust.
test("another node is believed only on the page's own chain", async () => {
  const forged = bad.find((v) => v.name === "a proof that strangers signed");
  const made = { ...forged, trust: await ownTrust(forged) };
  await check(made, trusting(made));
  await assert.rejects(check(made, trusting(made, { witness: node() })), /is not that of the page's own node/);
  await check(deal, trusting(deal, { witness: node() }));
  await assert.rejects(verify(deal.answer, trusting(deal), { kind: deal.kind, key: deal.key, chain: "another" }), /of chain explorer-test, this page is of another/);
});

// ownTrust is the header under which a vector's proof stands.
async function ownTrust(v) {
  const { readHeader } = await import(new URL("light.js", scripts));
  const [, headers] = decode(fromBase64(JSON.parse(v.answer).proof.bundle));
  const header = await readHeader(headers.at(-1)[0]);
  return trustText(header.height, header.hash);
}

// earlier is a store that knows the header of a height.
async function earlier(height) {
  const { readHeader } = await import(new URL("light.js", scripts));
  const header = await readHeader(fromBase64(data.headers[height]));
  const store = memory();
  const trust = new Trust({ ask: node(), store, now: () => deal.now });
  const { rootOf } = await import(new URL("tree.js", scripts));
  await trust.first(header, rootOf(await trust.block(header.appHash)));
  return store;
}

// The same as in chain/explorer/page/format_test.go: scripts write for people as the node does.
test("values for people", () => {
  const amounts = {
    0: "0 PDR", 1: "1 attoPDR", 999: "999 attoPDR", 1000: "0.001 pPDR", 100000: "0.1 pPDR", 999999: "1 pPDR", 1000000: "1 pPDR", 1234567: "1.235 pPDR", 100000000: "100 pPDR", 2500000000: "2.5 nPDR",
    1000000000000: "1 µPDR", 999999999999999: "1,000 µPDR", 1000000000000000: "0.001 PDR", "1250000000000000000": "1.25 PDR", "99999940000000000000": "99.9999 PDR",
    "123456789000000000000000": "123,456.79 PDR", "999999990000000000000000": "999,999.99 PDR", "1000000000000000000000000": "1 M PDR", "7962624000000000000000000": "7.963 M PDR",
    "10000000000000000000000000": "10 M PDR", "340282366920938463463374607431768211455": "340,282,366,920,938.463 M PDR",
  };
  for (const [exact, text] of Object.entries(amounts)) assert.equal(shown(exact, "atto"), text);
  const sizes = { 0: "0 B", 1023: "1,023 B", 1024: "1 KiB", 1536: "1.5 KiB", 2047: "2 KiB", "5772436045824": "5.25 TiB", "18446744073709551615": "16 EiB" };
  for (const [exact, text] of Object.entries(sizes)) assert.equal(shown(exact, "bytes"), text);
  assert.equal(shown("1234567", "count"), "1,234,567");
  assert.equal(shown("1234", "price"), "1,234 attoPDR per GiB per block");
  assert.equal(shown("t01000", "count"), "t01000");
});

test("texts", () => {
  assert.deepEqual(parse('{"a":12345678901234567890,"b":"1","c":[-1.5e3,true],"d\\"1":"\\u00e9 2"}'), {
    a: "12345678901234567890", b: "1", c: ["-1.5e3", true], 'd"1': "é 2",
  });
  assert.equal(toBase58(fromHex("0000287fb4cd")), "11233QC4");
  for (const text of ["", "12", "0:" + "a".repeat(64), "5:" + "a".repeat(63), "5:" + "x".repeat(64), "5:" + "a".repeat(64) + ":1"]) {
    assert.throws(() => parseTrust(text), /want HEIGHT:HASH/);
  }
});
