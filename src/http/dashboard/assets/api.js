// The same routes that every client has. The cookie stands for the token; changes carry the header that foreign pages
// cannot send.

import { parse } from "./exact.js";

/** What the server says is wrong. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? `the server answered ${status}`);
    this.status = status;
    this.code = body?.code;
  }
}

async function call(method, path, body, read = JSON.parse) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-Gristmill-Request"] = "1";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, credentials: "same-origin" });
  } catch {
    throw new Error("the server cannot be reached");
  }
  if (answer.status === 401) {
    location.assign("/login");
    throw new Error("the session has ended");
  }
  const text = await answer.text();
  if (!answer.ok) {
    let problem = null;
    try { problem = JSON.parse(text); } catch { /* the status says enough */ }
    throw new Problem(answer.status, problem);
  }
  return text ? read(text) : null;
}

/** Reads. */
export const get = (path) => call("GET", path);
/** Reads what has a payload, every number as it was written. */
export const getExact = (path) => call("GET", path, undefined, parse);
/** Changes. */
export const post = (path, body) => call("POST", path, body === undefined ? undefined : JSON.stringify(body));
/** Changes a part. */
export const patch = (path, body) => call("PATCH", path, JSON.stringify(body));
/** Revokes. */
export const remove = (path) => call("DELETE", path);

/** A query out of those parameters that have a value. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}
