// A failed event is selected and retried.

import { clean, enter, play, press, shows, visit } from "./stage.mjs";

const id = process.env.EVENT;
await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, `#/events/${id}`, `Event ${id}`);
  await shows(page, "#why", "given up");
  await visit(page, "#/events", "Events");
  await shows(page, `tr[data-id="${id}"]`, "failed");
  await page.click(`tr[data-id="${id}"] input[type=checkbox]`);
  await press(page, "Retry");
  await shows(page, `tr[data-id="${id}"]`, "processed");
  await shows(page, "#notices", "retry: 1 done");
  clean(page);
});
