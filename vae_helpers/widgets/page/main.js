// Finds the explorers of a page, loads what each needs when a reader comes near, and puts it in place of the picture.

import { keyOf, readAddress } from "./address.js";
import { build } from "./controls.js";
import { startExplorer } from "./explorer.js";

const NEAR = "800px"; // from the screen, where an explorer is loaded
// Where the data lie: beside this script, or where its attribute `data-explorers` says, seen from the page.
const SCRIPT = document.currentScript;
const FOLDER = SCRIPT?.dataset.explorers
  ? new URL(`${SCRIPT.dataset.explorers}/`, document.baseURI)
  : new URL("explorers/", SCRIPT?.src || document.baseURI);

const started = new Map(); // explorers by their hosts
const asked = new Set(); // keys whose data are on their way

const hostsOf = (key) => [...document.querySelectorAll("[data-explorer]")].filter((host) => host.dataset.explorer === key);

/** Called by a data script: starts the explorer wherever the page has a place for it. */
function vaeExplorer(description) {
  for (const host of hostsOf(keyOf(description))) {
    if (started.has(host)) continue;
    const focused = host === document.activeElement;
    try {
      started.set(host, startExplorer(host, description));
    } catch (error) {
      complain(host, error.message);
      continue;
    }
    ["tabindex", "role", "aria-label"].forEach((name) => host.removeAttribute(name));
    if (focused) started.get(host).focus();
  }
}

function loadData(key) {
  if (asked.has(key)) return;
  asked.add(key);
  const src = new URL(`${encodeURIComponent(key)}.js`, FOLDER).href, script = build("script", { src });
  const check = () => hostsOf(key).forEach((host) => {
    if (started.has(host)) follow(host);
    else if (!host.querySelector(".vae-problem")) complain(host, `its data, ${key}.js, could not be read`);
  });
  script.addEventListener("load", check);
  script.addEventListener("error", check);
  document.head.append(script);
}

/** The still picture stays, and a sentence says why. */
function complain(host, why) {
  ["tabindex", "role", "aria-label"].forEach((name) => host.removeAttribute(name));
  const words = `This explorer could not be started: ${why}. The picture shows its first position.`;
  host.append(build("p", { class: "vae-problem", role: "alert" }, words));
}

/** Brings an explorer to the position that the address names. */
function follow(host) {
  const wanted = readAddress(location.hash), explorer = started.get(host);
  if (wanted?.key !== explorer?.key || !explorer) return;
  if (wanted.pairs && !explorer.go(wanted.pairs)) {
    const words = wanted.pairs.map(([name, text]) => `${name}=${text}`).join("&");
    explorer.say(`The address names a position that does not exist (${words}); this is the first position.`);
  }
  const show = () => host.scrollIntoView({ block: "start", behavior: "instant" });
  show();
  if (document.readyState !== "complete") window.addEventListener("load", show, { once: true }); // what is above may have grown
}

function goToAddress() {
  const wanted = readAddress(location.hash);
  if (!wanted) return;
  const hosts = hostsOf(wanted.key);
  hosts.forEach((host) => (started.has(host) ? follow(host) : loadData(wanted.key)));
  if (hosts.length || !wanted.pairs) return;
  const words = `The address names an explorer that is not on this page (${wanted.key}).`;
  document.querySelector("[data-explorer]")?.before(build("p", { class: "vae-problem", role: "status" }, words));
}

function startPage() {
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      loadData(target.dataset.explorer);
    }
  }, { rootMargin: NEAR });
  for (const host of document.querySelectorAll("[data-explorer]")) {
    host.tabIndex = 0; // whoever goes through the page by keys must not pass it by
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", "explorer, is being loaded");
    host.addEventListener("focus", () => { if (!started.has(host)) loadData(host.dataset.explorer); });
    near.observe(host);
  }
  goToAddress();
  window.addEventListener("hashchange", goToAddress);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startPage);
else startPage();

export default vaeExplorer;
