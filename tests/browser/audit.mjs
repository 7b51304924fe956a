// The log of who changed what: the newest first, page by page, and by filter.

import assert from "node:assert/strict";
import { clean, enter, hides, play, press, shows, visit } from "./stage.mjs";

const rows = (page, wanted) => page.waitForFunction((many) => document.querySelectorAll("#audit tr").length === many, { timeout: 20_000 }, wanted);
const cells = (page) => page.$$eval("#audit tr:first-child td", (all) => Object.fromEntries(all.map((cell) => [cell.dataset.label, cell.textContent])));

await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, "#/audit", "Audit");
  await rows(page, 50);
  const login = await cells(page);
  assert.deepEqual([login.Who, login.What, login["Of what"]], ["admin@localhost (1), token 1", "session_opened", "tokens/3"]);
  assert.ok(login.Detail.startsWith("expires_at: ") && login.Detail.includes("parent_id: 1"), login.Detail);
  await shows(page, "main", "50 shown; there are older ones.");
  await press(page, "Older entries");
  // Sixty pauses and the like, two users, two tokens, this session.
  await rows(page, 65);
  await shows(page, "main", "65 shown.");
  await shows(page, "#audit", "a command on the machine");
  assert.ok(await page.$$eval("#audit tr", (all) => all.every((row, at) => at === 0 || Number(row.dataset.id) < Number(all[at - 1].dataset.id))));
  await page.select("#a-action", "pipeline_paused");
  await press(page, "Show");
  await rows(page, 30);
  const pause = await cells(page);
  assert.deepEqual([pause.Who, pause.What, pause["Of what"], pause.Detail], ["ana@example.org (2), token 2", "pipeline_paused", "pools/claimer", "–"]);
  assert.equal(new URL(page.url()).hash, "#/audit?action=pipeline_paused");
  await page.type("#a-user", "1");
  await press(page, "Show");
  await shows(page, "main", "No entry matches.");
  await page.reload();
  await shows(page, "main", "No entry matches.");
  assert.deepEqual(await page.$$eval("#a-action, #a-user", (all) => all.map((input) => input.value)), ["pipeline_paused", "1"]);
  await page.type("#a-user", "x");
  await press(page, "Show");
  await shows(page, "#notices", "by_user is");
  await press(page, "Reset");
  await rows(page, 50);
  await hides(page, "main", "No entry matches.");
  page.faults = page.faults.filter((fault) => !fault.includes("status of 400"));
  clean(page);
});
