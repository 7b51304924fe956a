// All events: the newest as they are finished, others by filter; selected ones are retried or cancelled.

import { get, post, query } from "./api.js";
import { action, badge, cell, count, fill, h, moment, notify, table } from "./dom.js";

const STATUSES = ["pending", "processed", "validation_error", "failed", "cancelled", "duplicate"];
const SPANS = [["", "any time"], ["1", "last hour"], ["24", "last day"], ["168", "last week"], ["720", "last 30 days"]];
const ROWS_MAX = 200;
const DRAWN_EVERY_MS = 200;
/** These need no range of time: an index fits them. */
const FREE = ["failed", "validation_error"];

export async function show({ may, parameters }) {
  const state = { filter: Object.fromEntries(parameters), next: null, stream: null, isLive: true, unreadable: [] };
  const rows = new Map();
  const selected = new Set();
  const news = new Map();
  let drawing = null;
  const body = h("tbody", { id: "rows" });
  const summary = h("p", { class: "hint", role: "status" });
  const more = action("Older events", () => load(state.next));
  const pause = h("button", { type: "button", id: "live", "aria-pressed": "true", onclick: () => { state.isLive = !state.isLive; pause.setAttribute("aria-pressed", String(state.isLive)); restart(); } }, "Live");

  function row(event) {
    const isNew = !rows.has(event.id);
    const box = may("operate") && h("input", { type: "checkbox", checked: selected.has(event.id), "aria-label": `Select event ${event.id}`, onchange: (change) => {
      if (change.target.checked) selected.add(event.id);
      else selected.delete(event.id);
      buttons();
    } });
    const line = h("tr", { "data-id": event.id, class: isNew && state.stream && "fresh" },
      may("operate") && cell("Select", null, box), cell("Event", null, h("a", { href: `#/events/${event.id}` }, event.id)),
      cell("Name", { class: "text" }, event.event_name ?? "–"), cell("Type", { class: "text" }, event.event_type ?? "–"),
      cell("Status", null, badge(event.status)), cell("Error", { class: "text" }, event.error_code ?? "–"),
      cell("User", { class: "number" }, event.user_id), cell("Attempts", { class: "number" }, event.attempts),
      cell("Time", null, moment(event.processed_at ?? event.received_at)));
    return line;
  }

  function put(event, atTop) {
    const known = rows.get(event.id);
    const line = row(event);
    rows.set(event.id, line);
    if (known) known.replaceWith(line);
    else if (atTop) body.prepend(line);
    else body.append(line);
    if (atTop && rows.size > ROWS_MAX) {
      const oldest = body.lastElementChild;
      rows.delete(Number(oldest.dataset.id));
      selected.delete(Number(oldest.dataset.id));
      oldest.remove();
    }
  }

  async function load(cursor) {
    const page = await get(`/api/v1/events?${query({ ...requestParameters(state.filter), limit: 50, cursor })}`);
    for (const event of page.data) put(event, false);
    state.unreadable = [...(cursor ? state.unreadable : []), ...(page.unreadable ?? []).map((event) => event.id)];
    state.next = page.next_cursor;
    more.hidden = !state.next;
    showSummary();
  }

  function showSummary() {
    fill(summary, rows.size === 0 ? "No event matches." : `${count(rows.size)} shown`, state.next ? "; there are older ones." : ".",
      state.unreadable.length > 0 && ` Events that cannot be read: ${state.unreadable.join(", ")}.`, state.isTooMuch && " More happens than can be shown: these are the newest of each moment.");
  }

  async function restart() {
    state.stream?.close();
    state.stream = null;
    state.isTooMuch = false;
    rows.clear();
    news.clear();
    selected.clear();
    buttons();
    body.replaceChildren();
    // The stream first: what happens between the two is shown by both.
    if (state.isLive) listen();
    await load();
  }

  function listen() {
    const { hours, ...filter } = state.filter;
    const stream = new EventSource(`/api/live/events?${query(filter)}`);
    const again = () => restart().catch((error) => notify(error.message));
    stream.addEventListener("outcomes", (message) => {
      const { outcomes, complete } = JSON.parse(message.data);
      for (const event of outcomes) {
        news.delete(event.id);
        news.set(event.id, event);
      }
      state.isTooMuch = !complete;
      drawing ??= setTimeout(drawNews, DRAWN_EVERY_MS);
    });
    stream.addEventListener("gap", again);
    // What happened while the connection was lost is in the list.
    stream.onopen = () => {
      if (stream.wasOpen) again();
      stream.wasOpen = true;
    };
    state.stream = stream;
  }

  function drawNews() {
    drawing = null;
    for (const event of news.values()) put(event, true);
    news.clear();
    showSummary();
  }

  async function change(what) {
    let done = 0;
    const problems = new Map();
    for (const id of [...selected].sort((a, b) => a - b)) {
      try {
        await post(`/api/v1/events/${id}/${what}`);
        done += 1;
      } catch (error) {
        problems.set(error.message, (problems.get(error.message) ?? 0) + 1);
      }
      await refresh(id);
    }
    selected.clear();
    buttons();
    for (const box of body.querySelectorAll("input:checked")) box.checked = false;
    notify(`${what}: ${done} done${[...problems].map(([text, times]) => `; ${times} not: ${text}`).join("")}`);
  }

  async function refresh(id) {
    const event = await get(`/api/v1/events/${id}`).catch(() => null);
    if (event && rows.has(id)) put(event, false);
  }

  const retry = action("Retry", () => change("retry").finally(buttons), { id: "retry" });
  const cancel = action("Cancel", () => change("cancel").finally(buttons), { id: "cancel", class: "danger" });
  const chosen = h("span", { class: "hint", role: "status" });
  function buttons() {
    retry.disabled = cancel.disabled = selected.size === 0;
    chosen.textContent = selected.size === 0 ? "Select events to retry or cancel them." : `${selected.size} selected`;
  }
  buttons();

  const form = filters(state.filter, (filter) => { state.filter = filter; return restart(); });
  const columns = [may("operate") && "Select", "Event", "Name", "Type", "Status", "Error", "#User", "#Attempts", "Time"].filter(Boolean);
  const content = h("div", null, h("div", { class: "row between" }, h("h1", null, "Events"), pause), form,
    may("operate") && h("div", { class: "row acts" }, retry, cancel, chosen),
    h("section", { class: "card" }, table("Events, the newest first", columns, body), summary, more));
  await restart();
  return { content, leave: () => { state.stream?.close(); clearTimeout(drawing); } };
}

/** The parameters of the list for what is in the form. */
function requestParameters({ hours, ...filter }) {
  const needsRange = filter.event_type || (filter.error_code && !FREE.includes(filter.status)) || (filter.status && !FREE.includes(filter.status));
  const span = hours || (needsRange && !FREE.includes(filter.status) ? "24" : "");
  return { ...filter, received_after: span && new Date(Date.now() - Number(span) * 3_600_000).toISOString() };
}

function filters(now, apply) {
  const field = (name, label, input) => h("div", { class: "field" }, h("label", { for: `f-${name}` }, label), Object.assign(input, { id: `f-${name}`, name }));
  const text = (name, label, attributes) => field(name, label, h("input", { size: 14, maxlength: 255, value: now[name] ?? "", ...attributes }));
  const choice = (name, label, options) => field(name, label, h("select", null, options.map(([value, shown]) => h("option", { value, selected: now[name] === value }, shown))));
  const form = h("form", { class: "row card", role: "search", "aria-label": "Filter events", onsubmit: (submit) => {
    submit.preventDefault();
    const given = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
    if (given.id) location.hash = `#/events/${encodeURIComponent(given.id)}`;
    else { delete given.id; apply(given).catch((error) => notify(error.message)); }
  } }, text("id", "Event id", { inputmode: "numeric", size: 8 }), choice("status", "Status", [["", "any"], ...STATUSES.map((status) => [status, status])]),
  text("event_name", "Name"), text("event_type", "Type"), text("user_id", "User id", { inputmode: "numeric", size: 6 }), text("error_code", "Error code"),
  choice("hours", "Received", SPANS), h("button", { type: "submit", class: "primary" }, "Show"),
  h("button", { type: "button", onclick: () => { for (const input of form.querySelectorAll("input, select")) input.value = ""; form.requestSubmit(); } }, "Reset"));
  return form;
}
