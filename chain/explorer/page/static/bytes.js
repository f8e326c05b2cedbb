// Bytes and the texts that stand for them.

export const equal = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

export const sha256 = async (b) => new Uint8Array(await crypto.subtle.digest("SHA-256", b));

export const toHex = (b) => Array.from(b, (v) => v.toString(16).padStart(2, "0")).join("");

export function fromHex(text) {
  if (!/^([0-9a-fA-F]{2})*$/.test(text)) throw new Error(`not hexadecimal: ${text.slice(0, 80)}`);
  return Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
}

export const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

export function toBase64(b) {
  let text = "";
  for (const v of b) text += String.fromCharCode(v);
  return btoa(text);
}

// toBase32 writes RFC 4648's base32 in small letters, without padding.
export function toBase32(b) {
  const digits = "abcdefghijklmnopqrstuvwxyz234567";
  let text = "";
  let rest = 0;
  let bits = 0;
  for (const v of b) {
    rest = (rest << 8) | v;
    for (bits += 8; bits >= 5; bits -= 5) text += digits[(rest >> (bits - 5)) & 31];
    rest &= 31;
  }
  return bits ? text + digits[(rest << (5 - bits)) & 31] : text;
}

export function toBase58(b) {
  const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  let text = "";
  for (let n = toBigInt(b); n > 0n; n /= 58n) text = digits[Number(n % 58n)] + text;
  for (let i = 0; i < b.length && b[i] === 0; i++) text = "1" + text;
  return text;
}

// toBigInt reads a big-endian number.
export const toBigInt = (b) => (b.length ? BigInt("0x" + toHex(b)) : 0n);

// uvarint reads a number in groups of seven bits, the lowest first, and where it ends.
export function uvarint(b, at) {
  let n = 0n;
  for (let shift = 0n; shift < 64n; shift += 7n) {
    if (at >= b.length) throw new Error("bytes end within a number");
    const v = b[at++];
    n |= BigInt(v & 127) << shift;
    if (v < 128) return [BigInt.asUintN(64, n), at];
  }
  throw new Error("a number of more than 64 bits");
}

export function putUvarint(n) {
  const out = [];
  for (n = BigInt.asUintN(64, BigInt(n)); n > 127n; n >>= 7n) out.push(Number(n & 127n) | 128);
  out.push(Number(n));
  return Uint8Array.from(out);
}

// blake2b4 is BLAKE2b (RFC 7693) with a digest of four bytes, the checksum in
// the text of an address. It takes up to 128 bytes.
export function blake2b4(b) {
  if (b.length > 128) throw new Error("an address of more than 128 bytes");
  const word = (n) => BigInt.asUintN(64, n);
  const turn = (n, by) => word((n >> by) | (n << (64n - by)));
  const iv = [
    0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
    0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
  ];
  const orders = [
    "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
    "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
  ];
  const block = new DataView(new ArrayBuffer(128));
  b.forEach((v, i) => block.setUint8(i, v));
  const h0 = iv[0] ^ 0x01010000n ^ 4n;
  const v = [h0, ...iv.slice(1), ...iv];
  v[12] ^= BigInt(b.length);
  v[14] ^= 0xffffffffffffffffn; // the last block, which is the only one
  const mix = (a, c, d, e, x, y) => {
    v[a] = word(v[a] + v[c] + x);
    v[e] = turn(v[e] ^ v[a], 32n);
    v[d] = word(v[d] + v[e]);
    v[c] = turn(v[c] ^ v[d], 24n);
    v[a] = word(v[a] + v[c] + y);
    v[e] = turn(v[e] ^ v[a], 16n);
    v[d] = word(v[d] + v[e]);
    v[c] = turn(v[c] ^ v[d], 63n);
  };
  const lanes = [
    [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
    [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
  ];
  for (let round = 0; round < 12; round++) {
    const order = [...orders[round % 10]].map((c) => block.getBigUint64(8 * parseInt(c, 16), true));
    lanes.forEach((l, i) => mix(...l, order[2 * i], order[2 * i + 1]));
  }
  const out = new DataView(new ArrayBuffer(8));
  out.setBigUint64(0, h0 ^ v[0] ^ v[8], true);
  return new Uint8Array(out.buffer, 0, 4);
}
