// Every page can be reached and every link leads somewhere.
import assert from "node:assert/strict";
import test from "node:test";
import { crawl, page, patterns, things } from "../site.mjs";

test("every link of every kind of page answers", async () => {
  const { opened, status, from } = await crawl();
  const lost = patterns.filter((p) => !opened.has(p));
  assert.deepEqual(lost, [], "no link and no seed of site.mjs leads to these pages");
  const bad = [...status].filter(([path, code]) => code !== 200).map(([path, code]) => `${code} ${path} (from ${from.get(path)})`);
  assert.deepEqual(bad, []);
  assert.ok(status.size > 100, `only ${status.size} links`);
});

test("search finds each kind of thing", async () => {
  const t = await things();
  for (const [query, want] of [
    [t.hash, `/message/${t.hash}`],
    [t.hash.toUpperCase(), `/message/${t.hash}`],
    [`block ${t.height}`, `/block/${t.height}`],
    [t.account, `/account/${t.account}`],
    [t.miner, `/miner/${t.miner}`],
    [t.sector, `/sector/${t.sector}`],
    [`deal ${t.deal}`, `/deal/${t.deal}`],
    [`order ${t.order}`, `/order/${t.order}`],
    [`channel ${t.channel}`, `/channel/${t.channel}`],
    [t.root, "/deals?root=" + t.root],
    [t.piece, "/deals?piece=" + t.piece],
    [t.validator, patterns.includes("/validator/{address}") ? "/validator/" + t.validator : "/validators"],
  ]) {
    const answer = await page("/search?q=" + encodeURIComponent(query));
    assert.equal(answer.status, 303, `search for ${query}: ${answer.status}`);
    assert.equal(answer.headers.get("location"), want, `search for ${query}`);
    assert.equal((await page(want)).status, 200, want);
  }
  const none = await page("/search?q=nothing+of+that+name");
  assert.equal(none.status, 404);
});
