// An event that waits says why, is selected and called off.

import { clean, enter, play, press, shows, visit } from "./stage.mjs";

const id = process.env.EVENT;
await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, `#/events/${id}`, `Event ${id}`);
  await shows(page, "#why", "Attempt 2 is due at");
  await visit(page, "#/events", "Events");
  await page.waitForSelector(`tr[data-id="${id}"] input[type=checkbox]`);
  await page.click(`tr[data-id="${id}"] input[type=checkbox]`);
  await press(page, "Cancel");
  await shows(page, `tr[data-id="${id}"]`, "cancelled");
  clean(page);
});
