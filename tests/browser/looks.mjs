// Every page: how heavy it is, what axe says of it, whether it fits a phone, and what it looks like.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { clean, dashboard, libraries, logIn, open, play, shows, visit } from "./stage.mjs";

/** Bytes as they are sent, of all that the first page needs. */
const WEIGHT_MAX = 100_000;
const AXE = readFileSync(libraries.resolve("axe-core/axe.min.js"), "utf8");
const { BOOT, EVENT, SCREENSHOTS } = process.env;
const PAGES = [["overview", "#/", "Overview"], ["events", "#/events", "Events"], ["event", `#/events/${EVENT}`, `Event ${EVENT}`],
  ["pipeline", "#/pipeline", "Pipeline of node"], ["failures", "#/failures", "Failures"], ["jobs", "#/jobs", "Jobs"], ["tokens", "#/tokens", "Tokens"],
  ["users", "#/users", "Users"], ["audit", "#/audit", "Audit"], ["pipeline-stopped", `#/pipeline?node=${BOOT}`, "Pipeline of node"]];

async function weigh(page) {
  const client = await page.createCDPSession();
  await client.send("Network.enable");
  let bytes = 0;
  client.on("Network.loadingFinished", (loaded) => { bytes += loaded.encodedDataLength; });
  await page.setCacheEnabled(false);
  await page.reload();
  await shows(page, "h1", "Overview");
  await page.setCacheEnabled(true);
  assert.ok(bytes > 5_000 && bytes < WEIGHT_MAX, `the first page weighs ${bytes} bytes, limit ${WEIGHT_MAX}`);
  console.log(`the first page weighs ${bytes} bytes`);
}

async function examine(page, name) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => axe.run(document, { preload: false }));
  const bad = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  const told = bad.map((violation) => `${violation.id}: ${violation.nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n")}`);
  assert.deepEqual(told, [], `axe on ${name}`);
}

async function fits(page, name) {
  const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= seen, `${name} is ${wide} px wide on a phone of ${seen}`);
}

async function look(page, name, scheme) {
  await page.setViewport({ width: 1280, height: 800 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: "reduce" }]);
  await examine(page, `${name}, ${scheme}`);
  await page.screenshot({ path: `${SCREENSHOTS}/${name}-${scheme}.png` });
  await page.setViewport({ width: 375, height: 740 });
  await fits(page, name);
  await examine(page, `${name}, ${scheme}, on a phone`);
  if (scheme === "light") await page.screenshot({ path: `${SCREENSHOTS}/${name}-phone.png`, fullPage: true });
}

await play(async (browser) => {
  const stranger = await open(browser);
  await shows(stranger, "label", "Token");
  for (const scheme of ["light", "dark"]) await look(stranger, "login", scheme);
  await stranger.setViewport({ width: 1280, height: 800 });
  await logIn(stranger);
  const page = stranger;
  await shows(page, "h1", "Overview");
  await weigh(page);
  for (const [name, hash, heading] of PAGES) {
    await page.setViewport({ width: 1280, height: 800 });
    await visit(page, hash, heading);
    if (name === "overview" || name.startsWith("pipeline")) await shows(page, "#link", "live");
    if (name === "pipeline-stopped") await shows(page, "#note", "The node has stopped");
    for (const scheme of ["light", "dark"]) await look(page, name, scheme);
  }
  // By keyboard: the first stop is the way past the navigation.
  await page.goto(`${dashboard}/`);
  await shows(page, "h1", "Overview");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  clean(page);
});
