// A token is made, shown once, works, and is revoked.

import assert from "node:assert/strict";
import { clean, enter, play, press, shows, visit } from "./stage.mjs";

const status = async (token) => (await fetch(`${process.env.API}/api/v1/events`, { headers: { Authorization: `Bearer ${token}` } })).status;

await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, "#/tokens", "Tokens");
  await page.type("#t-name", "from the page");
  await page.click("input[type=checkbox][value=read]");
  await press(page, "Make");
  const secret = await (await page.waitForSelector("#secret")).evaluate((code) => code.textContent);
  await press(page, "Close", "dialog");
  await shows(page, "#tokens", "from the page");
  assert.ok(!(await page.content()).includes(secret), "the secret is gone from the page");
  assert.equal(await status(secret), 200);
  const id = await page.$$eval("#tokens tr", (rows) => rows.find((row) => row.textContent.includes("from the page")).dataset.id);
  await press(page, `Revoke token ${id}`);
  await press(page, "Revoke", "dialog");
  await page.waitForFunction(() => !document.querySelector("#tokens").textContent.includes("from the page"));
  assert.equal(await status(secret), 401);
  clean(page);
});
