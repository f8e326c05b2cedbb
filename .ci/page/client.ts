// A program over the client that is generated from the document. It compiles
// only if the document says what the API's users need to know.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Deal = components["schemas"]["Deal"];

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

async function main(): Promise<void> {
  const status = await client.GET("/v1/status");
  if (!status.data) throw new Error(status.error.detail);
  const deals: Deal[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await client.GET("/v1/deals", { params: { query: { limit: 1, cursor } } });
    if (page.error) throw new Error(page.error.detail);
    if (typeof page.data === "string") throw new Error("rows as text, though nobody asked for them");
    deals.push(...page.data.items);
    cursor = page.data.next;
    if (!cursor) break;
  }
  const locked: bigint = deals.reduce((sum, d) => sum + BigInt(d.unspent), 0n);
  const none = await client.GET("/v1/deals/{deal}", { params: { path: { deal: 999_999 } } });
  if (none.data || none.error.status !== 404) throw new Error("deal 999999 is there");
  console.log(JSON.stringify({ chainId: status.data.chainId, deals: deals.map((d) => d.id), locked: locked.toString() }));
}

await main();
