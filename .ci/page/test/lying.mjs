// What a page says of a thing is proven in the browser, and a node that changes
// one amount is caught: the page is from its own origin, the API from a proxy.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test, { after, before } from "node:test";
import { launch, open } from "../browser.mjs";
import { api, base, things } from "../site.mjs";

let browser, t;
before(async () => {
  browser = await launch();
  t = await things();
});
after(() => browser.close());

// proxy hands on what the node answers, after change has been at its JSON.
async function proxy(change) {
  const server = createServer(async (request, response) => {
    const answer = await fetch(base + request.url);
    let body = Buffer.from(await answer.arrayBuffer());
    if (answer.headers.get("content-type").includes("json")) body = Buffer.from(change(body.toString(), request.url));
    response.writeHead(answer.status, { "Content-Type": answer.headers.get("content-type"), "Access-Control-Allow-Origin": "*" });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => (server.closeAllConnections(), server.close()) };
}

// verdict opens a page and waits for what it concludes.
async function verdict(path, query, allowed) {
  const opened = await open(browser, path + query, { allowed });
  await opened.page.locator("#proof[data-state]").waitFor({ timeout: 60_000 });
  const signs = async (state) => opened.page.locator(`#main .proof.${state}`).evaluateAll((all) => all.map((e) => e.dataset.of));
  return {
    ...opened,
    state: await opened.page.locator("#proof").getAttribute("data-state"),
    said: await opened.page.locator("#proof").innerText(),
    good: await signs("good"),
    bad: await signs("bad"),
  };
}

test("pages are verified by the node's own proofs", async () => {
  const paths = [`/account/${t.account}`, `/miner/${t.miner}`, `/order/${t.ask}`, `/channel/${t.channel}`];
  if ((await api(`/v1/deals/${t.deal}`)).state === "active") paths.push(`/deal/${t.deal}`, `/sector/${t.sector}`); // the demo may be older
  for (const path of paths) {
    const v = await verdict(path, "");
    try {
      assert.equal(v.state, "good", `${path}: ${v.said}`);
      assert.ok(v.good.length >= 2, `${path}: only ${v.good} are marked`);
      assert.deepEqual(v.bad, [], path);
      assert.deepEqual(v.wrongs, []);
    } finally {
      await v.context.close();
    }
  }
});

test("an honest node elsewhere is believed after its proof", async () => {
  const there = await proxy((body) => body);
  const v = await verdict(`/account/${t.account}`, `?api=${there.url}`, [base, there.url]);
  try {
    assert.equal(v.state, "good", v.said);
    assert.match(await v.page.locator("#foreign").innerText(), new RegExp(there.url));
    assert.deepEqual(v.wrongs, []);
  } finally {
    await v.context.close();
    there.close();
  }
});

test("a node that changes one amount is caught", async () => {
  let truth;
  const there = await proxy((body, path) => {
    if (!path.startsWith("/v1/accounts/")) return body;
    const changed = body.replace(/"balance":"(\d+)"/, (_, n) => `"balance":"${BigInt((truth = n)) + 1n}"`);
    assert.notEqual(changed, body, "there was nothing to lie about");
    return changed;
  });
  const v = await verdict(`/account/${t.account}`, `?api=${there.url}`, [base, there.url]);
  try {
    assert.ok(truth, "the proxy was not asked");
    assert.equal(v.state, "bad", v.said);
    assert.deepEqual([...new Set(v.bad)], ["balance"]);
    assert.match(v.said, new RegExp(`balance.*${BigInt(truth) + 1n}.*${truth}`));
    assert.deepEqual([...new Set(v.good)].includes("nonce"), true, "the other values are still proven");
  } finally {
    await v.context.close();
    there.close();
  }
});

test("a page asks no origin that its address does not name", async () => {
  const there = await proxy((body) => body);
  const { context, page } = await open(browser, `/account/${t.account}`);
  try {
    const blocked = await page.evaluate((url) => fetch(url + "/v1/status").then(() => false, () => true), there.url);
    assert.ok(blocked, "the content security policy let a request of another origin pass");
  } finally {
    await context.close();
    there.close();
  }
});
