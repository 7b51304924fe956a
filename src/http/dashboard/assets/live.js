// What the server pushes: the pipeline and the newest figures, one stream for the whole page.

const listeners = { pipeline: new Set(), figures: new Set() };
const last = {};
let source = null;
let onState = () => {};

/** Begins to listen; `report` is called with "on", "broken" or "off". */
export function connect(report) {
  onState = report;
  open();
  // A page that nobody sees holds no connection: a browser has few of them.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
}

function open() {
  if (source) return;
  source = new EventSource("/api/live");
  source.onopen = () => onState("on");
  source.onerror = () => {
    onState("broken");
    if (source?.readyState !== EventSource.CLOSED) return;
    close();
    // The session may be over: a 401 leads to the login.
    setTimeout(() => fetch("/api/session").then((answer) => (answer.status === 401 ? location.assign("/login") : open()), open), 2000);
  };
  for (const kind of Object.keys(listeners)) {
    source.addEventListener(kind, (message) => {
      last[kind] = JSON.parse(message.data);
      for (const listener of listeners[kind]) listener(last[kind]);
    });
  }
}

function close() {
  source?.close();
  source = null;
  onState("off");
}

/** Delivers the last news once more: what is as it was before is not pushed. */
export function again(kind) {
  for (const listener of listeners[kind]) if (last[kind]) listener(last[kind]);
}

/** Calls `listener` with the last news and with all that follow; returns what ends that. */
export function on(kind, listener) {
  listeners[kind].add(listener);
  if (last[kind]) listener(last[kind]);
  return () => listeners[kind].delete(listener);
}
