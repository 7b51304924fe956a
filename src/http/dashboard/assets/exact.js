// JSON whose numbers retain their digits, and the merge patch (RFC 7396) between two texts of it.

const CAN_KEEP = typeof JSON.rawJSON === "function";

function keep(key, value, context) {
  const isOther = typeof value === "number" && context?.source !== undefined && String(value) !== context.source;
  return isOther && CAN_KEEP ? JSON.rawJSON(context.source) : value;
}

/** As JSON.parse, but a number that a double would change stays as it is written. */
export function parse(text) {
  return JSON.parse(text, keep);
}

/** The text of a value, for people. */
export function pretty(value) {
  return JSON.stringify(value, null, 2);
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(CAN_KEEP && JSON.isRawJSON(value));
}

/** What has to be merged into `before` to get `after`; null where nothing differs. */
export function difference(before, after) {
  if (!isObject(after)) throw new Error("the payload has to be an object");
  const patch = changes(isObject(before) ? before : {}, after);
  return Object.keys(patch).length === 0 && isObject(before) ? null : patch;
}

function changes(before, after) {
  const patch = {};
  for (const name of Object.keys(before)) {
    if (!Object.hasOwn(after, name)) set(patch, name, null);
  }
  for (const [name, value] of Object.entries(after)) {
    const had = Object.hasOwn(before, name);
    if (had && JSON.stringify(before[name]) === JSON.stringify(value)) continue;
    if (value === null) throw new Error(`a patch removes members that are null, so ${JSON.stringify(name)} cannot become null`);
    if (!isObject(value)) set(patch, name, value);
    else set(patch, name, changes(had && isObject(before[name]) ? before[name] : {}, value));
  }
  return patch;
}

// An own member even if its name is __proto__.
function set(target, name, value) {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}
