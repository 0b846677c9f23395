// The entry of a web worker, made from a Blob of this text, so that it works on pages opened from a folder too.

import { makeServer } from "./jobs.js";

const SLICE = 8; // milliseconds of work before a message is heard
const handOver = (message) => self.postMessage(message, message.all ? [message.all.buffer] : []); // moved, not copied
const serve = makeServer(handOver, SLICE);
self.onmessage = (event) => serve(event.data);
self.postMessage({ kind: "ready" });
