// Which node's line is shown: the one that serves the page, or another one as it was last published.

import { badge, cell, count, fill, h, moment, table } from "./dom.js";

/** How a node is requested: by its name where that is clear, else by its boot. */
export function keyOf(node, nodes) {
  const named = nodes.filter((other) => other.name === node.name);
  const alive = named.filter((other) => other.state === "alive");
  const first = alive[0] ?? named.find((other) => other.state === "silent") ?? named[0];
  return first === node && alive.length < 2 ? node.name : node.boot_id;
}

/** A choice of nodes, each with its state; `choose` is called with the key of the chosen one, or null for the one that serves the page. */
export function picker(choose) {
  const select = h("select", { id: "node", onchange: () => choose(select.value || null) });
  let drawn = "";
  /** Shows these nodes, of which `wanted` is chosen; what is as it was is left alone, since somebody may have it open. */
  function update(nodes, wanted) {
    const options = nodes.map((node) => [node.this ? "" : keyOf(node, nodes), label(node, nodes), node]);
    const found = options.find(([key, , node]) => key === wanted || node.boot_id === wanted || (node.this && (wanted === null || keyOf(node, nodes) === wanted)));
    if (!found) options.push([wanted ?? "", wanted === null ? "this one" : `${wanted}, unknown`]);
    const text = JSON.stringify(options.map(([key, shown]) => [key, shown]));
    if (text !== drawn) fill(select, options.map(([key, shown]) => h("option", { value: key }, shown)));
    drawn = text;
    select.value = found ? found[0] : wanted ?? "";
  }
  return { field: h("div", { class: "field" }, h("label", { for: "node" }, "Node"), select), update };
}

function label(node, nodes) {
  // Where the name does not say which one it is, its start does.
  const start = keyOf(node, nodes) === node.name ? "" : `, started ${node.started_at.slice(0, 19).replace("T", " ")} UTC`;
  return `${node.name}${node.this ? " (this one)" : ""}, ${node.state}${start}`;
}

/** The nodes as a table; the name of each leads to its line. */
export function list() {
  const body = h("tbody");
  let drawn = "";
  function update(nodes, generation) {
    const newest = Math.max(generation, ...nodes.map((node) => node.control_generation));
    // Keyboard focus stays on a link while nothing changes.
    const text = JSON.stringify([nodes.map((node) => [node.boot_id, node.state, node.control_generation, node.claims, node.spool_events, node.this]), newest]);
    if (text === drawn) return;
    drawn = text;
    fill(body, nodes.map((node) => h("tr", { "data-boot": node.boot_id },
      cell("Node", { class: "text" }, h("span", null, h("a", { href: node.this ? "#/pipeline" : `#/pipeline?node=${encodeURIComponent(keyOf(node, nodes))}` }, node.name), node.this && " (this one)")),
      cell("State", null, badge(node.state)), cell("Controls applied", { class: "number" }, `${count(node.control_generation)} of ${count(newest)}`),
      cell("Claims", { class: "number" }, count(node.claims)), cell("Spooled", { class: "number" }, count(node.spool_events)), cell("Started", null, moment(node.started_at)))));
  }
  const columns = ["Node", "State", "#Controls applied", "#Claims", "#Spooled", "Started"];
  return { card: h("section", { class: "card" }, h("h2", null, "Nodes"), table("Every node of the cluster", columns, body)), update };
}

/** A span of milliseconds as people say it. */
function span(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** What has to be known of the snapshot of another node: how old it is, and whether it can still be true. */
export function describeSnapshot(view) {
  const node = (view.nodes ?? []).find((known) => known.boot_id === view.node.boot_id);
  const { age_ms: age, is_old: isOld } = view.snapshot;
  const state = node?.state ?? "unknown";
  const doubts = state === "stopped" ? "The node has stopped: this is its last report."
    : state === "silent" ? "The node is silent: this is its last report." : isOld && "This is old: the node has reported nothing since.";
  return { state, isOld: isOld || state !== "alive", lines: [badge(state), isOld && [" ", badge("old")], ` As reported by the node ${span(age)} ago. `, doubts] };
}
