// Headers of the chain with their votes and validators, as CometBFT encodes
// light blocks, and when one of them follows from another.
import { concat, equal, putUvarint, sha256, toHex, uvarint } from "./bytes.js";

// fields reads the fields of a protobuf message: numbers as BigInt, the rest as bytes.
function fields(b) {
  const out = new Map();
  for (let at = 0; at < b.length; ) {
    let tag;
    [tag, at] = uvarint(b, at);
    let value;
    if ((tag & 7n) === 0n) [value, at] = uvarint(b, at);
    else if ((tag & 7n) === 2n) {
      let length;
      [length, at] = uvarint(b, at);
      if (length > BigInt(b.length - at)) throw new Error("a header ends too early");
      value = b.subarray(at, at + Number(length));
      at += value.length;
    } else throw new Error("a header with a field of an unknown form");
    const number = Number(tag >> 3n);
    out.set(number, [...(out.get(number) ?? []), value]);
  }
  return {
    bytes: (n) => last(out.get(n), new Uint8Array(), (v) => v instanceof Uint8Array),
    number: (n) => BigInt.asIntN(64, last(out.get(n), 0n, (v) => typeof v === "bigint")),
    all: (n) => (out.get(n) ?? []).filter((v) => v instanceof Uint8Array),
  };
}

function last(values, otherwise, fits) {
  const value = values?.at(-1) ?? otherwise;
  if (!fits(value)) throw new Error("a header with a field of another form");
  return value;
}

// What follows writes fields of protobuf messages; what is nothing is left out.
const putNumber = (field, n) => (n ? concat(Uint8Array.of(field << 3), putUvarint(n)) : new Uint8Array());
const putMessage = (field, b) => concat(Uint8Array.of((field << 3) | 2), putUvarint(b.length), b);
const putBytes = (field, b) => (b.length ? putMessage(field, b) : new Uint8Array());

function putFixed(field, n) {
  if (!n) return new Uint8Array();
  const out = new DataView(new ArrayBuffer(9));
  out.setUint8(0, (field << 3) | 1);
  out.setBigInt64(1, n, true);
  return new Uint8Array(out.buffer);
}

const putTime = (t) => concat(putNumber(1, t.seconds), putNumber(2, t.nanos));
const timeOf = (b) => ({ seconds: fields(b).number(1), nanos: fields(b).number(2) });
const putPart = (b) => concat(putNumber(1, b.number(1)), putBytes(2, b.bytes(2)));
const putBlockID = (b) => concat(putBytes(1, b.bytes(1)), putMessage(2, putPart(fields(b.bytes(2)))));

// merkle is the root of RFC 6962's tree over items.
async function merkle(items) {
  if (items.length === 0) return sha256(new Uint8Array());
  if (items.length === 1) return sha256(concat(Uint8Array.of(0), items[0]));
  let half = 1;
  while (2 * half < items.length) half *= 2;
  return sha256(concat(Uint8Array.of(1), await merkle(items.slice(0, half)), await merkle(items.slice(half))));
}

// headerHash is the hash of a header's fourteen fields.
function headerHash(h) {
  const version = fields(h.bytes(1));
  return merkle([
    concat(putNumber(1, version.number(1)), putNumber(2, version.number(2))),
    putBytes(1, h.bytes(2)),
    putNumber(1, h.number(3)),
    putTime(timeOf(h.bytes(4))),
    putBlockID(fields(h.bytes(5))),
    ...[6, 7, 8, 9, 10, 11, 12, 13, 14].map((n) => putBytes(1, h.bytes(n))),
  ]);
}

// readHeader reads a light block and checks that its parts belong together, but no vote.
export async function readHeader(raw) {
  const block = fields(raw);
  const signed = fields(block.bytes(1));
  const h = fields(signed.bytes(1));
  const commit = fields(signed.bytes(2));
  const time = timeOf(h.bytes(4));
  const out = {
    raw,
    chainID: new TextDecoder().decode(h.bytes(2)),
    height: h.number(3),
    time: Number(time.seconds) * 1000 + Number(time.nanos) / 1e6, // milliseconds since 1970
    nextValidators: h.bytes(9),
    appHash: h.bytes(11),
    hash: await headerHash(h),
    round: commit.number(2),
    blockID: fields(commit.bytes(3)),
    votes: commit.all(4).map(readVote),
    validators: await Promise.all(fields(block.bytes(2)).all(1).map(readValidator)),
    checked: new Map(), // votes whose signature was checked
  };
  const where = `the header of height ${out.height}`;
  if (out.height <= 0n || !out.chainID || out.validators.length === 0) throw new Error("there is no header in the proof");
  if (commit.number(1) !== out.height || !equal(out.blockID.bytes(1), out.hash)) throw new Error(`${where}: its votes are for another block`);
  if (out.votes.length !== out.validators.length) throw new Error(`${where}: it has ${out.votes.length} votes of ${out.validators.length} validators`);
  if (!equal(h.bytes(8), await merkle(out.validators.map((v) => v.leaf)))) throw new Error(`${where}: its validators are not those that it names`);
  return out;
}

function readVote(raw) {
  const v = fields(raw);
  return { forBlock: v.number(1) === 2n, time: timeOf(v.bytes(3)), signature: v.bytes(4) };
}

async function readValidator(raw) {
  const v = fields(raw);
  const key = fields(v.bytes(2)).bytes(1);
  const power = v.number(3);
  if (key.length !== 32 || power <= 0n) throw new Error("a validator without an Ed25519 key or without votes");
  const leaf = concat(putMessage(1, putBytes(1, key)), putNumber(2, power));
  return { key, power, leaf, address: toHex((await sha256(key)).subarray(0, 20)) };
}

// signed reports whether a validator's vote for the block is signed by its key.
// Its sign-bytes are CometBFT's canonical vote: a precommit.
async function signed(block, i) {
  if (!block.checked.has(i)) {
    const vote = block.votes[i];
    const message = concat(
      putNumber(1, 2n),
      putFixed(2, block.height),
      putFixed(3, block.round),
      putMessage(4, putBlockID(block.blockID)),
      putMessage(5, putTime(vote.time)),
      putBytes(6, new TextEncoder().encode(block.chainID)),
    );
    const key = await crypto.subtle.importKey("raw", block.validators[i].key, { name: "Ed25519" }, false, ["verify"]);
    const good = await crypto.subtle.verify({ name: "Ed25519" }, key, vote.signature, concat(putUvarint(message.length), message));
    block.checked.set(i, good);
  }
  return block.checked.get(i);
}

const sum = (validators) => validators.reduce((n, v) => n + v.power, 0n);

// checkVotes makes sure that validators with more than two thirds of the votes
// of a header's own set signed it.
export async function checkVotes(block) {
  let power = 0n;
  for (let i = 0; i < block.votes.length; i++) {
    if (!block.votes[i].forBlock) continue;
    if (!(await signed(block, i))) throw new Error(`the header of height ${block.height}: the vote of validator ${block.validators[i].address} is not signed by it`);
    power += block.validators[i].power;
    if (3n * power > 2n * sum(block.validators)) return;
  }
  throw new Error(`the header of height ${block.height}: ${power} of ${sum(block.validators)} votes are for it, more than two thirds must be`);
}

// TooFar says that a header may be right, but too few of the trusted validators
// signed it to tell: look half-way.
export class TooFar extends Error {}

export const drift = 10_000; // milliseconds by which a header may be ahead of the clock

// step makes sure that a header follows from an earlier one that is trusted.
export async function step(trusted, next, period, now) {
  const where = `the header of height ${next.height}`;
  if (next.chainID !== trusted.chainID) throw new Error(`${where} is of chain ${next.chainID}, trusted is ${trusted.chainID}`);
  if (trusted.time + period <= now) {
    throw new Error(
      `the trusted header of height ${trusted.height} is of ${new Date(trusted.time).toISOString()}, older than the trust period of ${period / 1000} s: trust a newer one, HEIGHT:HASH`,
    );
  }
  if (next.height <= trusted.height || next.time <= trusted.time) throw new Error(`${where} does not come after that of height ${trusted.height}`);
  if (next.time >= now + drift) throw new Error(`${where} is from the future`);
  if (next.height === trusted.height + 1n) {
    const named = await merkle(next.validators.map((v) => v.leaf));
    if (!equal(named, trusted.nextValidators)) throw new Error(`${where}: its validators are not those that the header before names`);
  } else await checkOverlap(trusted, next);
  await checkVotes(next);
}

// checkOverlap makes sure that more than a third of the trusted votes are for
// the later header.
async function checkOverlap(trusted, next) {
  const power = new Map(trusted.validators.map((v) => [v.address, v.power]));
  let found = 0n;
  for (let i = 0; i < next.votes.length; i++) {
    const address = next.validators[i].address;
    if (!next.votes[i].forBlock || !power.has(address)) continue;
    if (!(await signed(next, i))) throw new Error(`the header of height ${next.height}: the vote of validator ${address} is not signed by it`);
    found += power.get(address);
    power.delete(address);
    if (3n * found > sum(trusted.validators)) return;
  }
  throw new TooFar(`the header of height ${next.height}: ${found} of the ${sum(trusted.validators)} votes trusted at height ${trusted.height} are for it, more than a third must be`);
}
