// The course of the figures is there, in each window, whenever the server was started.

import assert from "node:assert/strict";
import { clean, enter, play, press, shows } from "./stage.mjs";

const wanted = Number(process.env.PROCESSED);
await play(async (browser) => {
  const page = await enter(browser);
  for (const name of ["5 min", "1 h", "24 h"]) {
    await press(page, name);
    await page.waitForSelector(`button[aria-pressed=true]::-p-text(${name})`);
    await shows(page, "[data-figure=Processed] dd", String(wanted));
    const lines = await page.$$eval(".chart", (charts) => charts.map((chart) => chart.querySelectorAll("polyline").length));
    assert.ok(lines[0] === 2 && lines[2] >= 1, `lines of the charts: ${lines}`);
  }
  const label = await page.$eval(".chart", (chart) => chart.getAttribute("aria-label"));
  assert.ok(label.startsWith("Throughput: received "), label);
  clean(page);
});
