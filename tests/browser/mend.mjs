// A refused event is found among the failures, its payload mended, and the event processed.

import assert from "node:assert/strict";
import { clean, enter, play, press, shows, visit } from "./stage.mjs";

const id = process.env.EVENT;
await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, "#/failures", "Failures");
  await shows(page, "[data-code]", "payload_too_deep");
  await press(page, `Edit event ${id} and retry`);
  const text = await page.waitForSelector("#edited");
  const before = await text.evaluate((area) => area.value);
  assert.ok(before.includes("9007199254740993"), before);
  const change = (from, to) => text.evaluate((area, [one, two]) => { area.value = area.value.replace(one, two); }, [from, to]);
  await change('"/"', '"/mended",,');
  await press(page, "Retry with this payload", "dialog");
  await shows(page, "dialog [role=alert]", "JSON");
  await change(",,", "");
  await text.evaluate((area) => { area.value = area.value.replace(/"deep": \[[\s\S]*\],\n/, ""); });
  await press(page, "Retry with this payload", "dialog");
  await visit(page, `#/events/${id}`, `Event ${id} processed`);
  await shows(page, "#payload", "9007199254740993");
  await shows(page, "#payload", "/mended");
  await shows(page, ".timeline", "with a patch");
  clean(page);
});
