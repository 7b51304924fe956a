// The overview: the newest figures, and their series.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { count, fill, h, percent } from "./dom.js";
import * as live from "./live.js";
import { percentiles } from "./times.js";

const WINDOWS = [["5m", "5 min"], ["1h", "1 h"], ["24h", "24 h"]];

export async function show() {
  let window = "5m";
  let series = await get(`/api/v1/stats/series?window=${window}`);
  const figures = {};
  const tiles = h("dl", { class: "tiles" });
  // A replay takes its event back from what it was: where more went than came, nothing is drawn.
  const perSecond = (many) => Math.max(0, many) / series.step_seconds;
  const charts = [
    chart("Throughput", "events per second", [
      ["received", (b) => perSecond(b.received), "line-in"], ["processed", (b) => perSecond(b.processed), "line-good"]]),
    chart("Trouble", "events per second", [["failed", (b) => perSecond(b.failed), "line-bad"],
      ["refused", (b) => perSecond(b.validation_error), "line-odd"], ["retried", (b) => perSecond(b.retried), "line-again"]]),
    chart("Processing time", "ms", [["p50", (b) => b.p50_ms, "line-in"], ["p95", (b) => b.p95_ms, "line-odd"],
      ["p99", (b) => b.p99_ms, "line-bad"]]),
  ];
  const picker = h("div", { class: "row", role: "group", "aria-label": "Window" }, WINDOWS.map(([value, label]) =>
    h("button", { type: "button", "data-window": value, "aria-pressed": String(value === window), onclick: () => choose(value) }, label)));

  function draw() {
    fill(tiles, facts(series, figures));
    for (const one of charts) one.draw(series.buckets);
  }

  async function load() {
    series = await get(`/api/v1/stats/series?window=${window}`);
    draw();
  }

  async function choose(value) {
    window = value;
    for (const button of picker.children) button.setAttribute("aria-pressed", String(button.dataset.window === value));
    await load();
  }

  let minute = null;
  const leave = live.on("figures", (news) => {
    Object.assign(figures, news);
    const now = news.buckets.at(-1).at.slice(0, 16);
    const isNewMinute = minute !== null && now !== minute;
    minute = now;
    if (series.step_seconds === news.step_seconds) merge(series.buckets, news.buckets);
    else if (isNewMinute) return load().catch(() => {});
    draw();
  });
  draw();
  const content = h("div", null, h("div", { class: "row between" }, h("h1", null, "Overview"), picker), tiles,
    h("div", { class: "two" }, charts.map((one) => one.figure)));
  return { content, leave };
}

// Buckets that are there get their new figures, later ones push the oldest out.
function merge(buckets, news) {
  for (const bucket of news) {
    const place = buckets.findIndex((known) => known.at === bucket.at);
    if (place >= 0) buckets[place] = bucket;
    else if (bucket.at > buckets.at(-1).at) {
      buckets.push(bucket);
      buckets.shift();
    }
  }
}

function facts(series, { pending, pending_and_more: isMore, spooled }) {
  const sum = (name) => series.buckets.reduce((all, bucket) => all + bucket[name], 0);
  const [processed, failed, refused, retried] = ["processed", "failed", "validation_error", "retried"].map(sum);
  const finished = processed + failed + refused;
  const minutes = (series.buckets.length * series.step_seconds) / 60;
  const worked = series.buckets.reduce((all, b) => all + (b.average_processing_ms ?? 0) * (b.processed + b.failed + b.validation_error), 0);
  const [p50, p95, p99] = percentiles(series, [0.5, 0.95, 0.99]).map((ms) => (ms === null ? "–" : `${count(ms)}\u00a0ms`));
  return [
    ["Processed", count(processed), `${count(processed / minutes)} per minute`],
    ["Failed", count(failed), `${percent(failed, finished)} of finished`],
    ["Refused", count(refused), "invalid events"],
    ["Retried", count(retried), `${percent(retried, finished + retried)} of attempts`],
    ["Pending now", isMore ? `${count(pending)}+` : count(pending), "in the database"],
    ["Spooled now", count(spooled), "on the disks of nodes"],
    ["Processing time", p50, `median; p95\u00a0${p95}, p99\u00a0${p99}, mean\u00a0${finished > 0 ? `${count(worked / finished)}\u00a0ms` : "–"}`],
  ].map(([name, value, note]) => h("div", { class: "tile", "data-figure": name }, h("dt", null, name), h("dd", null, value, " ", h("small", null, note))));
}
