// Pages renew themselves as blocks come, and do not while that is paused.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { launch, open } from "../browser.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

// height is what the page says that it is of.
const height = (page) => page.locator("#asof data").first().getAttribute("value").then(Number);

// rise waits until the page shows a greater height than h; the chain decides when.
async function rise(page, h) {
  await page.waitForFunction((h) => Number(document.querySelector("#asof data").value) > h, h, { timeout: 60_000 });
  return height(page);
}

test("the home page renews itself", async () => {
  const { context, page, wrongs } = await open(browser, "/");
  try {
    const first = await height(page);
    const second = await rise(page, first);
    const third = await rise(page, second);
    assert.ok(first < second && second < third);
    await page.locator("#live").click();
    assert.deepEqual(wrongs, []);
  } finally {
    await context.close();
  }
});
