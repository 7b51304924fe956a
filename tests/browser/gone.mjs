// A node that has stopped stays to be looked at, as what it is: old, and stopped.

import assert from "node:assert/strict";
import { clean, enter, play, shows, visit } from "./stage.mjs";

await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, "#/pipeline?node=node-2", "Pipeline of node node-2");
  await shows(page, "#note", "The node has stopped: this is its last report.");
  for (const word of ["stopped", "old"]) await shows(page, "#note .badge", word);
  await shows(page, "#node option", "node-2, stopped");
  const states = await page.$$eval(".actor .badge", (badges) => [...new Set(badges.map((badge) => badge.textContent))]);
  assert.deepEqual(states, ["stopped"], "nothing of it runs");
  assert.equal(await page.$eval("#node", (select) => select.selectedOptions[0].textContent), "node-2, stopped");
  await visit(page, "#/pipeline?node=nobody", "Pipeline of node nobody");
  await shows(page, "#note", "there is no node");
  assert.equal(await page.$(".actor"), null);
  await page.select("#node", "");
  await shows(page, "h1", "Pipeline of node node-1");
  await shows(page, ".actor .badge", "running");
  page.faults = page.faults.filter((fault) => !fault.includes("status of 404"));
  clean(page);
});
