// The entry of a web worker, made from a Blob of this text, so that it works on pages opened from a folder too.

import { makeServer } from "./jobs.js";

const SLICE = 8; // milliseconds of work before a message is heard
const serve = makeServer((message) => self.postMessage(message), SLICE);
self.onmessage = (event) => serve(event.data);
self.postMessage({ kind: "ready" });
