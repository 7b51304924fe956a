// The line of actors as a picture, its pools with their sizes, and the nodes.

import { post } from "./api.js";
import { action, badge, cell, count, fill, h, moment, notify, table } from "./dom.js";
import * as live from "./live.js";

const LINE = ["validators", "normalizers", "persisters"];
const SIZE_MAX = 64;
/** Within this time after a change, what does not show it yet is older than it. */
const SETTLED_MS = 3000;

export async function show({ may }) {
  const content = h("div", null, h("h1", null, "Pipeline"), h("p", { class: "hint" }, "Waiting for the first look…"));
  const built = {};
  const leave = live.on("pipeline", (view) => draw(content, built, view, may("operate")));
  return { content, leave };
}

// Buttons stay where they are while the figures change: who is on one with the keyboard stays there.
function draw(content, built, view, mayResize) {
  const names = view.pools.map((pool) => pool.name).join(" ");
  if (built.names !== names) {
    built.names = names;
    built.facts = h("dl", { class: "tiles" });
    built.pools = new Map(view.pools.map((pool) => [pool.name, box(pool, mayResize)]));
    built.line = brake("the line", "/api/pipeline", mayResize);
    built.nodes = h("tbody");
    const flow = h("ol", { class: "flow", "aria-label": "The line of actors" }, h("li", { class: "end" }, "Clients"),
      LINE.map((name) => built.pools.has(name) && h("li", null, built.pools.get(name).card)), h("li", { class: "end" }, "Database"));
    const sides = view.pools.filter((pool) => !LINE.includes(pool.name)).map((pool) => built.pools.get(pool.name).card);
    fill(content, h("div", { class: "row between" }, h("h1", null, "Pipeline of node ", view.node.name), built.line.controls), built.facts, flow, h("h2", null, "Beside the line"), h("div", { class: "sides" }, sides),
      h("section", { class: "card" }, h("h2", null, "Nodes"),
        table("Every node of the cluster", ["Node", "State", "#Controls applied", "#Claims", "#Spooled", "Started"], built.nodes)));
  }
  fill(built.facts, [
    ["In flight", count(view.in_flight.events), `${count(view.in_flight.bytes / 1024)} KiB`], ["Retries waiting", count(view.retries_waiting), "timers"],
    ["Claims held", count(view.claims_held), "events"], ["Generation", count(view.generation), "builds of the line"],
    ["Stale writes", count(view.stale_writes_rejected), "rejected"],
  ].map(([name, value, note]) => h("div", { class: "tile" }, h("dt", null, name), h("dd", null, value, " ", h("small", null, note)))));
  built.line.tell(view.state);
  for (const pool of view.pools) built.pools.get(pool.name).tell(pool);
  fill(built.nodes, (view.nodes ?? []).map((node) => h("tr", null, cell("Node", { class: "text" }, node.name, node.this && " (this one)"), cell("State", null, badge(node.state)),
    cell("Controls applied", { class: "number" }, `${count(node.control_generation)} of ${count(view.control_generation)}`),
    cell("Claims", { class: "number" }, count(node.claims)), cell("Spooled", { class: "number" }, count(node.spool_events)), cell("Started", null, moment(node.started_at)))));
}

/** The button that pauses what stands at `path`, or has it go on. */
function brake(name, path, mayOperate) {
  const state = h("span");
  let isPaused = false;
  const button = action("Pause", async () => {
    await post(`${path}/${isPaused ? "resume" : "pause"}`);
    notify(`${name}: ${isPaused ? "going on" : "paused"}`);
    live.again("pipeline");
  });
  function tell(setting) {
    isPaused = setting?.value === "paused";
    fill(state, setting && badge(setting.value), setting?.source === "pipeline" && isPaused && " with the line");
    button.textContent = isPaused ? "Resume" : "Pause";
    button.setAttribute("aria-label", `${button.textContent} ${name}`);
  }
  return { controls: h("div", { class: "size" }, state, mayOperate && button), tell };
}

function box(view, mayOperate) {
  const name = view.name;
  const isSizable = mayOperate && LINE.includes(name);
  const brakes = view.state && brake(name, `/api/pipeline/pools/${name}`, mayOperate);
  const held = h("p", { class: "hint" });
  const actors = h("ul", { class: "actors" });
  const size = h("output", { "aria-label": `Actors in ${name}` });
  let wanted = 0;
  let changed = { until: 0 };
  const step = (by) => async () => {
    const size = wanted + by;
    if (size < 1 || size > SIZE_MAX) return;
    const view = await post(`/api/pipeline/pools/${name}`, { size });
    changed = { size, until: Date.now() + SETTLED_MS };
    tell(view);
    setTimeout(() => live.again("pipeline"), SETTLED_MS);
    notify(`${name}: ${size} actors`);
  };
  const shrink = action("−", step(-1), { "aria-label": `Shrink ${name}` });
  const grow = action("+", step(1), { "aria-label": `Grow ${name}` });
  function tell(pool) {
    const staying = pool.actors.filter((actor) => actor.state !== "leaving").length;
    // A look from before the change would make the next step start at the old size.
    if (Date.now() < changed.until && staying !== changed.size) return;
    wanted = staying;
    brakes?.tell(pool.state);
    fill(held, pool.held > 0 && `${count(pool.held)} events wait for it to go on`);
    size.textContent = wanted;
    // A button that is at its end says so, and keeps the focus.
    shrink.setAttribute("aria-disabled", String(wanted <= 1));
    grow.setAttribute("aria-disabled", String(wanted >= SIZE_MAX));
    fill(actors, pool.actors.map(actor));
  }
  const controls = isSizable && h("div", { class: "size" }, shrink, size, grow, h("span", { class: "hint" }, "actors"));
  const card = h("section", { class: "card", "data-pool": name }, h("h2", null, name), brakes && brakes.controls, controls, held, actors);
  return { card, tell };
}

function actor(view) {
  return h("li", { class: "actor" }, h("div", { class: "name" }, view.name, badge(view.state)),
    h("p", null, `${count(view.events)} events · mailbox ${count(view.mailbox)} · busy ${count(view.busy_ms / 1000)} s · restarts ${count(view.restarts)}`,
      view.panics > 0 && ` · panics ${count(view.panics)}`),
    view.last_error && h("p", null, "Last error: ", view.last_error));
}
