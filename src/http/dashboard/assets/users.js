// Users: made, disabled and enabled. None is ever deleted: their events point at them.

import { get, patch, post, query } from "./api.js";
import { action, ask, badge, cell, count, fill, h, moment, notify, table } from "./dom.js";

const ROWS = 100;

export async function show({ session }) {
  const state = { next: null };
  const body = h("tbody", { id: "users" });
  const summary = h("p", { class: "hint", role: "status" });
  const more = action("More users", () => load(state.next));

  async function load(cursor) {
    const page = await get(`/api/v1/users?${query({ limit: ROWS, cursor })}`);
    body.append(...page.data.map((user) => row(user, session)));
    state.next = page.next_cursor;
    showSummary();
  }

  function showSummary() {
    more.hidden = !state.next;
    fill(summary, `${count(body.children.length)} shown`, state.next ? "; there are more." : ".");
  }

  function made(user) {
    notify(`${user.email} is user ${user.id}`);
    // On a page that is not there yet, it comes with its page.
    if (!state.next) body.append(row(user, session));
    showSummary();
  }

  await load();
  const columns = ["#User", "Email", "State", "Made", "Act"];
  const content = h("div", null, h("h1", null, "Users"), form(made),
    h("section", { class: "card" }, table("Users, by their id", columns, body), summary, more));
  return { content };
}

function row(user, session) {
  const isOwn = user.id === session.user_id;
  const change = async () => {
    const warning = isOwn ? " It is your own user: you are logged out, and only a command on the machine enables it again." : "";
    const content = h("p", null, `The tokens and sessions of ${user.email} are refused from then on, and so are its events.${warning}`);
    if (!user.disabled && await ask(`Disable user ${user.id}?`, content, [["Disable", "yes", "danger"]]) !== "yes") return;
    const changed = await patch(`/api/v1/users/${user.id}`, { disabled: !user.disabled });
    notify(`User ${user.id} is ${stateOf(changed)}`);
    const fresh = row(changed, session);
    line.replaceWith(fresh);
    fresh.querySelector("button").focus();
  };
  const verb = user.disabled ? "Enable" : "Disable";
  const line = h("tr", { "data-id": user.id }, cell("User", { class: "number" }, user.id), cell("Email", { class: "text" }, user.email, isOwn && " (you)"),
    cell("State", null, badge(stateOf(user))), cell("Made", null, moment(user.created_at)),
    cell("Act", null, h("span", { class: "size" }, action(verb, change, { class: !user.disabled && "danger", "aria-label": `${verb} user ${user.id}` }),
      h("a", { href: `#/audit?by_user=${user.id}`, "aria-label": `Changes of user ${user.id}` }, "Changes"))));
  return line;
}

function stateOf(user) {
  return user.disabled ? "disabled" : "active";
}

function form(made) {
  const email = h("input", { id: "u-email", maxlength: 254, size: 28, autocomplete: "off", spellcheck: "false" });
  return h("form", { class: "card", "aria-label": "Make a user", onsubmit: async (submit) => {
    submit.preventDefault();
    try {
      made(await post("/api/v1/users", { email: email.value.trim() }));
      email.value = "";
    } catch (error) {
      notify(error.message);
    }
  } }, h("h2", null, "Make a user"), h("div", { class: "row" }, h("div", { class: "field" }, h("label", { for: "u-email" }, "Email"), email),
    h("button", { type: "submit", class: "primary" }, "Make")), h("p", { class: "hint" }, "A user has no password: make it a token on the page Tokens."));
}
