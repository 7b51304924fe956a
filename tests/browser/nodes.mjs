// Two nodes on one database show the same events, wherever they were posted.

import { clean, dashboard, enter, play, post, shows, visit } from "./stage.mjs";

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
    clean(page);
  }
});

async function enterElsewhere(browser) {
  const page = await browser.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  await page.goto(`${OTHER_DASHBOARD}/#/events`);
  await shows(page, "h1", "Events");
  if (dashboard === OTHER_DASHBOARD) throw new Error("these are one node");
  return page;
}
