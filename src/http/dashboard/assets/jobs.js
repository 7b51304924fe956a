// Replays and cancellations of many events, and how far they are.

import { get, post } from "./api.js";
import { action, badge, cell, count, fill, h, moment, notify, table } from "./dom.js";
import * as live from "./live.js";

export async function show() {
  const body = h("tbody", { id: "jobs" });
  const state = { isRunning: false, isAsking: false };
  const none = h("p", { hidden: true }, "No job was made yet. The page Failures makes them.");
  async function load() {
    if (state.isAsking) return;
    state.isAsking = true;
    try {
      const page = await get("/api/v1/jobs?limit=50");
      state.isRunning = page.data.some((job) => job.status === "running");
      fill(body, page.data.map((job) => row(job, load)));
      none.hidden = page.data.length > 0;
    } finally {
      state.isAsking = false;
    }
  }
  await load();
  // While one runs, each push of figures is the sign to look.
  const leave = live.on("figures", () => { if (state.isRunning) load().catch((error) => notify(error.message)); });
  const columns = ["Job", "Kind", "Status", "Filter", "#Matched", "#Changed", "#Skipped", "#Refused", "Began", "Act"];
  const content = h("div", null, h("h1", null, "Jobs"), h("section", { class: "card" }, table("Jobs, the newest first", columns, body), none));
  return { content, leave };
}

function row(job, load) {
  const filter = Object.entries(job.filter).map(([name, value]) => `${name}: ${value}`).join(", ");
  const refused = Object.values(job.refused).reduce((all, times) => all + times, 0);
  const codes = Object.entries(job.refused).map(([code, times]) => `${code} ${times}`).join(", ");
  return h("tr", { "data-id": job.id }, cell("Job", null, job.id), cell("Kind", null, job.kind, job.patch && " with a patch"),
    cell("Status", null, badge(job.status), job.error && ` ${job.error}`), cell("Filter", { class: "text" }, filter),
    cell("Matched", { class: "number" }, count(job.matched)), cell("Changed", { class: "number" }, count(job.changed)), cell("Skipped", { class: "number" }, count(job.skipped)),
    cell("Refused", { class: "number" }, count(refused), codes && ` (${codes})`), cell("Began", null, moment(job.created_at)),
    cell("Act", null, job.status === "running" ? action("Stop", () => post(`/api/v1/jobs/${job.id}/cancel`).then(load), { class: "danger", "aria-label": `Stop job ${job.id}` }) : "–"));
}
