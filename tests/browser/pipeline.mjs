// A pool grows and shrinks, is paused and restarted by its buttons, and the picture follows.

import assert from "node:assert/strict";
import { clean, enter, play, press, shows, visit } from "./stage.mjs";

const actors = (page, wanted) => page.waitForFunction((many) => document.querySelectorAll("[data-pool=validators] .actor").length === many, { timeout: 20_000 }, wanted);

await play(async (browser) => {
  const page = await enter(browser);
  await visit(page, "#/pipeline", "Pipeline of node");
  await actors(page, 2);
  await shows(page, "#link", "live");
  await press(page, "Grow validators");
  await actors(page, 3);
  await shows(page, "[data-pool=validators]", "validator-3");
  await press(page, "Shrink validators");
  await actors(page, 2);
  assert.equal(await page.$$eval("[aria-label^='Grow ']", (buttons) => buttons.length), 3, "three pools can be resized");
  await press(page, "Pause persisters");
  await shows(page, "[data-pool=persisters]", "paused");
  await press(page, "Resume persisters");
  await shows(page, "[data-pool=persisters]", "running");
  await press(page, "Pause the line");
  await shows(page, "[data-pool=validators]", "with the line");
  await press(page, "Resume the line");
  await shows(page, "[data-pool=validators]", "running");
  // A restart is asked about first; whoever thinks better of it restarts nothing.
  const restarts = () => page.$$eval("[data-pool=normalizers] .actor", (all) => all.map((one) => Number(one.dataset.restarts)));
  await press(page, "Restart normalizers");
  await press(page, "Close", "dialog");
  await press(page, "Restart claimer");
  await press(page, "Restart", "dialog");
  await page.waitForSelector("[data-pool=claimer] .actor[data-restarts='1']");
  assert.deepEqual(await restarts(), [0, 0]);
  await press(page, "Restart normalizers");
  await press(page, "Restart", "dialog");
  await page.waitForFunction(() => document.querySelectorAll("[data-pool=normalizers] .actor[data-restarts='1']").length === 2);
  assert.equal(await page.$$eval("[aria-label^='Restart ']", (buttons) => buttons.length), 5, "stages, the Claimer and the Pruner");
  await shows(page, "table", "(this one)");
  clean(page);
});
