// What every script shares: a browser that somebody has logged in with, and waits for what a page shows.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";

const { DASHBOARD, API, TOKEN, LIBRARIES, SCREENSHOTS, PROFILE, SANDBOX } = process.env;
export const libraries = createRequire(`${LIBRARIES}/package.json`);
const { default: puppeteer } = await import(libraries.resolve("puppeteer-core")).then((module) => ({ default: module.default ?? module }));

/** Longest wait for something that a page should show at once. */
const SOON = 20_000;

export const dashboard = DASHBOARD;

/** Runs `scene` with a browser, which is closed whatever happens. */
export async function play(scene) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const args = ["--no-first-run", "--disable-extensions", "--disable-dev-shm-usage", "--no-proxy-server", ...(SANDBOX ? [] : ["--no-sandbox"])];
  const browser = await puppeteer.launch({ executablePath: "/usr/bin/chromium", headless: true, args, userDataDir: PROFILE });
  try {
    await scene(browser);
  } finally {
    await browser.close();
  }
  console.log("passed");
}

/** A page that notes what it must never have: errors, refused loads, violations of its policy. */
export async function open(browser, path = "/") {
  const page = await browser.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && !text.includes("status of 401") && !text.includes("status of 404")) page.faults.push(`console: ${text}`);
  });
  await page.evaluateOnNewDocument(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`violation of ${event.violatedDirective} by ${event.blockedURI}`));
  });
  await page.setViewport({ width: 1280, height: 800 });
  await page.goto(`${DASHBOARD}${path}`);
  return page;
}

/** Logs in with a token; the page is the overview afterwards, or what the token may see. */
export async function logIn(page, token = TOKEN) {
  await page.waitForSelector("#token");
  await page.type("#token", token);
  await Promise.all([page.waitForNavigation(), page.click("button[type=submit]")]);
}

/** A page of somebody who is logged in. */
export async function enter(browser, token = TOKEN) {
  const page = await open(browser);
  await logIn(page, token);
  await page.waitForSelector("#nav a");
  return page;
}

/** Goes to a page of the dashboard and waits until it is there. */
export async function visit(page, hash, heading) {
  await page.evaluate((to) => { location.hash = to; }, hash);
  await shows(page, "h1", heading);
}

/** Waits until some element of this kind has this text. */
export async function shows(page, selector, text) {
  const seen = (kind, wanted) => [...document.querySelectorAll(kind)].some((element) => element.textContent.includes(wanted));
  try {
    await page.waitForFunction(seen, { timeout: SOON, polling: 50 }, selector, text);
  } catch {
    const all = await page.evaluate(() => document.body.innerText);
    assert.fail(`no ${selector} shows ${JSON.stringify(text)} in:\n${all}\n${page.faults.join("\n")}`);
  }
}

/** Waits until no element of this kind has this text. */
export async function hides(page, selector, text) {
  const gone = (kind, wanted) => ![...document.querySelectorAll(kind)].some((element) => element.textContent.includes(wanted));
  await page.waitForFunction(gone, { timeout: SOON, polling: 50 }, selector, text);
}

/** Presses the button of this name, as the accessibility tree has it. */
export async function press(page, name, within = "body") {
  const button = await page.waitForSelector(`${within} ::-p-aria([name="${name}"][role="button"])`, { timeout: SOON });
  await button.click();
}

/** Posts an event to the API, as a program would. */
export async function post(event, api = API) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${TOKEN}` };
  const answer = await fetch(`${api}/api/v1/events`, { method: "POST", headers, body: JSON.stringify(event) });
  return (await answer.json()).event_id;
}

/** Asserts that nothing went wrong on the page so far. */
export function clean(page) {
  assert.deepEqual(page.faults, []);
}
