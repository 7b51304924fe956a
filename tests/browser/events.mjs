// Events appear while they are posted, and filters find them.

import assert from "node:assert/strict";
import { clean, enter, hides, play, post, press, shows, visit } from "./stage.mjs";

async function search(page, fields) {
  await press(page, "Reset");
  for (const [name, value] of Object.entries(fields)) {
    if (name === "status" || name === "hours") await page.select(`#f-${name}`, value);
    else await page.type(`#f-${name}`, value);
  }
  await press(page, "Show");
}

await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, "#/events", "Events");
  const first = await post({ event_name: "first", event_type: "a", payload: {} });
  await shows(page, `tr[data-id="${first}"]`, "processed");
  const bad = await post({ event_name: "second" });
  await shows(page, `tr[data-id="${bad}"]`, "missing_field");

  await search(page, { event_name: "first" });
  await hides(page, "#rows tr", "second");
  await shows(page, "#rows tr", "first");
  await post({ event_name: "third", event_type: "a", payload: {} });
  const again = await post({ event_name: "first", event_type: "b", payload: {} });
  await shows(page, `tr[data-id="${again}"]`, "processed");
  await hides(page, "#rows tr", "third");

  await search(page, { error_code: "missing_field" });
  await shows(page, "#rows tr", "second");
  await hides(page, "#rows tr", "first");
  await search(page, { user_id: "1", event_type: "b" });
  await shows(page, `tr[data-id="${again}"]`, "first");
  await hides(page, "#rows tr", "second");
  await search(page, { status: "validation_error" });
  await shows(page, "#rows tr", "second");
  assert.equal(await page.$$eval("#rows tr", (rows) => rows.length), 1);

  await search(page, { id: String(first) });
  await shows(page, "h1", `Event ${first}`);
  await shows(page, ".timeline", "Received");
  clean(page);
});
