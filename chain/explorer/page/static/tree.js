// The state tree and proofs about it, as chain/state/SPEC.md defines them: CBOR,
// CARv1, the root, and the ways to a record through HAMT and AMT.
import { concat, equal, sha256, toBigInt, toHex, uvarint } from "./bytes.js";
import { schema } from "./schema.js";

// Link is a CID of the tree: 36 bytes.
export class Link {
  constructor(cid) {
    this.cid = cid;
  }
}

// decode reads one item of CBOR, in the form that the chain writes: numbers as
// BigInt, byte strings as bytes, tag 42 as a Link or, of another form, its bytes.
export function decode(bytes) {
  const [value, end] = item(bytes, 0, 0);
  if (end !== bytes.length) throw new Error("bytes follow the end of the CBOR");
  return value;
}

function head(b, at) {
  if (at >= b.length) throw new Error("the CBOR ends too early");
  const major = b[at] >> 5;
  const short = b[at] & 31;
  if (short < 24) return [major, BigInt(short), at + 1];
  if (short > 27) throw new Error("CBOR of indefinite length");
  const end = at + 1 + (1 << (short - 24));
  if (end > b.length) throw new Error("the CBOR ends too early");
  const n = toBigInt(b.subarray(at + 1, end));
  if (major !== 7 && n < [24n, 1n << 8n, 1n << 16n, 1n << 32n][short - 24]) throw new Error("CBOR with a number longer than it must be");
  return [major, n, end];
}

function item(b, start, depth) {
  if (depth > 32) throw new Error("CBOR is nested too deep");
  const [major, n, at] = head(b, start);
  if (major >= 2 && major <= 5 && n > BigInt(b.length - at)) throw new Error("the CBOR ends too early");
  const end = at + Number(n);
  switch (major) {
    case 0:
      return [n, at];
    case 1:
      return [-1n - n, at];
    case 2:
      return [b.subarray(at, end), end];
    case 3:
      return [new TextDecoder("utf-8", { fatal: true }).decode(b.subarray(at, end)), end];
    case 4:
      return list(b, at, Number(n), depth);
    case 6: {
      const [inner, after] = item(b, at, depth + 1);
      if (n !== 42n || !(inner instanceof Uint8Array) || inner[0] !== 0) throw new Error("a CBOR tag that is no link");
      return [new Link(inner.subarray(1)), after];
    }
    case 7:
      if (at === start + 1 && n >= 20n && n <= 22n) return [{ 20: false, 21: true, 22: null }[Number(n)], at];
  }
  throw new Error(`CBOR of major type ${major} has no place here`);
}

function list(b, at, length, depth) {
  const out = [];
  for (let i = 0; i < length; i++) {
    const [value, after] = item(b, at, depth + 1);
    out.push(value);
    at = after;
  }
  return [out, at];
}

// tuple makes sure that a value is an array of so many items.
export function tuple(value, length, what) {
  if (!Array.isArray(value) || value.length !== length) throw new Error(`${what}: not a tuple of ${length}`);
  return value;
}

const prefix = Uint8Array.of(0x01, 0x71, 0x12, 0x20); // CIDv1, dag-cbor, sha2-256, 32 bytes
const ascii = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));

// linkOf is the CID of a block.
export const linkOf = async (block) => concat(prefix, await sha256(block));

// blocksOf reads the blocks of a CARv1 under an app hash, by their CIDs in
// hexadecimal, and checks each against its CID.
export async function blocksOf(car, appHash) {
  const header = concat(ascii("\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"), appHash, ascii("\x67version\x01"));
  const start = concat(Uint8Array.of(header.length), header);
  if (!equal(car.subarray(0, start.length), start)) throw new Error("the path does not stand under the app hash of the header");
  const blocks = new Map();
  for (let at = start.length; at < car.length; ) {
    const [n, from] = uvarint(car, at);
    if (n < 36n || n > BigInt(car.length - from)) throw new Error("the path has a section of a wrong length");
    at = from + Number(n);
    const block = car.subarray(from + 36, at);
    const cid = toHex(car.subarray(from, from + 36));
    if (cid !== toHex(await linkOf(block))) throw new Error("a block of the path does not match its CID");
    if (blocks.has(cid)) throw new Error("a block of the path stands twice");
    if (blocks.size === 64) throw new Error("the path has more than 64 blocks");
    blocks.set(cid, block);
  }
  return blocks;
}

// rootOf reads a root record.
export function rootOf(block) {
  const [version, , params, , global, tables] = tuple(decode(block), 6, "the state's root");
  if (version !== 1n) throw new Error(`state schema ${version}: this page knows 1`);
  if (!(params instanceof Link)) throw new Error("the state's root links to no parameters");
  return { params, global, tables: tuple(tables, schema.tables.length, "the state's tables") };
}

// open reads what a path proves under an app hash of a table's key: the root, and
// the record, undefined if there is none. Each block must be on the way.
export async function open(car, appHash, table, key) {
  const blocks = await blocksOf(car, appHash);
  const seen = new Set();
  const block = (cid) => {
    const name = toHex(cid);
    if (!blocks.has(name)) throw new Error("the path lacks a block");
    seen.add(name);
    return blocks.get(name);
  };
  const root = rootOf(block(appHash));
  const record = await find(block, root, table, key);
  if (seen.size !== blocks.size) throw new Error("the path has blocks that are not on the way");
  return { root, record };
}

async function find(block, root, table, key) {
  const shape = schema.tables[table]?.[1];
  const lengths = { single: [0, 0], bytes: [1, 64], dense: [8, 8], owned: [16, 16] }[shape];
  if (!lengths || key.length < lengths[0] || key.length > lengths[1]) throw new Error("the proof has a key that its table cannot have");
  if (shape === "single") return root.global;
  const top = root.tables[table];
  if (top === null) return undefined;
  switch (shape) {
    case "bytes":
      return hamt(block, linked(top), key, await sha256(key));
    case "dense":
      return amt(block, linked(top), toBigInt(key));
  }
  const owner = amt(block, linked(top), toBigInt(key.subarray(0, 8)));
  return owner === undefined ? undefined : amt(block, linked(owner), toBigInt(key.subarray(8)));
}

function linked(value) {
  if (value instanceof Link && value.cid.length === 36) return value.cid;
  throw new Error("the path has no link where it must have one");
}

const count = (n) => n.toString(2).replaceAll("0", "").length;

// hamt goes down a HAMT of bit width 5: its way is the hash of the key, five bits
// at a time, the most significant first.
function hamt(block, top, key, hash) {
  const bits = toBigInt(hash);
  for (let depth = 0; depth < 51; depth++) {
    const [field, pointers] = tuple(decode(block(top)), 2, "a HAMT node");
    const mask = toBigInt(field);
    const index = (bits >> BigInt(251 - 5 * depth)) & 31n;
    if (!((mask >> index) & 1n)) return undefined;
    const pointer = pointers[count(mask & ((1n << index) - 1n))];
    if (Array.isArray(pointer)) return pointer.find((entry) => equal(tuple(entry, 2, "a HAMT entry")[0], key))?.[1];
    top = linked(pointer);
  }
  throw new Error("the path goes deeper than a HAMT can");
}

// amt goes down an AMT of bit width 3 to an index.
function amt(block, top, index) {
  const [width, height, , start] = tuple(decode(block(top)), 4, "an AMT root");
  if (width !== 3n || height > 21n) throw new Error("an AMT of another form");
  if (index >> (3n * (height + 1n))) return undefined;
  let node = start;
  for (let level = height; ; level--) {
    const [field, links, values] = tuple(node, 3, "an AMT node");
    const at = Number((index >> (3n * level)) & 7n);
    if (!((field[0] >> at) & 1)) return undefined;
    const before = count(field[0] & ((1 << at) - 1));
    if (level === 0n) return values[before];
    node = decode(block(linked(links[before])));
  }
}
