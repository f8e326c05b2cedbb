// Everything can be reached and done by keyboard, and the eye can follow.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { barriers, launch, open } from "../browser.mjs";
import { things } from "../site.mjs";

let browser, t;
before(async () => {
  browser = await launch();
  t = await things();
});
after(() => browser.close());

// focusable counts what the tabulator must come by.
const focusable = () => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter((e) => e.checkVisibility() && !e.disabled).length;

// Where the focus is: a name that differs from all others, and whether one sees it.
function focus() {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const s = getComputedStyle(e);
  const box = e.getBoundingClientRect();
  const seen = (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== "none";
  e.dataset.order ??= String(document.querySelectorAll("[data-order]").length);
  return { name: `${e.tagName} ${e.textContent.trim().slice(0, 30)}`, order: Number(e.dataset.order), seen, inside: box.width > 0 && box.right > 0 && box.bottom > 0 };
}

for (const path of ["/", "/market", "miner"]) {
  test(`keyboard on ${path}`, async () => {
    const { context, page, wrongs } = await open(browser, path === "miner" ? `/miner/${t.miner}` : path);
    try {
      await page.evaluate(() => document.getElementById("live")?.click()); // pauses: what is counted must not be replaced
      if (await page.locator("#claim").count()) await page.locator("#proof[data-state]").waitFor(); // it brings a button
      const want = await page.evaluate(focusable);
      const met = new Set();
      for (let i = 0; i < want + 2; i++) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(focus);
        if (!at || met.has(at.order)) break;
        met.add(at.order);
        if (i === 0) assert.match(at.name, /skip/i, "the first stop skips to the content");
        assert.ok(at.seen, `nothing shows that ${at.name} has the focus`);
        assert.ok(at.inside, `${at.name} has the focus off the page`);
      }
      assert.equal(met.size, want, `the tabulator stops at ${met.size} of ${want} elements`);
      assert.deepEqual(wrongs, []);
    } finally {
      await context.close();
    }
  });
}

test("search by keyboard alone", async () => {
  const { context, page, wrongs } = await open(browser, "/");
  try {
    const box = page.locator("#q");
    await box.focus();
    await page.keyboard.type(t.account.slice(0, 12));
    await page.getByRole("option").first().waitFor();
    assert.deepEqual(await barriers(page), [], "with suggestions");
    await page.keyboard.press("ArrowDown");
    assert.equal(await box.inputValue(), t.account, "the marked suggestion");
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/account/${t.account}`);
    await box.focus();
    await page.keyboard.type(t.miner);
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/miner/${t.miner}`);
    assert.match(await page.locator("h1").innerText(), new RegExp(t.miner));
    assert.deepEqual(wrongs, []);
  } finally {
    await context.close();
  }
});

test("the theme is chosen and kept", async () => {
  const { context, page } = await open(browser, "/", { colorScheme: "light" });
  try {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    const theme = page.locator("#theme");
    while (!/dark/i.test(await theme.innerText())) await theme.press("Enter");
    const dark = await ground();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await ground(), dark, "after loading again");
  } finally {
    await context.close();
  }
});
