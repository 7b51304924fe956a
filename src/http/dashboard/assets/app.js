// The shell: the user who is logged in, the page that is shown, and the one stream of updates.

import { get, post } from "./api.js";
import { fill, h, notify } from "./dom.js";
import * as live from "./live.js";
import * as audit from "./audit.js";
import * as event from "./event.js";
import * as events from "./events.js";
import * as failures from "./failures.js";
import * as jobs from "./jobs.js";
import * as overview from "./overview.js";
import * as pipeline from "./pipeline.js";
import * as tokens from "./tokens.js";
import * as users from "./users.js";

/** Path, title, module, and the scopes of which one opens it. */
const PAGES = [
  ["", "Overview", overview, ["read:all", "operate"]],
  ["events", "Events", events, ["read", "read:all"]],
  ["pipeline", "Pipeline", pipeline, ["read:all", "operate"]],
  ["failures", "Failures", failures, ["read", "read:all"]],
  ["jobs", "Jobs", jobs, ["operate"]],
  ["tokens", "Tokens", tokens, ["admin"]],
  ["users", "Users", users, ["admin"]],
  ["audit", "Audit", audit, ["admin"]],
];

const main = document.getElementById("main");
let session = null;
let leave = null;
let turn = 0;

function may(...scopes) {
  return scopes.some((scope) => session.scopes.includes(scope));
}

function page() {
  const [path, id] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/");
  const found = PAGES.find(([known]) => known === path);
  return path === "events" && id ? { path, title: `Event ${id}`, module: event, id, scopes: ["read", "read:all"] }
    : found && { path, title: found[1], module: found[2], scopes: found[3] };
}

async function show() {
  const mine = ++turn;
  leave?.();
  leave = null;
  const current = page();
  document.title = `${current?.title ?? "Not found"} – Gristmill`;
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.path === current?.path;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!current) return fill(main, h("h1", null, "There is no such page"));
  if (!may(...current.scopes)) {
    return fill(main, h("h1", null, current.title), h("p", { class: "error" }, `This token lacks the scope ${current.scopes.join(" or ")}.`));
  }
  fill(main, h("h1", null, current.title), h("p", { class: "hint" }, "Loading…"));
  try {
    const parameters = new URLSearchParams(location.hash.split("?")[1] ?? "");
    const shown = await current.module.show({ may, session, id: current.id, parameters });
    // The user has gone to another page meanwhile.
    if (mine !== turn) return shown.leave?.();
    leave = shown.leave ?? null;
    fill(main, shown.content);
  } catch (error) {
    if (mine === turn) fill(main, h("h1", null, current.title), h("p", { class: "error", role: "alert" }, error.message));
  }
}

async function begin() {
  session = await get("/api/session");
  document.getElementById("user").textContent = session.email;
  fill(document.getElementById("nav"), PAGES.filter(([, , , scopes]) => may(...scopes)).map(([path, title]) =>
    h("a", { href: `#/${path}`, "data-path": path }, title)));
  document.getElementById("logout").addEventListener("click", () => post("/logout").then(() => location.assign("/login"), (error) => notify(error.message)));
  const link = document.getElementById("link");
  if (may("read:all", "operate")) {
    const words = { on: "live", broken: "connecting", off: "paused" };
    live.connect((state) => { link.className = `link ${state}`; link.textContent = words[state]; });
  } else {
    link.hidden = true;
    if (location.hash === "" && may("read")) location.replace("#/events");
  }
  window.addEventListener("hashchange", () => { show(); main.focus(); window.scrollTo(0, 0); });
  await show();
}

begin().catch((error) => fill(main, h("p", { class: "error", role: "alert" }, error.message)));
