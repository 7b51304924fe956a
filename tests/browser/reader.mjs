// Who may only read sees the own events, and no button that would be refused.

import assert from "node:assert/strict";
import { clean, enter, play, shows, visit } from "./stage.mjs";

const { READER, EVENT } = process.env;
await play(async (browser) => {
  const page = await enter(browser, READER);
  await shows(page, "h1", "Events");
  const pages = await page.$$eval("#nav a", (links) => links.map((link) => link.textContent));
  assert.deepEqual(pages, ["Events", "Failures"]);
  await shows(page, `tr[data-id="${EVENT}"]`, "hers");
  assert.equal(await page.$("#retry, #cancel, #rows input"), null);
  await visit(page, `#/events/${EVENT}`, `Event ${EVENT}`);
  const buttons = await page.$$eval("main button", (all) => all.map((button) => button.textContent));
  assert.deepEqual(buttons, []);
  for (const [hash, heading] of [["#/tokens", "Tokens"], ["#/users", "Users"], ["#/audit", "Audit"]]) {
    await visit(page, hash, heading);
    await shows(page, "main .error", "lacks the scope admin");
    assert.equal(await page.$("main table, main form"), null, hash);
  }
  clean(page);
});
