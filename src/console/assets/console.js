// Refreshes pages, and adds what only a script can do: copying, keys, hiding. Every page works without it.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- Copying ---

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1200);
  } catch {
    // Browsers deny the clipboard to pages over plain HTTP, so the text is selected instead.
    const field = document.createElement("input");
    field.value = button.dataset.copy;
    field.readOnly = true;
    field.setAttribute("aria-label", "Copy this");
    button.replaceWith(field);
    field.select();
  }
});
const showCopy = (root) => $$("[data-copy]", root).forEach((button) => (button.hidden = false));
showCopy(document);

// --- Only one sheet is open at a time; Escape and a click outside close it ---

const sheets = () => $$("details.action[open], details.preferences[open]");
document.addEventListener("toggle", (event) => {
  if (event.target.open) sheets().forEach((sheet) => sheet !== event.target && (sheet.open = false));
}, true);
document.addEventListener("click", (event) => {
  sheets().forEach((sheet) => sheet.contains(event.target) || (sheet.open = false));
});

// --- The browser's own time zone ---

const zones = $("#zone");
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zones && own && ![...zones.options].some((option) => option.value === own)) {
  zones.add(new Option(`${own} (this browser)`, own));
}

// --- Clinical content is hidden again after a while ---

const revealed = $("#revealed");
if (revealed) {
  const hide = () => {
    revealed.replaceChildren();
    $("#hidden").hidden = false;
  };
  setTimeout(hide, 5 * 60 * 1000);
  document.addEventListener("visibilitychange", () => document.hidden && hide());
  addEventListener("pagehide", hide);
}

// --- Refreshing a page ---

const isLive = document.body.hasAttribute("data-live");
const live = $(".live");
const word = $("#live-word");
const pause = $("#pause");
let isPaused = sessionStorage.getItem("paused") === "yes";
let stream, timer, isWanted = false, isBusy = false;

function say(state, text) {
  live.className = `live ${state}`;
  if (word.textContent !== text) word.textContent = text;
}

// Parts that the visitor is using are not replaced.
const isInUse = (part) =>
  part.contains(document.activeElement) && document.activeElement !== document.body ||
  $("details.action[open]", part) ||
  (String(getSelection()) && part.contains(getSelection().anchorNode));

async function refresh() {
  if (isPaused || document.hidden) return void (isWanted = true);
  if (isBusy) return void (isWanted = true);
  isBusy = true;
  isWanted = false;
  try {
    const address = new URL(location.href);
    address.searchParams.delete("said");
    const answer = await fetch(address, { credentials: "same-origin", headers: { accept: "text/html", "x-background": "1" } });
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") return location.reload();
    if (!answer.ok) return;
    apply(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    say("lost", "lost, trying again");
  } finally {
    isBusy = false;
    if (isWanted) ring();
  }
}

function apply(fresh) {
  for (const part of $$("[data-refresh][id]")) {
    const other = fresh.getElementById(part.id);
    if (!other || isInUse(part) || part.innerHTML === hiddenCopies(other)) continue;
    const open = $$("details[open]", part).map((details) => $$("details", part).indexOf(details));
    part.replaceWith(other);
    showCopy(other);
    open.forEach((place) => { const details = $$("details", other)[place]; if (details) details.open = true; });
  }
  // Rows change in place and never move; new rows are announced.
  const rows = $("[data-rows]"), others = $("[data-rows]", fresh), button = $("#new");
  if (!rows || !others || !button) return;
  const known = new Set($$("tr", rows).map((row) => row.id));
  const count = $$("tr", others).filter((row) => !known.has(row.id)).length;
  button.hidden = count === 0;
  button.textContent = count === 1 ? "1 new event" : `${count} new events`;
}

function hiddenCopies(part) {
  showCopy(part);
  return part.innerHTML;
}

// Refreshes at most once a second.
function ring() {
  isWanted = true;
  timer ??= setTimeout(() => { timer = undefined; refresh(); }, 1000);
}

function listen() {
  if (stream || isPaused || document.hidden) return;
  stream = new EventSource("/stream");
  stream.onopen = () => { say("", "live"); ring(); };
  stream.onerror = () => say("lost", "lost, trying again");
  for (const name of ["event", "stats", "ready", "resync"]) stream.addEventListener(name, ring);
}

function close() {
  stream?.close();
  stream = undefined;
}

function setPaused(paused) {
  isPaused = paused;
  sessionStorage.setItem("paused", paused ? "yes" : "no");
  pause.setAttribute("aria-pressed", String(paused));
  $("span", pause).textContent = paused ? "Go on" : "Pause";
  if (paused) { close(); say("paused", "paused"); } else { listen(); refresh(); }
}

if (isLive && live) {
  live.hidden = false;
  pause.addEventListener("click", () => setPaused(!isPaused));
  $("#new")?.addEventListener("click", () => location.reload());
  setPaused(isPaused);
  // A browser allows few connections to one host, so a hidden tab closes its own.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close(); else { listen(); if (!isPaused) refresh(); }
  });
  // Relative times advance even if nothing changes.
  setInterval(ring, 15_000);
}

// --- Automatic sign-out, with a warning two minutes before ---

const idle = Number(document.body.dataset.idle);
const leaving = $("#leaving");
if (idle && leaving) {
  let warning;
  const wait = () => { leaving.hidden = true; clearTimeout(warning); warning = setTimeout(() => (leaving.hidden = false), Math.max(idle - 120, idle / 2) * 1000); };
  $("#stay").addEventListener("click", async () => { await fetch(location.href, { credentials: "same-origin" }); wait(); });
  wait();
}

// --- Keys ---

const keys = $("#keys");
const off = $("#keys-off");
if (off) {
  off.checked = localStorage.getItem("keys") === "off";
  off.addEventListener("change", () => localStorage.setItem("keys", off.checked ? "off" : "on"));
}
let isGoing = false;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") sheets().forEach((sheet) => { sheet.open = false; $("summary", sheet).focus(); });
  const isTyping = event.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || off?.checked || keys?.open) return;
  if (isGoing) {
    isGoing = false;
    const link = $(`[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  switch (event.key) {
    case "/": event.preventDefault(); $("#q")?.focus(); break;
    case "g": isGoing = true; setTimeout(() => (isGoing = false), 1500); break;
    case "p": if (isLive) setPaused(!isPaused); break;
    case "?": keys?.showModal(); break;
  }
});

// --- A sign-in link from the shell: the token follows the #, which browsers do not send ---

const token = $("#token");
if (token && location.hash.length > 1) {
  token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  token.form.requestSubmit();
}
