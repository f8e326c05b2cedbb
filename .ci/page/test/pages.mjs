// Every page in a real browser: quiet, light, without barriers, whole on a
// phone and without scripts.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { barriers, desktop, launch, open, phone } from "../browser.mjs";
import { crawl, patterns } from "../site.mjs";

let browser, opened;
before(async () => {
  browser = await launch();
  ({ opened } = await crawl(1));
});
after(() => browser.close());

// most is the first view's weight in bytes, compressed, with styles and scripts.
const most = 100 * 1024;

// The home page is looked at in all four ways; the others, drawn with the same
// styles, in two that differ in both.
const all = [["light", desktop], ["light", phone], ["dark", desktop], ["dark", phone]];
const pairs = [all[0], all[3]];

for (const pattern of patterns) {
  test(`page ${pattern}`, async () => {
    const path = opened.get(pattern)[0];
    const { context, page, answer, wrongs, weight } = await open(browser, path);
    try {
      assert.equal(answer.status(), 200);
      assert.match(answer.headers()["content-security-policy"] ?? "", /default-src 'none'/);
      const bytes = await weight();
      assert.ok(bytes > 1000 && bytes < most, `first view takes ${bytes} bytes`);
      for (const [colorScheme, size] of path === "/" ? all : pairs) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(size);
        assert.deepEqual(await barriers(page), [], `${path} ${colorScheme} ${size.width}px`);
        const wide = await page.evaluate(() => document.scrollingElement.scrollWidth);
        assert.ok(wide <= size.width, `${path} is ${wide} px wide on a screen of ${size.width}`);
      }
      assert.deepEqual(wrongs, []);
    } finally {
      await context.close();
    }
  });
}

test("a calendar's windows stand under their deadlines", async () => {
  const { context, page } = await open(browser, opened.get("/miner/{miner}")[0], { viewport: phone });
  try {
    const askew = await page.locator("table.grid").first().evaluate((grid) => {
      const [row] = grid.tBodies[0].rows;
      row.cells[1].replaceChildren(); // a window that is not shown leaves its place
      const left = (cell) => cell.getBoundingClientRect().left;
      const columns = [...grid.tHead.rows[0].cells].map(left);
      return [...grid.tBodies[0].rows].flatMap((r) => [...r.cells].filter((cell, i) => left(cell) !== columns[i]).map((cell) => `${r.innerText}: ${left(cell)} of ${columns}`));
    });
    assert.deepEqual(askew, []);
  } finally {
    await context.close();
  }
});

test("pages read without scripts", async () => {
  const { context, page } = await open(browser, "/", { javaScriptEnabled: false });
  try {
    for (const [pattern, [path]] of opened) {
      const answer = await page.goto(new URL(path, page.url()).href);
      assert.equal(answer.status(), 200, path);
      assert.notEqual((await page.locator("h1").innerText()).trim(), "", path);
      const shown = (await page.locator("main").innerText()).length;
      assert.ok(shown > 40, `${path} (${pattern}) shows ${shown} characters without scripts`);
    }
    const [deal] = opened.get("/deal/{deal}");
    await page.locator("#q").fill(deal.replace("/deal/", "deal "));
    await page.getByRole("search").getByRole("button").click();
    await page.waitForURL("**" + deal);
  } finally {
    await context.close();
  }
});

test("errors are pages, too", async () => {
  for (const [path, status] of [["/deal/999999", 404], ["/block/x", 400], ["/nothing", 404]]) {
    const { context, page, answer, wrongs } = await open(browser, path);
    try {
      assert.equal(answer.status(), status);
      assert.deepEqual(await barriers(page), [], path);
      assert.deepEqual(wrongs.filter((w) => !w.includes(`status of ${status}`)), []);
    } finally {
      await context.close();
    }
  }
});
