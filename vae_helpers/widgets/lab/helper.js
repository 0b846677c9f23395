// A helper that works beside the page in a web worker; where there can be none, in the page, in short slices.

import { makeServer } from "./jobs.js";

const SHORT_SLICE = 10; // milliseconds, so that the page answers in between

/** Starts a helper; `hear` gets its messages. Gives `tell(message)`, `stop()` and `kind()`, "worker" or "page". */
export function makeHelper(text, hear) {
  let worker = null,
    tellNow,
    waiting = [],
    halt = () => {};

  function inPage() {
    worker?.terminate();
    worker = null;
    const serve = makeServer((message) => setTimeout(() => hear(message)), SHORT_SLICE);
    tellNow = (message) => setTimeout(() => serve(message));
    halt = () => serve({ job: "stop" });
    release();
  }
  function release() {
    for (const message of waiting) tellNow(message);
    waiting = null;
  }
  function inWorker() {
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    worker = new Worker(address);
    tellNow = (message) => worker.postMessage(message);
    worker.onmessage = ({ data }) => {
      if (data.kind !== "ready") return hear(data);
      URL.revokeObjectURL(address);
      release();
    };
    worker.onerror = (event) => {
      if (!waiting) return; // an error of a worker that runs is told by the page's console
      event.preventDefault();
      inPage();
    };
  }
  try {
    if (!text) throw new Error("no text for a worker");
    inWorker();
  } catch {
    // a page may forbid workers
    inPage();
  }
  return {
    tell: (message) => (waiting ? waiting.push(message) : tellNow(message)),
    kind: () => (worker ? "worker" : "page"),
    stop() {
      worker?.terminate();
      halt();
      tellNow = () => {};
    },
  };
}
