// A user is made, gets a token, is disabled and enabled; what its token may do follows at once.

import assert from "node:assert/strict";
import { clean, enter, play, press, shows, visit } from "./stage.mjs";

const status = async (token) => (await fetch(`${process.env.API}/api/v1/events`, { headers: { Authorization: `Bearer ${token}` } })).status;

await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, "#/users", "Users");
  await shows(page, "#users tr[data-id='1']", "admin@localhost (you)");
  await page.type("#u-email", "ana@example.org");
  await page.keyboard.press("Enter");
  await shows(page, "#users tr[data-id='2']", "active");
  assert.equal(await page.$eval("#u-email", (input) => input.value), "");
  await page.type("#u-email", "ana@example.org");
  await press(page, "Make");
  await shows(page, "#notices", "there is a user with this email already");
  const secret = await page.evaluate(async () => {
    const headers = { "X-Gristmill-Request": "1", "Content-Type": "application/json" };
    const answer = await fetch("/api/v1/tokens", { method: "POST", headers, body: JSON.stringify({ user_id: 2, scopes: ["read"] }) });
    return (await answer.json()).token;
  });
  assert.equal(await status(secret), 200);
  await press(page, "Disable user 2");
  await press(page, "Close", "dialog");
  assert.equal(await status(secret), 200, "somebody thought better of it");
  await press(page, "Disable user 2");
  await shows(page, "dialog", "tokens and sessions of ana@example.org are refused");
  await press(page, "Disable", "dialog");
  await shows(page, "#users tr[data-id='2']", "disabled");
  assert.equal(await status(secret), 401);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Enable user 2", "the keyboard stays at it");
  await press(page, "Enable user 2");
  await shows(page, "#users tr[data-id='2']", "active");
  assert.equal(await status(secret), 200);
  await press(page, "Disable user 1");
  await shows(page, "dialog", "It is your own user");
  await press(page, "Close", "dialog");
  await page.click("#users tr[data-id='1'] a");
  await shows(page, "h1", "Audit");
  await shows(page, "#audit", "user_disabled");
  await page.waitForFunction(() => document.querySelector("#a-user").value === "1");
  page.faults = page.faults.filter((fault) => !fault.includes("status of 409"));
  clean(page);
});
