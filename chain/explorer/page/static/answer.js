// Answers of ?proof=true: what is proven of them, and under which header.
import { equal, fromBase64, fromHex, toBase64, toHex } from "./bytes.js";
import { TooFar, checkVotes, readHeader, step } from "./light.js";
import { cidText, compare, parse, readable, zero } from "./record.js";
import { decode, linkOf, open, rootOf, tuple } from "./tree.js";
import { schema } from "./schema.js";

// available says why this browser cannot verify, or nothing.
export async function available() {
  if (!globalThis.isSecureContext && globalThis.isSecureContext !== undefined) {
    return "this page is not a secure context, so that the browser has no WebCrypto here: open it by https, or on 127.0.0.1";
  }
  if (!globalThis.crypto?.subtle) return "this browser has no WebCrypto";
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(32).fill(1, 0, 1), { name: "Ed25519" }, false, ["verify"]);
    return "";
  } catch {
    return "this browser's WebCrypto has no Ed25519, with which validators sign";
  }
}

// verify checks an answer in JSON. of is what was asked for: { kind, key, chain }
// of those that are known. The result says of each field what is proven, and under
// which header; an error means that nothing is.
export async function verify(text, trust, of = {}) {
  const answer = parse(text);
  const claim = answer.proof;
  delete answer.proof;
  if (!claim?.bundle) throw new Error("the answer carries no proof");
  const kind = of.kind ?? claim.answer;
  const known = schema.answers[kind];
  if (!known) throw new Error(`the answer is of an unknown kind, ${String(kind).slice(0, 40)}`);
  const [version, headers, , , table, key, path] = tuple(decode(fromBase64(claim.bundle)), 7, "the proof");
  if (version !== 1n || headers.length === 0) throw new Error("the proof is of an unknown form");
  if (schema.tables[Number(table)]?.[0] !== known.table) throw new Error(`the proof is not of a ${known.table}`);
  if (of.key !== undefined && toHex(key) !== of.key) throw new Error("the proof is of another record");
  const header = await readHeader(tuple(headers.at(-1), 1, "a header of the proof")[0]);
  if (of.chain !== undefined && header.chainID !== of.chain) throw new Error(`the proof is of chain ${header.chainID.slice(0, 80)}, this page is of ${of.chain}`);
  const { root, record } = await open(path, header.appHash, Number(table), key);
  await trust.vouch(header, root);
  const source = await sourceOf(kind, claim, key, root, record, header.height - 1n);
  return { kind, header, answer, anchor: trust.anchor, ...compare(kind, answer, source) };
}

// sourceOf is what a proof shows, as links name it.
async function sourceOf(kind, claim, key, root, record, height) {
  if (record === undefined && kind !== "account") throw new Error(`the proof shows that there is no record of this ${kind}`);
  const { struct } = schema.answers[kind];
  let value = record ?? zero(struct);
  if (kind === "params") {
    const block = fromBase64(claim.params ?? "");
    if (!equal(await linkOf(block), root.params.cid)) throw new Error("the parameters are not those that the state links to");
    value = decode(block);
  }
  const { time } = readable("Global", root.global, "t");
  const seconds = new Date(1000 * Number(time)).toISOString().replace(".000", "");
  return (network) => {
    const out = readable(struct, value, network);
    return {
      ...out,
      "@key": toHex(key),
      "@exists": record !== undefined,
      "@height": String(height),
      "@time": seconds,
      "@live": out.state === "active" || out.state === "faulty",
    };
  };
}

// parseTrust reads HEIGHT:HASH.
export function parseTrust(text) {
  const [height, hash, ...more] = text.split(":");
  if (!/^[1-9]\d{0,18}$/.test(height) || !/^[0-9a-fA-F]{64}$/.test(hash ?? "") || more.length) {
    throw new Error(`trust=${text.slice(0, 80)}: want HEIGHT:HASH, the hash with 64 hexadecimal digits`);
  }
  return { height: BigInt(height), hash: fromHex(hash) };
}

export const trustText = (height, hash) => `${height}:${toHex(hash).toUpperCase()}`;

const maxHeaders = 64; // on the way from a trusted header to another

// Trust tells which headers are right. It starts from one that was given, or
// from the first that was seen of a chain, which it keeps with the newest one
// that it verified since.
export class Trust {
  // ask fetches a path of the API as bytes. store keeps texts by chain ID, as
  // localStorage does. given is HEIGHT:HASH. witness, if there is one, fetches a
  // path of another node, which must have the header that trust starts from.
  constructor({ ask, store, given, witness, now = Date.now }) {
    Object.assign(this, { ask, store, witness, now, given: given && parseTrust(given), anchor: "" });
  }

  // vouch makes sure that a header is right; root is the state's below it.
  async vouch(header, root) {
    if (this.given) {
      await this.agree(this.given.height, this.given.hash);
      return this.from(this.given, header, "given");
    }
    const pin = this.pinned(header.chainID);
    if (!pin) return this.first(header, root);
    const newest = await readHeader(fromBase64(pin.header));
    if (header.height < newest.height) return this.from(parseTrust(pin.first), header, "trusted at first use");
    this.anchor = `${pin.first}, trusted at first use`;
    if (header.height === newest.height) return this.same(header, newest.hash);
    await this.walk(newest, header, pin.period);
    const period = await this.period(root);
    this.keep(header, { ...pin, header: toBase64(header.raw), period });
  }

  // same makes sure that a header has a hash, and the votes.
  async same(header, hash) {
    if (!equal(header.hash, hash)) {
      throw new Error(`the header of height ${header.height} is not the trusted one: expected ${toHex(hash).toUpperCase()}, found ${toHex(header.hash).toUpperCase()}`);
    }
    await checkVotes(header);
  }

  // from leads from a header that is known by its hash to another.
  async from(trusted, header, how) {
    this.anchor = `${trustText(trusted.height, trusted.hash)}, ${how}`;
    if (trusted.height === header.height) return this.same(header, trusted.hash);
    if (trusted.height > header.height) throw new Error(`the proof stands under the header of height ${header.height}, older than the trusted one of height ${trusted.height}`);
    const start = await this.header(trusted.height);
    await this.same(start, trusted.hash);
    const root = await this.block(start.appHash);
    await this.walk(start, header, await this.period(rootOf(root)));
  }

  // agree makes sure that the witness has the header of a height with a hash: who
  // names another node in the address of a page may name a header of it, too.
  async agree(height, hash) {
    if (!this.witness) return;
    const own = await readHeader(await this.witness(`/v1/raw/headers/${height}`));
    if (own.height !== height || !equal(own.hash, hash)) {
      throw new Error(`the header ${trustText(height, hash)} is not that of the page's own node, which has ${trustText(own.height, own.hash)}`);
    }
  }

  // first believes a header of a chain of which nothing is known, if its own
  // validators signed it and the witness has the same.
  async first(header, root) {
    await checkVotes(header);
    await this.agree(header.height, header.hash);
    const period = await this.period(root);
    const first = trustText(header.height, header.hash);
    this.anchor = `${first}, seen for the first time: compare it with one that you have from elsewhere`;
    this.keep(header, { first, header: toBase64(header.raw), period });
  }

  pinned(chainID) {
    try {
      return JSON.parse(this.store.getItem(`perdure-trust-${chainID}`) ?? "null");
    } catch {
      return null; // what is kept is not ours
    }
  }

  keep(header, pin) {
    try {
      this.store.setItem(`perdure-trust-${header.chainID}`, JSON.stringify(pin));
    } catch {
      // storage is closed to us: each visit is the first one
    }
  }

  // forget lets go of what is kept of a chain.
  forget(chainID) {
    this.store.removeItem(`perdure-trust-${chainID}`);
  }

  async header(height) {
    const out = await readHeader(await this.ask(`/v1/raw/headers/${height}`));
    if (out.height !== height) throw new Error(`asked for the header of height ${height}, the answer is that of ${out.height}`);
    return out;
  }

  // block fetches a block of the state by its CID.
  async block(cid) {
    const out = await this.ask(`/v1/raw/blocks/${cidText(cid)}`);
    if (!equal(await linkOf(out), cid)) throw new Error("a block of the state does not match its CID");
    return out;
  }

  // period is for how long a header is trusted, in milliseconds, by the
  // parameters to which a root links.
  async period(root) {
    const params = readable("Params", decode(await this.block(root.params.cid)), "t");
    return Number(params.trustPeriod) * Number(params.blockMillis);
  }

  // walk leads from a trusted header to a later one: where too many validators
  // changed, it looks half-way.
  async walk(trusted, last, period) {
    const ahead = [last];
    for (let here = trusted, headers = 2; ahead.length > 0; ) {
      const next = ahead.at(-1);
      try {
        await step(here, next, period, this.now());
        here = ahead.pop();
      } catch (err) {
        if (!(err instanceof TooFar) || next.height === here.height + 1n) throw err;
        if (++headers > maxHeaders) throw new Error(`more than ${maxHeaders} headers lie between the trusted one of height ${trusted.height} and that of ${last.height}: trust a newer one`);
        ahead.push(await this.header(here.height + (next.height - here.height) / 2n));
      }
    }
  }
}
