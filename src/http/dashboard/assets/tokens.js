// Tokens: made, rotated, revoked. A secret is shown once.

import { get, post, query, remove } from "./api.js";
import { action, ask, badge, cell, fill, h, moment, notify, table } from "./dom.js";

const SCOPES = ["write", "read", "read:all", "write:all", "operate", "admin"];

export async function show({ session }) {
  const body = h("tbody", { id: "tokens" });
  const state = { withEnded: false };
  async function load() {
    const tokens = [];
    let cursor;
    do {
      const page = await get(`/api/v1/tokens?${query({ limit: 500, cursor })}`);
      tokens.push(...page.data);
      cursor = page.next_cursor;
    } while (cursor && tokens.length < 2000);
    const shown = tokens.filter((token) => state.withEnded || token.state === "valid").reverse();
    fill(body, shown.map((token) => row(token, session, load)));
  }
  await load();
  const ended = h("label", { class: "label" }, h("input", { type: "checkbox", onchange: (change) => { state.withEnded = change.target.checked; load().catch((error) => notify(error.message)); } }), " also those that have ended");
  const columns = ["Token", "Name", "#User", "Scopes", "State", "Used", "Ends", "Act"];
  const content = h("div", null, h("h1", null, "Tokens"), form(load),
    h("section", { class: "card" }, h("p", null, ended), table("Tokens, the newest first", columns, body)));
  return { content };
}

function row(token, session, load) {
  const isValid = token.state === "valid";
  const isSession = token.parent_id !== undefined;
  const revoke = async () => {
    const own = token.id === session.token_id ? " It is the session of this page." : "";
    if (await ask(`Revoke token ${token.id}?`, h("p", null, `Whoever uses ${token.prefix}… is refused from then on.${own}`), [["Revoke", "yes", "danger"]]) !== "yes") return;
    await remove(`/api/v1/tokens/${token.id}`);
    notify(`Token ${token.id} is revoked`);
    await load();
  };
  const rotate = async () => {
    const overlap = h("input", { id: "overlap", value: "1h", size: 6 });
    const content = h("div", { class: "field" }, h("label", { for: "overlap" }, "The old one goes on working for (0s ends it at once)"), overlap);
    if (await ask(`Rotate token ${token.id}`, content, [["Rotate", "yes", "primary"]]) !== "yes") return;
    const made = await post(`/api/v1/tokens/${token.id}/rotate`, { overlap: overlap.value.trim() });
    await reveal(made);
    await load();
  };
  return h("tr", { "data-id": token.id }, cell("Token", null, h("code", null, `${token.prefix}…`)), cell("Name", { class: "text" }, token.name || "–", isSession && ` (of token ${token.parent_id})`),
    cell("User", { class: "number" }, token.user_id), cell("Scopes", { class: "text" }, token.scopes.join(" ")), cell("State", null, badge(token.state)),
    cell("Used", null, moment(token.last_used_at)), cell("Ends", null, moment(token.expires_at)),
    cell("Act", null, isValid ? h("span", { class: "size" }, !isSession && action("Rotate", rotate, { "aria-label": `Rotate token ${token.id}` }), action("Revoke", revoke, { class: "danger", "aria-label": `Revoke token ${token.id}` })) : "–"));
}

async function reveal(made) {
  const secret = h("code", { id: "secret" }, made.token);
  await ask(`Token ${made.id}`, h("div", null, h("p", null, "This is the only time that it is shown."), h("p", null, secret)),
    [["Copy and close", "copy", "primary"]]).then((answer) => answer === "copy" && navigator.clipboard?.writeText(made.token));
}

function form(load) {
  const name = h("input", { id: "t-name", maxlength: 255, size: 16 });
  const user = h("input", { id: "t-user", inputmode: "numeric", size: 6 });
  const lasts = h("input", { id: "t-lasts", value: "90d", size: 6, "aria-describedby": "t-hint" });
  const boxes = SCOPES.map((scope) => h("input", { type: "checkbox", value: scope }));
  const field = (input, label) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
  return h("form", { class: "card", "aria-label": "Make a token", onsubmit: async (submit) => {
    submit.preventDefault();
    try {
      const scopes = boxes.filter((box) => box.checked).map((box) => box.value);
      const request = { scopes, name: name.value.trim() };
      if (user.value.trim()) request.user_id = Number(user.value.trim());
      if (lasts.value.trim()) request.expires_in = lasts.value.trim();
      await reveal(await post("/api/v1/tokens", request));
      await load();
    } catch (error) {
      notify(error.message);
    }
  } }, h("h2", null, "Make a token"), h("div", { class: "row" }, field(name, "Name"), field(user, "User id (empty: your own)"), field(lasts, "Lasts"),
    h("fieldset", null, h("legend", { class: "label" }, "Scopes"), SCOPES.map((scope, at) => h("label", null, boxes[at], scope))),
    h("button", { type: "submit", class: "primary" }, "Make")), h("p", { class: "hint", id: "t-hint" }, "How long it lasts, as 90d or 12h; empty: for ever."));
}
