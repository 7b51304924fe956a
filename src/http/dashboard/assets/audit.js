// Who changed what, the newest first.

import { get, query } from "./api.js";
import { action, cell, count, fill, h, moment, notify, table } from "./dom.js";

const ACTIONS = ["user_created", "user_disabled", "user_enabled", "token_created", "token_rotated", "token_revoked",
  "session_opened", "session_closed", "events_replayed", "event_cancelled", "job_made", "job_stopped",
  "pipeline_paused", "pipeline_resumed", "pool_resized", "pool_restarted", "rows_removed", "rows_restored"];
const ROWS = 50;

export async function show({ parameters }) {
  const state = { filter: { action: parameters.get("action") ?? "", by_user: parameters.get("by_user") ?? "" }, next: null, shown: 0 };
  const emails = new Map();
  const body = h("tbody", { id: "audit" });
  const summary = h("p", { class: "hint", role: "status" });
  const more = action("Older entries", () => load(state.next));

  async function load(cursor) {
    const page = await get(`/api/v1/audit?${query({ ...state.filter, limit: ROWS, cursor })}`);
    await name(page.data, emails);
    body.append(...page.data.map((entry) => row(entry, emails)));
    state.next = page.next_cursor;
    state.shown += page.data.length;
    more.hidden = !state.next;
    fill(summary, state.shown === 0 ? "No entry matches." : `${count(state.shown)} shown`, state.next ? "; there are older ones." : ".");
  }

  async function restart(filter) {
    state.filter = filter;
    state.shown = 0;
    body.replaceChildren();
    await load();
    history.replaceState(null, "", `#/audit${query(filter) && `?${query(filter)}`}`);
  }

  const columns = ["When", "Who", "What", "Of what", "Detail", "Node"];
  const content = h("div", null, h("h1", null, "Audit"), filters(state.filter, restart),
    h("section", { class: "card" }, table("Changes, the newest first", columns, body), summary, more));
  await load();
  return { content };
}

// Entries have ids only, since a log holds no emails. Some hundred users are looked up at once.
async function name(entries, emails) {
  const isKnown = entries.every((entry) => entry.by_user === null || emails.has(entry.by_user));
  if (isKnown) return;
  let cursor;
  do {
    const page = await get(`/api/v1/users?${query({ limit: 500, cursor })}`);
    for (const user of page.data) emails.set(user.id, user.email);
    cursor = page.next_cursor;
  } while (cursor && emails.size < 2000);
}

function row(entry, emails) {
  const who = entry.by_user === null ? "a command on the machine"
    : [emails.get(entry.by_user) ?? "user", ` (${entry.by_user})`, entry.by_token !== null && `, token ${entry.by_token}`];
  return h("tr", { "data-id": entry.id, "data-action": entry.action }, cell("When", null, moment(entry.at)), cell("Who", { class: "text" }, who),
    cell("What", null, entry.action), cell("Of what", { class: "text" }, entry.object), cell("Detail", { class: "text" }, h("code", null, detail(entry.detail))),
    cell("Node", { class: "text" }, entry.node));
}

function detail(members) {
  const text = Object.entries(members).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");
  return text || "–";
}

function filters(now, apply) {
  const what = h("select", { id: "a-action", name: "action" }, [["", "any"], ...ACTIONS.map((known) => [known, known])].map(([value, shown]) =>
    h("option", { value, selected: now.action === value }, shown)));
  const who = h("input", { id: "a-user", name: "by_user", inputmode: "numeric", size: 6, value: now.by_user });
  const field = (input, label) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
  const form = h("form", { class: "row card", role: "search", "aria-label": "Filter the log", onsubmit: (submit) => {
    submit.preventDefault();
    apply({ action: what.value, by_user: who.value.trim() }).catch((error) => notify(error.message));
  } }, field(what, "What"), field(who, "By user id"), h("button", { type: "submit", class: "primary" }, "Show"),
  h("button", { type: "button", onclick: () => { what.value = ""; who.value = ""; form.requestSubmit(); } }, "Reset"));
  return form;
}
