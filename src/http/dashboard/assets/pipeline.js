// The line of actors as a picture, its pools with their sizes, and the nodes, each of which can be looked at.

import { get, post, query } from "./api.js";
import { action, ask, badge, count, fill, h, notify } from "./dom.js";
import * as live from "./live.js";
import * as nodes from "./nodes.js";

const SIZE_MAX = 64;
/** Within this time after a change, what does not show it yet is older than it. */
const SETTLED_MS = 3000;
/** After this time a stream that was refused is tried again. */
const RETRIED_MS = 5000;

export async function show({ may, parameters }) {
  const state = { wanted: parameters.get("node") || null, own: null, foreign: null, source: null };
  const mayOperate = may("operate");
  const title = h("h1", null, "Pipeline");
  const [line, note, area] = [h("div"), h("p", { id: "note", hidden: true }), h("div", null, h("p", { class: "hint" }, "Waiting for the first look…"))];
  const all = nodes.list();
  const picker = nodes.picker((key) => {
    state.wanted = key;
    // The page stays as it is, and with it the focus in the list of nodes.
    history.replaceState(null, "", key === null ? "#/pipeline" : `#/pipeline?${query({ node: key })}`);
    again();
  });
  const built = {};

  /** Whether the node that serves the page is wanted; as long as it is not known, only if no other is named. */
  function isOwn() {
    const own = state.own?.nodes?.find((node) => node.this);
    return state.wanted === null || state.wanted === state.own?.node.boot_id || (own && state.wanted === nodes.keyOf(own, state.own.nodes));
  }

  function draw(view) {
    const known = view.snapshot && nodes.describeSnapshot(view);
    fill(title, "Pipeline of node ", view.node.name);
    note.hidden = !known;
    note.className = known?.isOld ? "error" : "hint";
    fill(note, known?.lines);
    drawLine({ area, line, built }, view, { mayOperate, again, isForeign: Boolean(known), isStopped: known?.state === "stopped" });
    area.classList.toggle("old", Boolean(known?.isOld));
    built.wanted = state.wanted;
  }

  // The line of another node comes over a stream of its own.
  function follow() {
    const wanted = isOwn() ? null : state.wanted;
    if (state.followed === wanted) return;
    state.source?.close();
    clearTimeout(state.retry);
    Object.assign(state, { followed: wanted, source: null, foreign: null });
    if (wanted === null) return;
    const path = `pipeline?${query({ node: wanted })}`;
    const source = new EventSource(`/api/live/${path}`);
    state.source = source;
    source.addEventListener("pipeline", (message) => {
      state.foreign = JSON.parse(message.data);
      draw(state.foreign);
    });
    source.addEventListener("doubt", (message) => doubt(JSON.parse(message.data).detail));
    // A stream does not say why it failed; the answer to a plain request does.
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED || source !== state.source) return;
      get(`/api/${path}`).catch((error) => source === state.source && doubt(error.message));
      state.retry = setTimeout(() => {
        state.followed = undefined;
        follow();
      }, RETRIED_MS);
    };
  }

  // What is drawn already stays, but nobody can say any longer that it is so.
  function doubt(text) {
    note.hidden = false;
    note.className = "error";
    fill(note, text);
    area.classList.add("old");
    if (built.wanted === state.wanted) return;
    fill(title, "Pipeline of node ", state.wanted);
    built.names = null;
    fill(line);
    fill(area);
  }

  function again() {
    follow();
    const view = isOwn() ? state.own : state.foreign;
    if (view) draw(view);
    drawNodes();
  }

  function drawNodes() {
    picker.update(state.own?.nodes ?? [], state.wanted);
    all.update(state.own?.nodes ?? [], state.own?.control_generation ?? 0);
  }

  drawNodes();
  const content = h("div", null, h("div", { class: "row between" }, title, h("div", { class: "row" }, picker.field, line)), note, area,
    mayOperate && h("p", { class: "hint" }, "Sizes, pauses and restarts are for every node."), all.card);
  const end = live.on("pipeline", (view) => {
    state.own = view;
    drawNodes();
    follow();
    if (isOwn()) draw(view);
  });
  follow();
  return { content, leave: () => { end(); state.source?.close(); clearTimeout(state.retry); } };
}

/** Whether every event passes the pool: those have a number of actors that can be changed. */
const isStage = (pool) => Boolean(pool.size);

// Buttons stay where they are while the figures change: keyboard focus stays there.
function drawLine({ area, line, built }, view, options) {
  const names = [view.node.boot_id, options.isForeign, ...view.pools.map((pool) => pool.name)].join(" ");
  if (built.names !== names) {
    built.names = names;
    built.facts = h("dl", { class: "tiles" });
    built.pools = new Map(view.pools.map((pool) => [pool.name, box(pool, options)]));
    built.line = pauseButton("the line", "/api/pipeline", options);
    fill(line, built.line.controls);
    const flow = h("ol", { class: "flow", "aria-label": "The line of actors" }, h("li", { class: "end" }, "Clients"),
      view.pools.filter(isStage).map((pool) => h("li", null, built.pools.get(pool.name).card)), h("li", { class: "end" }, "Database"));
    const sides = view.pools.filter((pool) => !isStage(pool)).map((pool) => built.pools.get(pool.name).card);
    fill(area, built.facts, flow, h("h2", null, "Beside the line"), h("div", { class: "sides" }, sides));
  }
  fill(built.facts, [
    ["In flight", count(view.in_flight.events), `${count(view.in_flight.bytes / 1024)} KiB`], ["Retries waiting", count(view.retries_waiting), "timers"],
    ["Claims held", count(view.claims_held), "events"], ["Generation", count(view.generation), "builds of the line"],
    ["Stale writes", count(view.stale_writes_rejected), "rejected"],
  ].map(([name, value, note]) => h("div", { class: "tile" }, h("dt", null, name), h("dd", null, value, " ", h("small", null, note)))));
  built.line.update(view.state, options.isStopped);
  for (const pool of view.pools) built.pools.get(pool.name).update(pool, options.isStopped);
}

/** The button that pauses what stands at `path`, or has it go on. */
function pauseButton(name, path, { mayOperate, again }) {
  const state = h("span");
  let isPaused = false;
  const button = action("Pause", async () => {
    await post(`${path}/${isPaused ? "resume" : "pause"}`);
    notify(`${name}: ${isPaused ? "going on" : "paused"}`);
    again();
  });
  /** What is wanted of it; of a node that has stopped nothing is. */
  function update(setting, isStopped) {
    isPaused = setting?.value === "paused";
    fill(state, setting && !isStopped && badge(setting.value), setting?.source === "pipeline" && isPaused && " with the line");
    button.textContent = isPaused ? "Resume" : "Pause";
    button.setAttribute("aria-label", `${button.textContent} ${name}`);
  }
  return { controls: h("div", { class: "size" }, state, mayOperate && button), update };
}

/** The button that has each actor of a pool replaced. */
function restart(name, again) {
  return action("Restart", async () => {
    const content = h("p", null, "Each of its actors is replaced, on every node. What they hold is worked on anew; no event is lost or charged for it.");
    if (await ask(`Restart ${name}?`, content, [["Restart", "yes", "danger"]]) !== "yes") return;
    await post(`/api/pipeline/pools/${name}/restart`);
    notify(`${name}: restarted`);
    again();
  }, { "aria-label": `Restart ${name}` });
}

function box(view, options) {
  const { mayOperate, isForeign, again } = options;
  const name = view.name;
  const isSizable = mayOperate && isStage(view);
  const pausing = view.state && pauseButton(name, `/api/pipeline/pools/${name}`, options);
  if (view.state && mayOperate) pausing.controls.append(restart(name, again));
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
    // The answer has the actors of the node that gave it.
    if (isForeign) resized(size);
    else update(view);
    setTimeout(again, SETTLED_MS);
    notify(`${name}: ${size} actors`);
  };
  const shrink = action("−", step(-1), { "aria-label": `Shrink ${name}` });
  const grow = action("+", step(1), { "aria-label": `Grow ${name}` });
  function resized(many) {
    wanted = many;
    size.textContent = wanted;
    // A button that is at its end says so, and retains the focus.
    shrink.setAttribute("aria-disabled", String(wanted <= 1));
    grow.setAttribute("aria-disabled", String(wanted >= SIZE_MAX));
  }
  function update(pool, isStopped) {
    const staying = pool.actors.filter((actor) => actor.state !== "leaving").length;
    // A look from before the change would make the next step start at the old size.
    if (Date.now() < changed.until && staying !== changed.size) return;
    resized(staying);
    pausing?.update(pool.state, isStopped);
    fill(held, pool.held > 0 && `${count(pool.held)} events wait for it to go on`);
    fill(actors, pool.actors.map((one) => actor(isStopped ? { ...one, state: "stopped" } : one)));
  }
  const controls = isSizable && h("div", { class: "size" }, shrink, size, grow, h("span", { class: "hint" }, "actors"));
  const card = h("section", { class: "card", "data-pool": name }, h("h2", null, name), pausing && pausing.controls, controls, held, actors);
  return { card, update };
}

function actor(view) {
  return h("li", { class: "actor", "data-restarts": view.restarts }, h("div", { class: "name" }, view.name, badge(view.state)),
    h("p", null, `${count(view.events)} events · mailbox ${count(view.mailbox)} · busy ${count(view.busy_ms / 1000)} s · restarts ${count(view.restarts)}`,
      view.panics > 0 && ` · panics ${count(view.panics)}`),
    view.last_error && h("p", null, "Last error: ", view.last_error));
}
