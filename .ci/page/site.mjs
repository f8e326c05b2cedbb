// What the checks know of the explorer: where its node answers, one of each
// kind of thing on its chain, and the pages that there are.
import { readFileSync } from "node:fs";

// base is the URL of a node of the demo; root the repository.
export const base = process.env.PERDURE_API;
export const root = process.env.PERDURE_ROOT;

// html is what a browser says that it accepts.
const html = { Accept: "text/html,application/xhtml+xml,*/*;q=0.8" };

// api asks for JSON.
export async function api(path) {
  const answer = await fetch(base + path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

// page asks for a page as a browser does.
export const page = (path) => fetch(base + path, { headers: html, redirect: "manual" });

// patterns are the paths of all pages, {name} for a part that varies, read from
// the page's own table of routes: a page that is added is checked without a word here.
export const patterns = [...readFileSync(`${root}/chain/explorer/page/routes.go`, "utf8").matchAll(/^\t"(\/[^"]*)":/gm)].map((m) => m[1].replace("{$}", ""));

// patternOf is the pattern of a page's path, undefined if it is no page. A
// pattern without names goes before one with.
export function patternOf(path) {
  const fits = patterns.filter((p) => new RegExp(`^${p.replace(/\{[^}]*\}/g, "[^/]+")}$`).test(path.split(/[?#]/)[0]));
  return fits.sort((a, b) => a.split("{").length - b.split("{").length)[0];
}

// things finds one of each kind of thing that the demo made.
export async function things() {
  const first = async (path) => (await api(path)).items[0];
  const deal = await first("/v1/deals");
  const message = await first("/v1/messages");
  const sector = await first(`/v1/miners/${deal.miner}/sectors`);
  const channel = await first(`/v1/channels?address=${deal.client}`);
  const validator = await first("/v1/validators");
  return {
    height: message.height, hash: message.hash, miner: deal.miner, sector: `${sector.miner}/${sector.number}`, deal: deal.id, order: deal.bid, ask: deal.ask,
    channel: channel.id, account: deal.client, root: deal.payloadRoot, piece: deal.pieceCid, validator: validator.address,
  };
}

// seeds are pages that need not be linked from anywhere.
const seeds = (t) => ["/", `/block/${t.height}/messages`, `/block/${t.height}/events`, `/account/${t.account}`, `/message/${t.hash}`, `/sector/${t.sector}`,
  `/deal/${t.deal}`, `/order/${t.order}`, `/channel/${t.channel}`, `/miner/${t.miner}`, "/search"];

// linksOf are the links of a page that stay on the site.
const linksOf = (body) => [...body.matchAll(/(?:href|src|action)="(\/[^"]*)"/g)].map((m) => m[1].replaceAll("&amp;", "&").split("#")[0]);

// crawl follows links from the home page, opening at most each pages of a
// pattern, and returns a path for each pattern, the status of every link of an
// opened page, and where it stood.
export async function crawl(each = 3) {
  const opened = new Map(); // pattern to paths
  const status = new Map(); // path to status
  const from = new Map();
  const queue = seeds(await things());
  for (const path of queue) {
    if (status.has(path)) continue;
    const answer = await page(path);
    status.set(path, answer.status);
    const pattern = patternOf(path);
    const paths = opened.get(pattern) ?? [];
    if (!pattern || answer.status !== 200 || paths.length === each) {
      await answer.body?.cancel();
      continue;
    }
    opened.set(pattern, [...paths, path]);
    for (const link of linksOf(await answer.text())) {
      if (!from.has(link)) from.set(link, path);
      queue.push(link);
    }
  }
  return { opened, status, from };
}
