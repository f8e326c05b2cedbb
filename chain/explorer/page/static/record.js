// Records as JSON writes them, and answers of the API held against them. Which
// field of an answer stands where in which record is in schema.js, which a test
// keeps as the node has it.
import { blake2b4, concat, fromHex, putUvarint, toBase32, toBase58, toHex, uvarint } from "./bytes.js";
import { Link } from "./tree.js";
import { schema } from "./schema.js";

// readable writes a record, a tuple of CBOR, as the API does: an object of texts,
// truths, lists and objects. Numbers and amounts are texts of their digits.
// network is the letter that addresses begin with.
export function readable(struct, record, network) {
  const fields = schema.structs[struct];
  if (!Array.isArray(record) || record.length !== fields.length) throw new Error(`the record is no ${struct}: this page is older or newer than the chain`);
  return Object.fromEntries(fields.map(([name, type], i) => [name, write(type, record[i], network)]));
}

function write(type, v, network) {
  if (type[0] === "?") return v === null ? undefined : write(type.slice(1), v, network);
  if (type.startsWith("[]")) return v.map((one) => write(type.slice(2), one, network));
  if (schema.words[type]) return schema.words[type][Number(v)] ?? schema.words[type][0];
  if (schema.structs[type]) return readable(type, v, network);
  const writer = writers[type];
  if (!writer) throw new Error(`the schema has an unknown type ${type}`);
  return writer(v, network);
}

const writers = {
  uint: String,
  int: String,
  bool: (v) => v,
  text: (v) => v,
  hex: toHex,
  amount: (v) => BigInt("0x0" + toHex(v)).toString(),
  address: addressText,
  cid: (v) => cidText(v),
  miner: (v, network) => (v === 0n ? "" : `${network}0${v}`),
  miners: (v, network) => v.map((id) => `${network}0${id}`),
  network: (v) => String.fromCharCode(Number(v)),
  peer: toBase58,
  addrs: (v) => v.map(toHex), // multiaddrs: nothing here compares them
  slots: (v) => [...v.toString(2)].reverse().flatMap((bit, i) => (bit === "1" ? [String(i)] : [])),
};

function addressText(b, network) {
  if (b[0] === 0) return `${network}0${uvarint(b, 1)[0]}`;
  if (b[0] > 3) throw new Error(`an address of the unknown kind ${b[0]}`);
  return network + b[0] + toBase32(concat(b.subarray(1), blake2b4(b)));
}

// cidText writes a CID, a link or its bytes, as version 1 in base32.
export function cidText(v) {
  const bytes = v instanceof Link ? v.cid : v;
  if (bytes[0] === 0x12 && bytes[1] === 0x20) return "b" + toBase32(concat(Uint8Array.of(1, 0x70), bytes));
  return "b" + toBase32(bytes);
}

const commitmentCID = (codec, hash, comm) => "b" + toBase32(concat(Uint8Array.of(1), putUvarint(codec), putUvarint(hash), Uint8Array.of(32), fromHex(comm)));

// conversions are the ways in which an answer writes a record's field that are
// not the record's own.
const conversions = {
  address: (v, network) => addressText(fromHex(v), network),
  side: (v) => (v === undefined ? "ask" : "bid"),
  channelState: (v) => (silent(v) ? "open" : "settling"),
  count: (v) => String(v.length),
  sectorSize: (v) => schema.sectorSizes[v] ?? "0",
  sectorSizes: (v) => v.map((one) => schema.sectorSizes[one] ?? "0"),
  sealedCid: (v) => commitmentCID(0xf102, 0xb401, v),
  unsealedCid: (v) => commitmentCID(0xf101, 0x1012, v),
  lanes: (v) => v.map(({ id, nonce, redeemed, ticks }) => ({ lane: id, nonce, redeemed, ticks })),
};

// zero is the record of what was never used.
export function zero(struct) {
  const empty = { uint: 0n, int: 0n, bool: false, text: "", amount: new Uint8Array() };
  return schema.structs[struct].map(([, type]) => empty[type]);
}

// at is the value under a path of names with points between them.
export const at = (v, path) => path.split(".").reduce((inner, name) => (inner !== null && typeof inner === "object" ? inner[name] : undefined), v);

// silent reports whether a value says nothing: it is absent, 0, false, empty, or
// holds nothing but such.
function silent(v) {
  if (v === undefined || v === null || v === "" || v === "0" || v === false) return true;
  if (Array.isArray(v)) return v.length === 0;
  return typeof v === "object" && Object.values(v).every(silent);
}

function alike(a, b) {
  if (silent(a) || silent(b)) return silent(a) && silent(b);
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((v, i) => alike(v, b[i]));
  }
  if (typeof a === "object" && typeof b === "object") {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => alike(a[name], b[name]));
  }
  return a === b;
}

// compare holds an answer against a proven source, a record with what else the
// proof shows. Of each linked field it says what it must be, and whether it is;
// beside lists the fields of the answer that no link speaks of.
export function compare(kind, answer, source) {
  const links = schema.answers[kind].fields;
  const of = (network) =>
    links.map(([to, from, as, only]) => {
      const there = !only || !silent(at(source(network), only));
      const value = there ? at(source(network), from) : undefined;
      const expected = there && as ? conversions[as](value, network) : value;
      return { field: to, expected, found: at(answer, to), good: alike(expected, at(answer, to)) };
    });
  const bad = (results) => results.filter((r) => !r.good).length;
  const [test, main] = [of("t"), of("f")];
  return { fields: bad(main) < bad(test) ? main : test, beside: beside(links, answer, "") };
}

function beside(links, answer, prefix) {
  return Object.keys(answer).flatMap((name) => {
    const path = prefix + name;
    if (links.some(([to]) => to === path)) return [];
    const inner = answer[name];
    const deeper = links.some(([to]) => to.startsWith(path + "."));
    if (deeper && inner !== null && typeof inner === "object" && !Array.isArray(inner)) return beside(links, inner, path + ".");
    return [path];
  });
}

// parse reads JSON with numbers as texts of their digits, however many these are.
export function parse(text) {
  return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) => (token[0] === '"' ? token : `"${token}"`)));
}
