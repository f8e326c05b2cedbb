// The documents as a node serves them: linters find no error, and a client that
// is generated from them compiles and works.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { api, base } from "../site.mjs";

const documents = ["openapi.yaml", "openapi-compat.yaml"];

// tool runs a program of the packages and returns what it printed.
function tool(name, ...args) {
  const ran = spawnSync(`node_modules/.bin/${name}`, args, { encoding: "utf8" });
  assert.equal(ran.status, 0, `${name} ${args.join(" ")}\n${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}

for (const name of documents) {
  test(`${name} pleases its linters and makes a client`, async () => {
    const answer = await fetch(`${base}/v1/${name}`);
    assert.equal(answer.status, 200);
    writeFileSync(name, await answer.text());
    tool("redocly", "lint", name, "--config", "redocly.yaml");
    tool("spectral", "lint", "-r", "spectral.yaml", "--fail-severity", "error", name);
    const out = name.replace("open", "").replace(".yaml", ".ts");
    tool("openapi-typescript", name, "-o", out);
    tool("tsc", "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", out);
  });
}

test("a program over the generated client", async () => {
  tool("tsc", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--types", "node", "--outDir", "out", "client.ts");
  const said = JSON.parse(execFileSync("node", ["out/client.js", base], { encoding: "utf8" }));
  const deals = (await api("/v1/deals?limit=500")).items;
  assert.equal(said.chainId, (await api("/v1/status")).chainId);
  assert.deepEqual(said.deals, deals.map((d) => d.id));
});
