// Elements out of code. Text from outside only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "indeterminate") element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** An element of HTML. */
export function h(name, attributes, ...children) {
  return build(document.createElement(name), attributes, children);
}

/** An element of SVG. */
export function s(name, attributes, ...children) {
  return build(document.createElementNS(SVG, name), attributes, children);
}

/** Gives `element` other children. */
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

const TONES = {
  processed: "good", running: "good", alive: "good", valid: "good", done: "good", ready: "good", active: "good",
  failed: "bad", validation_error: "bad", silent: "bad", revoked: "bad", disabled: "bad",
  pending: "wait", restarting: "wait", leaving: "wait", paused: "wait", old: "wait",
};

/** A state as a badge; its word is the message, its colour only a help. */
export function badge(state) {
  return h("span", { class: `badge ${TONES[state] ?? ""}` }, state);
}

/** A moment as people write it, with the exact one beside it. */
export function moment(text) {
  if (!text) return "–";
  const date = new Date(text);
  const today = date.toDateString() === new Date().toDateString();
  const shown = today ? date.toLocaleTimeString("en-GB") : `${date.toLocaleDateString("en-CA")} ${date.toLocaleTimeString("en-GB")}`;
  return h("time", { datetime: text, title: text }, shown);
}

/** A number with its thousands apart; a small one to a digit more. */
export function count(number) {
  return typeof number === "number" ? number.toLocaleString("en-US", { maximumFractionDigits: Math.abs(number) < 1 ? 2 : 1 }) : "–";
}

/** A share as percent. */
export function percent(part, whole) {
  return whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "–";
}

/** A cell of a table; on a phone it says which column it is. */
export function cell(label, attributes, ...children) {
  return h("td", { "data-label": label, ...attributes }, ...children);
}

/** A table with its header; `columns` are texts, those of numbers begin with #. */
export function table(caption, columns, body, cards = true) {
  const heads = columns.map((text) => h("th", { scope: "col", class: text.startsWith("#") && "number" }, text.replace("#", "")));
  const inner = h("table", { class: cards && "cards" }, h("caption", null, caption), h("thead", null, h("tr", null, heads)), body);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, inner);
}

/** A short message that goes by itself. */
export function notify(text) {
  const note = h("p", null, text);
  document.getElementById("notices").append(note);
  setTimeout(() => note.remove(), 6000);
}

/** Runs what a button does: it is off meanwhile, and says what went wrong. */
export function action(label, run, attributes = {}) {
  const button = h("button", { type: "button", ...attributes, onclick: async () => {
    button.disabled = true;
    try {
      await run();
    } catch (error) {
      notify(error.message);
    } finally {
      button.disabled = false;
    }
  } }, label);
  return button;
}

/** A dialog with this content; resolves to what the pressed button stands for, or null. */
export function ask(title, content, buttons) {
  return new Promise((resolve) => {
    let answer = null;
    const id = `dialog-${Math.random().toString(36).slice(2)}`;
    const dialog = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title), content);
    const choose = (value) => () => { answer = value; dialog.close(); };
    const offered = buttons.map(([label, value, style]) => h("button", { type: "button", class: style, onclick: choose(value) }, label));
    dialog.append(h("div", { class: "row" }, h("button", { type: "button", onclick: () => dialog.close() }, "Close"), offered));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(answer); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
