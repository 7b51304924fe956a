// Two nodes on one database show the same events, wherever they were posted, and each the line of the other.

import assert from "node:assert/strict";
import { clean, dashboard, enter, play, post, press, shows, visit } from "./stage.mjs";

const { OTHER_DASHBOARD, OTHER_API } = process.env;
await play(async (browser) => {
  const one = await enter(browser);
  await visit(one, "#/events", "Events");
  // One session is good on both: a cookie belongs to a host, whatever the port.
  const other = await enterElsewhere(browser);
  for (const [api, name] of [[undefined, "posted-here"], [OTHER_API, "posted-there"]]) {
    const id = await post({ event_name: name, event_type: "a", payload: {} }, api);
    for (const page of [one, other]) {
      await page.bringToFront();
      await shows(page, `tr[data-id="${id}"]`, "processed");
    }
  }
  for (const page of [one, other]) {
    await page.bringToFront();
    await visit(page, "#/pipeline", "Pipeline of node");
    await shows(page, "table", "node-1");
    await shows(page, "table", "node-2");
  }
  await lookAcross(one, other);
  for (const page of [one, other]) clean(page);
});

/** What the actors of a pool are and have done. */
function actors(page, pool) {
  return page.$$eval(`[data-pool=${pool}] .actor`, (all) => all.map((one) => one.textContent.replace(/busy [\d.,]+ s/, "")));
}

/** On the page of node-1 somebody chooses node-2 with the keyboard, sees what its own page shows, and acts on both. */
async function lookAcross(one, other) {
  await one.bringToFront();
  await one.focus("#node");
  // The node that was started last stands first.
  await one.keyboard.press("ArrowUp");
  await shows(one, "h1", "Pipeline of node node-2");
  await shows(one, "#note", "As reported by the node");
  assert.equal(new URL(one.url()).hash, "#/pipeline?node=node-2");
  assert.equal(await one.evaluate(() => document.activeElement.id), "node", "who chooses stays in the list");
  await press(one, "Restart validators");
  await press(one, "Restart", "dialog");
  for (const page of [one, other]) {
    await page.bringToFront();
    await page.waitForFunction(() => document.querySelectorAll("[data-pool=validators] .actor[data-restarts='1']").length === 2);
  }
  await one.bringToFront();
  for (const pool of ["validators", "normalizers", "persisters"]) {
    const theirs = await actors(other, pool);
    assert.ok(theirs.length > 0 && theirs.some((text) => text.includes(" events")), theirs);
    await one.waitForFunction((name, wanted) => {
      const all = [...document.querySelectorAll(`[data-pool=${name}] .actor`)];
      return JSON.stringify(all.map((one) => one.textContent.replace(/busy [\d.,]+ s/, ""))) === wanted;
    }, { timeout: 20_000 }, pool, JSON.stringify(theirs));
  }
  await press(one, "Pause persisters");
  for (const page of [one, other]) {
    await page.bringToFront();
    await shows(page, "[data-pool=persisters]", "paused");
  }
  await one.bringToFront();
  await press(one, "Resume persisters");
  await shows(one, "[data-pool=persisters]", "running");
  await press(one, "Grow normalizers");
  await one.waitForFunction(() => document.querySelectorAll("[data-pool=normalizers] .actor").length === 3);
  // The choice is in the address: it is there after a reload, and the way back is in the table.
  await one.reload();
  await shows(one, "h1", "Pipeline of node node-2");
  await one.evaluate(() => [...document.querySelectorAll("table a")].find((link) => link.textContent === "node-1").click());
  await shows(one, "h1", "Pipeline of node node-1");
  await one.waitForFunction(() => document.querySelector("#note").hidden);
}

async function enterElsewhere(browser) {
  const page = await browser.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  await page.goto(`${OTHER_DASHBOARD}/#/events`);
  await shows(page, "h1", "Events");
  if (dashboard === OTHER_DASHBOARD) throw new Error("these are one node");
  return page;
}
