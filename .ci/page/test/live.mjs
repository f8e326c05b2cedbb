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

test("it is a WebSocket that tells, until the page is paused", async () => {
  const { context, page, wrongs } = await open(browser, "/params"); // which does not renew itself
  try {
    const opened = page.waitForEvent("websocket");
    await page.goto(new URL("/", page.url()).href);
    const socket = await opened;
    assert.match(socket.url(), /^ws:.*\/v1\/live\?topics=block$/);
    const closed = socket.waitForEvent("close");
    await rise(page, await height(page));
    assert.equal(await page.locator("#news").getAttribute("role"), "status");
    await page.locator("#live").click();
    await closed;
    assert.equal(await page.locator("#news").textContent(), "Paused");
    const again = page.waitForEvent("websocket");
    await page.locator("#live").click();
    assert.match((await again).url(), /&cursor=/, "it goes on from its cursor");
    assert.deepEqual(wrongs, []);
  } finally {
    await context.close();
  }
});

test("without WebSockets the page renews itself by server-sent events", async () => {
  const { context, page, wrongs } = await open(browser, "/params");
  try {
    await page.addInitScript(() => {
      window.WebSocket = class {
        constructor() {
          throw new Error("none here");
        }
      };
    });
    const streamed = page.waitForRequest(/\/v1\/events\/stream\?topics=block$/);
    await page.goto(new URL("/", page.url()).href);
    await streamed;
    await rise(page, await rise(page, await height(page)));
    await page.locator("#live").click();
    assert.deepEqual(wrongs, []);
  } finally {
    await context.close();
  }
});

test("the page says whether it is live", async () => {
  const { context, page } = await open(browser, "/params");
  try {
    let cut = () => {};
    let away = false;
    await page.routeWebSocket(/\/v1\/live/, (socket) => {
      if (away) return void socket.close({ code: 1012 });
      socket.connectToServer();
      cut = () => socket.close({ code: 1012 });
    });
    await page.goto(new URL("/", page.url()).href);
    const says = (text) => page.locator("#pulse", { hasText: text }).waitFor();
    await says("live");
    await page.locator("tr.fresh").first().waitFor({ timeout: 60_000 });
    away = true;
    cut();
    await says("no connection");
    assert.equal(await page.locator("#news").textContent(), "no connection", "whoever does not see it hears it");
    away = false;
    await says("live");
    await page.locator("#live").click();
    await says("paused");
    await page.locator("#live").click();
    await says("live");
    await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("#content dd")));
    await says("held");
  } finally {
    await context.close();
  }
});
