// A headless Chromium, and a watch over what its pages do.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import axe from "axe-core";
import { base } from "./site.mjs";

const executablePath = process.env.PERDURE_CHROMIUM ?? "/usr/bin/chromium";

// launch starts the browser without what it would ask of the network by itself.
export const launch = () =>
  chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });

export const phone = { width: 390, height: 844 };
export const desktop = { width: 1280, height: 800 };

// open returns a page in a context of its own, with empty caches, and the list
// of what it did that no page may: messages on the console, errors of scripts,
// requests of another host than those allowed.
export async function open(browser, path, options = {}) {
  const { allowed = [base], ...rest } = options;
  const context = await browser.newContext({ viewport: desktop, ...rest });
  const page = await context.newPage();
  const wrongs = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && wrongs.push(`console ${m.type()}: ${m.text()}`));
  page.on("pageerror", (e) => wrongs.push(`script error: ${e.message}`));
  const hosts = allowed.map((u) => new URL(u).host);
  page.on("request", (r) => {
    const url = new URL(r.url());
    if (url.protocol !== "data:" && !hosts.includes(url.host)) wrongs.push(`request of ${r.url()}`);
  });
  page.on("websocket", (s) => hosts.includes(new URL(s.url()).host) || wrongs.push(`connection to ${s.url()}`));
  const weight = weigh(page);
  const answer = await page.goto(base + path, { waitUntil: "load" });
  return { context, page, answer, wrongs, weight };
}

// weigh counts the bytes that a page's first view takes on the wire.
function weigh(page) {
  const sizes = [];
  page.on("requestfinished", (r) => sizes.push(r.sizes().then((s) => s.responseBodySize + s.responseHeadersSize, () => 0)));
  return async () => (await Promise.all(sizes)).reduce((a, b) => a + b, 0);
}

// barriers are what axe-core finds on a page as it is drawn now.
export async function barriers(page) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe.source);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  assert.ok(found.passes.length > 0, "axe-core looked at nothing");
  return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary}`));
}
