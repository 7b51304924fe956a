// Lines over time as SVG, and the same as a table for people who cannot see them.

import { count, fill, h, s } from "./dom.js";

const WIDTH = 420;
const HEIGHT = 190;
const LEFT = 48;
const BOTTOM = 22;
const TOP = 10;

/** A figure that can be given other points; `lines` are names with the way to a bucket's number, and how they are drawn. */
export function chart(title, unit, lines) {
  const plot = s("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const body = h("tbody");
  const heads = ["Time", ...lines.map(([name]) => name)].map((text) => h("th", { scope: "col" }, text));
  const numbers = h("details", null, h("summary", null, "As numbers"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, as numbers` },
      h("table", null, h("thead", null, h("tr", null, heads)), body)));
  const legend = h("ul", { class: "legend" }, lines.map(([name, , style]) => h("li", null,
    s("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, s("line", { class: style, x1: 0, x2: 26, y1: 5, y2: 5 })), name)));
  const figure = h("figure", { class: "card" }, h("figcaption", null, h("h2", null, `${title} (${unit})`)), plot, legend, numbers);
  return { figure, draw: (buckets) => draw(plot, body, numbers, title, lines, buckets) };
}

function draw(plot, body, numbers, title, lines, buckets) {
  const courses = lines.map(([, read]) => buckets.map(read));
  const most = nice(Math.max(0, ...courses.flat().filter((value) => value !== null)));
  const x = (at) => LEFT + (at / Math.max(1, buckets.length - 1)) * (WIDTH - LEFT - 8);
  const y = (value) => TOP + (1 - value / most) * (HEIGHT - TOP - BOTTOM);
  const grid = [0, 0.5, 1].map((part) => [
    s("line", { class: "grid", x1: LEFT, x2: WIDTH - 8, y1: y(part * most), y2: y(part * most) }),
    s("text", { x: LEFT - 6, y: y(part * most) + 4, "text-anchor": "end" }, count(part * most)),
  ]);
  const marks = [0, Math.floor((buckets.length - 1) / 2), buckets.length - 1].filter((at) => at >= 0).map((at, place) =>
    s("text", { x: x(at), y: HEIGHT - 5, "text-anchor": ["start", "middle", "end"][place] }, clock(buckets[at].at)));
  const drawn = courses.flatMap((course, line) => pieces(course).map((piece) =>
    s("polyline", { class: lines[line][2], points: piece.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ") })));
  fill(plot, grid, marks, drawn);
  const newest = lines.map(([name], at) => `${name} ${count(courses[at].findLast((value) => value !== null) ?? 0)}`);
  plot.setAttribute("aria-label", `${title}: ${newest.join(", ")} at last, at most ${count(most)}`);
  if (numbers.open || body.childElementCount === 0) fillNumbers(body, courses, buckets);
  numbers.ontoggle = () => fillNumbers(body, courses, buckets);
}

function fillNumbers(body, courses, buckets) {
  const rows = buckets.map((bucket, at) => h("tr", null, h("th", { scope: "row" }, clock(bucket.at)),
    courses.map((course) => h("td", { class: "number" }, count(course[at])))));
  fill(body, rows.reverse());
}

// A course without numbers has gaps; one number alone is drawn as a short stroke.
function pieces(course) {
  const found = [];
  let piece = [];
  for (const [at, value] of [...course.entries(), [course.length, null]]) {
    if (value !== null) piece.push([at, value]);
    else if (piece.length > 0) {
      found.push(piece.length > 1 ? piece : [[piece[0][0] - 0.3, piece[0][1]], [piece[0][0] + 0.3, piece[0][1]]]);
      piece = [];
    }
  }
  return found;
}

function nice(most) {
  if (most <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most);
}

function clock(text) {
  return new Date(text).toLocaleTimeString("en-GB");
}
