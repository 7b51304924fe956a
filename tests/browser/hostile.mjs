// Names and payloads that would be markup stay the text that they are, on every page.

import assert from "node:assert/strict";
import { clean, enter, play, shows, visit } from "./stage.mjs";

const { GOOD, BAD, NASTY, EMAIL } = process.env;
await play(async (browser) => {
  const page = await enter(browser);
  const pages = [["#/events", "Events", "#rows"], [`#/events/${GOOD}`, `Event ${GOOD}`, "#payload"], [`#/events/${GOOD}`, `Event ${GOOD}`, "dl.facts"],
    [`#/events/${BAD}`, `Event ${BAD}`, "dl.facts"], ["#/failures", "Failures", "table"], ["#/tokens", "Tokens", "#tokens"],
    ["#/users", "Users", "#users", EMAIL], ["#/audit", "Audit", "#audit", EMAIL]];
  for (const [hash, heading, place, text] of pages) {
    await visit(page, hash, heading);
    const wanted = place === "#payload" ? JSON.stringify(NASTY).slice(1, -1) : text ?? NASTY;
    await shows(page, place, wanted);
    const made = await page.$$eval("main img, main script, main [onerror]", (elements) => elements.length);
    assert.equal(made, 0, `markup on ${hash}`);
  }
  await page.goto(`${new URL(page.url()).origin}/login?message=${encodeURIComponent(NASTY)}`);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  clean(page);
});
