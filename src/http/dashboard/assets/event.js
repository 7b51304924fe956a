// One event: its fields, payload beside properties, what happened to it, and why it is not processed yet.

import { getExact, post } from "./api.js";
import { action, ask, badge, fill, h, moment, notify } from "./dom.js";
import { difference, parse, pretty } from "./exact.js";

const REPLAYABLE = ["failed", "validation_error", "cancelled", "pending"];

export async function show({ id, may }) {
  const content = h("div");
  // Its changes are streamed: a retry is seen without polling.
  const stream = new EventSource(`/api/live/events/${encodeURIComponent(id)}`);
  async function load() {
    const [event, timeline] = await Promise.all([getExact(`/api/v1/events/${encodeURIComponent(id)}`), getExact(`/api/v1/events/${encodeURIComponent(id)}/timeline`)]);
    fill(content, view(event, timeline, may, load));
  }
  const refresh = () => load().catch((error) => notify(error.message));
  stream.addEventListener("changed", refresh);
  stream.addEventListener("gap", refresh);
  // What happened before the stream began is not in it.
  stream.addEventListener("open", refresh);
  try {
    await load();
  } catch (error) {
    stream.close();
    throw error;
  }
  return { content, leave: () => stream.close() };
}

function view(event, timeline, may, load) {
  const reason = why(event, timeline);
  const act = (what) => async () => {
    await post(`/api/v1/events/${event.id}/${what}`);
    notify(`${what} of event ${event.id}: done`);
    await load();
  };
  return [
    h("div", { class: "row between" }, h("h1", null, `Event ${event.id} `, badge(event.status)), may("operate") && h("div", { class: "row" },
      REPLAYABLE.includes(event.status) && action("Retry", act("retry"), { class: "primary" }),
      REPLAYABLE.includes(event.status) && action("Edit and retry", () => edit(event, load)),
      event.status === "pending" && action("Cancel", act("cancel"), { class: "danger" }))),
    reason && h("section", { class: "card", id: "why" }, h("h2", null, "Why it is not processed"), h("p", null, reason)),
    h("section", { class: "card" }, h("h2", null, "Fields"), h("dl", { class: "facts" }, fields(event))),
    h("div", { class: "two" },
      h("section", { class: "card" }, h("h2", null, "Payload"), h("pre", { id: "payload" }, pretty(event.payload))),
      h("section", { class: "card" }, h("h2", null, "Properties"), h("pre", { id: "properties" }, pretty(event.properties)))),
    h("section", { class: "card" }, h("h2", null, "Timeline"), h("ol", { class: "timeline" }, steps(timeline))),
  ];
}

function fields(event) {
  const known = [
    ["Name", event.event_name], ["Type", event.event_type], ["User", event.user_id], ["Key (event_uid)", event.event_uid],
    ["Task", event.task_id], ["Trace", event.trace_id], ["Error", event.processing_error], ["Error code", event.error_code], ["Attempts", event.attempts],
    ["Happened", event.timestamp && moment(event.timestamp)], ["Received", moment(event.received_at)],
    ["Next attempt", event.next_attempt_at && moment(event.next_attempt_at)], ["Processed", event.processed_at && moment(event.processed_at)],
    ["Sent again", event.repeats && [`${event.repeats} times, last `, moment(event.last_repeated_at)]],
    ["Duplicate of", event.duplicate_of && h("a", { href: `#/events/${event.duplicate_of}` }, event.duplicate_of)],
  ];
  return known.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [h("dt", null, name), h("dd", null, value)]);
}

function why(event, timeline) {
  const lastError = timeline.attempts.findLast((attempt) => attempt.error)?.error;
  switch (event.status) {
    case "processed": return null;
    case "validation_error": return `It was refused: ${event.processing_error}. Mend the payload and retry it.`;
    case "failed": return `It was given up after ${event.attempts} attempts (${event.error_code}): ${event.processing_error ?? lastError ?? "no reason is known"}.`;
    case "cancelled": return "Somebody called it off.";
    case "duplicate": return `Its key belongs to event ${event.duplicate_of}.`;
    default: {
      if (event.next_attempt_at && new Date(event.next_attempt_at) > new Date()) {
        return [`Attempt ${event.attempts + 1} is due at `, moment(event.next_attempt_at), lastError ? `, after: ${lastError}` : "."];
      }
      return lastError ? `It is due, or at work now. The last attempt failed: ${lastError}` : "It is due, or at work now: a node takes it as soon as it has room.";
    }
  }
}

function steps(timeline) {
  const all = [{ at: timeline.received_at, text: "Received" }];
  for (const attempt of timeline.attempts) {
    const where = [attempt.stage && `in ${attempt.stage}`, attempt.node && `on ${attempt.node}`].filter(Boolean).join(" ");
    all.push({ at: attempt.ended_at ?? attempt.started_at, text: `Attempt ${attempt.attempt} ${where}: ${attempt.outcome}${attempt.error ? ` – ${attempt.error}` : ""}` });
  }
  for (const change of timeline.changes) {
    const before = change.payload_before && h("details", null, h("summary", null, "Payload before"), h("pre", null, pretty(change.payload_before)));
    all.push({ at: change.at, text: `${change.action} by token or user ${change.by}${change.job_id ? `, job ${change.job_id}` : ""}${change.patched ? ", with a patch" : ""}`, before });
  }
  const end = timeline.processed_at ?? timeline.finished_at;
  if (end) all.push({ at: end, text: `Final: ${timeline.status}` });
  if (timeline.next_attempt_at) all.push({ at: timeline.next_attempt_at, text: "Next attempt" });
  all.sort((one, two) => (one.at ?? "").localeCompare(two.at ?? ""));
  return all.map(({ at, text, before }) => h("li", null, h("div", null, moment(at)), text, before));
}

/** Lets the payload be mended; what differs goes as a patch, everything else keeps its digits. */
export async function edit(event, done) {
  const text = h("textarea", { id: "edited", spellcheck: "false", value: pretty(event.payload ?? {}) });
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const content = h("div", null, h("label", { for: "edited" }, "Payload"), text, error);
  for (;;) {
    const answer = await ask(`Edit event ${event.id} and retry`, content, [["Retry with this payload", "retry", "primary"]]);
    if (answer !== "retry") return;
    try {
      const patch = difference(event.payload, parse(text.value));
      await post(`/api/v1/events/${event.id}/retry`, patch ? { patch } : undefined);
      notify(`Event ${event.id} is retried`);
      return await done();
    } catch (problem) {
      error.hidden = false;
      error.textContent = problem.message;
    }
  }
}

/** The event of this id with the digits of its payload. */
export const whole = (id) => getExact(`/api/v1/events/${id}`);
