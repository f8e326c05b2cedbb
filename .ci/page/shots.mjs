// Takes the screenshots of docs/screenshots: node shots.mjs DIRECTORY
import { join } from "node:path";
import { base, things } from "./site.mjs";
import { desktop, launch, phone } from "./browser.mjs";

const t = await things();
const browser = await launch();
for (const [name, path, viewport, colorScheme] of [
  ["home", "/", desktop, "light"],
  ["market-dark", "/market", desktop, "dark"],
  ["deal", `/deal/${t.deal}`, desktop, "light"],
  ["miner-phone", `/miner/${t.miner}`, phone, "light"],
  ["deal-phone-dark", `/deal/${t.deal}`, phone, "dark"],
  ["network", "/network", desktop, "light"],
  ["miners", "/miners?sortField=power", desktop, "light"],
]) {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  const answer = await page.goto(base + path, { waitUntil: "networkidle" });
  if (answer.ok()) await page.screenshot({ path: join(process.argv[2], `${name}.png`) });
  else console.error(`${path}: ${answer.status()}`);
  await context.close();
}
await browser.close();
