// Somebody logs in, with the wrong token and with the right one, and out again.

import assert from "node:assert/strict";
import { clean, logIn, open, play, press, shows } from "./stage.mjs";

await play(async (browser) => {
  const page = await open(browser);
  assert.equal(new URL(page.url()).pathname, "/login", "who is nobody is sent to the login");
  await logIn(page, "gm_wrong");
  await shows(page, "[role=alert]", "the token is unknown");
  await logIn(page);
  await shows(page, "h1", "Overview");
  await shows(page, "#user", "admin@localhost");
  const [cookie] = await browser.cookies();
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path], ["gristmill_session", true, "Strict", "/"]);
  assert.equal(await page.evaluate(() => document.cookie), "", "no script sees the session");
  await Promise.all([page.waitForNavigation(), press(page, "Log out")]);
  await shows(page, "label", "Token");
  assert.deepEqual(await browser.cookies(), []);
  await page.goto(`${new URL(page.url()).origin}/`);
  assert.equal(new URL(page.url()).pathname, "/login");
  clean(page);
});
