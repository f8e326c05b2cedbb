// Values for people, as the node writes them.

const group = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

// decimal writes n / 10^exponent with at most so many decimals.
function decimal(n, exponent, decimals) {
  decimals = Math.min(decimals, exponent);
  const unit = 10n ** BigInt(exponent - decimals);
  const digits = String((n + unit / 2n) / unit).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const rest = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return group(whole) + (rest ? "." + rest : "");
}

// coins are the units that amounts are shown in: the first whose least amount
// is reached. Powers of ten in attoPDR, decimals, name.
const coins = [
  [24, 24, 3, "M PDR"], [20, 18, 2, "PDR"], [15, 18, 4, "PDR"], [12, 12, 3, "µPDR"], [9, 9, 3, "nPDR"], [3, 6, 3, "pPDR"], [0, 0, 0, "attoPDR"],
];

function coinsOf(n) {
  const found = coins.find(([from]) => n >= 10n ** BigInt(from));
  return found ? `${decimal(n, found[1], found[2])} ${found[3]}` : "0 PDR";
}

function bytesOf(n) {
  const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let i = 0;
  while (i < names.length - 1 && n >> BigInt(10 * (i + 1))) i++;
  return `${decimal((n * 1000n) >> BigInt(10 * i), 3, 2)} ${names[i]}`;
}

// shown writes an exact value of a unit for people.
export function shown(exact, unit) {
  if (!/^\d+$/.test(exact)) return exact;
  switch (unit) {
    case "atto":
      return coinsOf(BigInt(exact));
    case "price":
      return `${group(exact)} attoPDR per GiB per block`;
    case "bytes":
      return bytesOf(BigInt(exact));
    case "count":
      return group(exact);
  }
  return exact;
}
