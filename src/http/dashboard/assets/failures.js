// What went wrong, by its code: one is retried, or mended, or a whole group as a job.

import { get, post } from "./api.js";
import { action, ask, badge, cell, count, fill, h, moment, notify, table } from "./dom.js";
import { edit, whole } from "./event.js";

const LIMIT = 200;
const SHOWN = 10;
const FAILURES = ["failed", "validation_error"];
const SOON_MS = 1000;
const BUSY_MS = 5000;

export async function show({ may }) {
  const groups = h("div");
  const shown = new Set();
  async function load() {
    const pages = await Promise.all(FAILURES.map((status) => get(`/api/v1/events?status=${status}&limit=${LIMIT}`)));
    const found = new Map();
    shown.clear();
    for (const event of pages.flatMap((page) => page.data)) {
      const key = `${event.status} ${event.error_code}`;
      shown.add(event.id);
      found.set(key, [...(found.get(key) ?? []), event]);
    }
    const unreadable = pages.flatMap((page) => page.unreadable ?? []);
    const isCut = pages.some((page) => page.next_cursor);
    const sorted = [...found.values()].sort((one, two) => two.length - one.length);
    fill(groups, isCut && h("p", { class: "hint" }, `Of the newest ${LIMIT} failed and the newest ${LIMIT} refused events.`),
      sorted.length + unreadable.length === 0 && h("p", null, "Nothing has failed."),
      unreadable.length > 0 && damaged(unreadable, may("operate"), load), sorted.map((events) => group(events, may("operate"), load)));
  }
  await load();
  const stream = new EventSource("/api/live/events");
  let due = null;
  // Many outcomes in a row are one look.
  const soon = (wait) => {
    due ??= setTimeout(() => { due = null; if (!document.querySelector("dialog[open]")) load().catch((error) => notify(error.message)); }, wait);
  };
  stream.addEventListener("outcomes", (message) => {
    const { outcomes, complete } = JSON.parse(message.data);
    if (outcomes.some((event) => FAILURES.includes(event.status) || shown.has(event.id))) soon(SOON_MS);
    // Among those that are not sent there may be failures.
    else if (!complete) soon(BUSY_MS);
  });
  stream.addEventListener("gap", () => soon(SOON_MS));
  stream.addEventListener("open", () => soon(SOON_MS));
  const content = h("div", null, h("h1", null, "Failures"), groups);
  return { content, leave: () => { stream.close(); clearTimeout(due); } };
}

function retry(id, load) {
  return action("Retry", () => post(`/api/v1/events/${id}/retry`).then(() => notify(`Event ${id} is retried`)).then(load), { "aria-label": `Retry event ${id}` });
}

/** Events that are there and cannot be read: once their rows are mended, a retry is what they need. */
function damaged(events, mayOperate, load) {
  const rows = events.map(({ id, detail }) => h("tr", null, cell("Event", null, id), cell("What is wrong", { class: "text" }, detail),
    mayOperate && cell("Act", null, h("span", { class: "size" }, retry(id, load)))));
  return h("section", { class: "card", "data-code": "unreadable" }, h("h2", null, `Cannot be read ${count(events.length)}`),
    table("Events that cannot be read", ["Event", "What is wrong", mayOperate && "Act"].filter(Boolean), h("tbody", null, rows)));
}

function group(events, mayOperate, load) {
  const [{ status, error_code: code }] = events;
  const rows = events.slice(0, SHOWN).map((event) => h("tr", null,
    cell("Event", null, h("a", { href: `#/events/${event.id}` }, event.id)), cell("Name", { class: "text" }, event.event_name ?? "–"),
    cell("Error", { class: "text" }, event.processing_error ?? "–"), cell("Received", null, moment(event.received_at)),
    mayOperate && cell("Act", null, h("span", { class: "size" },
      retry(event.id, load),
      action("Edit", async () => edit(await whole(event.id), load), { "aria-label": `Edit event ${event.id} and retry` })))));
  const columns = ["Event", "Name", "Error", "Received", mayOperate && "Act"].filter(Boolean);
  return h("section", { class: "card", "data-code": code }, h("div", { class: "row between" },
    h("h2", null, h("code", null, code ?? "no code"), " ", badge(status), ` ${count(events.length)}`),
    mayOperate && action(`Retry all with ${code ?? "no code"}`, () => retryAll(status, code))),
  table(`The newest with ${code}`, columns, h("tbody", null, rows)),
  events.length > SHOWN && h("p", null, h("a", { href: `#/events?status=${status}&error_code=${encodeURIComponent(code)}` }, "All of them")));
}

async function retryAll(status, code) {
  const filter = code === null ? { status } : { status, error_code: code };
  const look = await post("/api/v1/events/retry", { filter, dry_run: true });
  const many = look.complete === false ? `at least ${count(look.matched)}` : count(look.matched);
  const answer = await ask("Retry a group", h("p", null, `Retry ${many} events with ${status}${code ? `, ${code}` : ""}? It becomes a job.`), [["Retry them", "retry", "primary"]]);
  if (answer !== "retry") return;
  const job = await post("/api/v1/events/retry", { filter });
  notify(`Job ${job.id} runs`);
  location.hash = "#/jobs";
}
