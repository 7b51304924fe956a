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
    assert.ok(lines[0] === 2 && lines[2] >= 3, `lines of the charts: ${lines}`);
    // The page adds up the counts of the buckets, the server those of the flushes.
    const told = await page.evaluate(() => fetch("/api/v1/stats?window=1h").then((answer) => answer.json()));
    const tile = await page.$eval("[data-figure='Processing time'] dd", (shown) => shown.textContent);
    const shown = tile.match(/^([\d.,]+)\sms median; p95\s([\d.,]+)\sms, p99\s([\d.,]+)\sms, mean\s([\d.,]+)\sms$/)?.slice(1).map((text) => Number(text.replaceAll(",", "")));
    const expected = [told.p50_ms, told.p95_ms, told.p99_ms, told.average_processing_ms];
    assert.ok(shown?.every((ms, place) => Math.abs(ms - expected[place]) <= 0.06), `${tile} is not ${expected}`);
  }
  const label = await page.$eval(".chart", (chart) => chart.getAttribute("aria-label"));
  assert.ok(label.startsWith("Throughput: received "), label);
  clean(page);
});
