// Puts the parts of the page together. What they show and do is asked of the server.

import { attempt, byId, get, here, post, say } from "./api.js";
import { DetailView } from "./detail.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { Labels } from "./labels.js";
import { showMatrix } from "./matrix.js";
import { Plane } from "./plane.js";
import { Runs } from "./runs.js";
import { setUpDropping, setUpShipping, showCommands, showForms } from "./ship.js";

const NEEDED = ["ResizeObserver", "HTMLDialogElement", "structuredClone"];
const PARTS = ["images", "plane", "confusions", "runs", "ship"];
let state;
let watching = false;

const grid = new Grid({ onLabelKey: (event) => labels.key(event), onOpen: (image) => detail.open(image) });
const labels = new Labels(grid, takeState);
const filters = new Filters(grid);
const detail = new DetailView({
  onLike: (image) => { open("images"); filters.set({}, { like: image }, "most alike first"); },
  onLabelKey: (event) => labels.key(event),
});
const plane = new Plane({ onLasso: (lasso) => { open("images"); filters.set({}, { lasso }, "inside the lasso"); } });
const runs = new Runs({
  onImages: (images, chip) => { open("images"); filters.set({}, { images }, chip); },
  takeState,
  onShown: () => grid.again(),
});

function takeState(now) {
  state = now;
  const { counts } = now;
  byId("data").textContent = now.data;
  byId("data").title = `${now.data}, ${now.model}`;
  document.title = `${now.data} – cliptune`;
  byId("counts").textContent = [`${counts.labelled} labelled`, `${counts.open} open`,
    `${counts.test_labelled} of ${counts.test} test images labelled`,
    counts.conflicts ? `${counts.conflicts} conflicts` : "", now.run ? `showing ${now.run}` : ""]
    .filter(Boolean).join(" · ");
  byId("undo").disabled = !now.can_undo;
  byId("redo").disabled = !now.can_redo;
  labels.show(now.classes);
  filters.names(now.classes);
  showForms(now.forms);
  showCommands(now);
  byId("changed").hidden = !now.changed;
  byId("changed-text").textContent = now.changed;
  takeJob(now.job);
}

function takeJob(job) {
  const running = job.state === "running";
  byId("job").hidden = !running;
  byId("refit").disabled = running;
  byId("job-text").textContent = `${job.kind} …`;
  byId("job-bar").value = job.done / job.total;
  if (running && !watching) watchJob();
}

async function watchJob() {
  watching = true;
  let job;
  do {
    await new Promise((done) => { setTimeout(done, 200); });
    job = await attempt(() => get("job"));
    if (job) takeJob(job);
  } while (job?.state === "running");
  watching = false;
  if (!job) return;
  say(job.text, job.state === "failed");
  takeState(await get(`state?tab=${here.tab}`));
  grid.again();
  if (!byId("runs").hidden) runs.load(state.run);
}

function open(part) {
  for (const name of PARTS) {
    const tab = byId(`tab-${name}`);
    byId(name).hidden = name !== part;
    tab.setAttribute("aria-selected", String(name === part));
    tab.tabIndex = name === part ? 0 : -1;
  }
  if (part === "plane") plane.load();
  if (part === "runs") runs.load(state.run);
  if (part === "confusions") {
    showMatrix((label, predicted) => {
      open("images");
      filters.set({ label, predicted, part: "train" }, {}, "");
    });
  }
  if (part === "images") grid.layout();
}

async function propose(which) {
  const button = byId(which === "images" ? "next" : "suspects");
  button.disabled = true;
  byId("grid").inert = true; // a key that is for the images to come must not label one that is shown
  say("choosing …", true);
  const found = await attempt(() => post("next", { n: 50 }));
  button.disabled = false;
  byId("grid").inert = false;
  if (!found) return;
  say("");
  byId("advice").textContent = found.advice;
  filters.show(found.views[which], which === "images" ? "to label next" : "to look at again");
  byId("grid").focus();
}

function setUp() {
  for (const name of PARTS) byId(`tab-${name}`).addEventListener("click", () => open(name));
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = PARTS.findIndex((name) => !byId(name).hidden);
    const next = PARTS[(place + step + PARTS.length) % PARTS.length];
    open(next);
    byId(`tab-${next}`).focus();
  });
  byId("next").addEventListener("click", () => propose("images"));
  byId("suspects").addEventListener("click", () => propose("suspects"));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("refit").addEventListener("click", async () => {
    const job = await attempt(() => post("refit", { method: byId("method").value }));
    if (job) takeJob(job);
  });
  byId("job-cancel").addEventListener("click", () => attempt(() => post("job/cancel", {})));
  byId("reload").addEventListener("click", reload);
  setUpShipping({ shown: () => state.run, takeJob });
  setUpDropping(reload);
}

async function reload() {
  const now = await attempt(() => post("reload", { tab: here.tab }));
  if (!now) return;
  takeState(now);
  filters.ask();
}

async function keepUp() {
  if (document.visibilityState === "hidden" || watching) return;
  const before = state.version;
  const now = await get(`state?tab=${here.tab}`).catch(() => null);
  if (!now) { say("the page's server does not answer: is 'cliptune app' still running?", true); return; }
  takeState(now);
  if (now.version !== before) grid.again();
}

async function begin() {
  const missing = NEEDED.filter((name) => !(name in window));
  if (missing.length) {
    byId("too-old").hidden = false;
    byId("too-old").textContent = `This browser is too old for the page: it lacks ${missing.join(", ")}. `
      + "Open the same address in a Firefox, Chrome, Edge or Safari of 2023 or later.";
    return;
  }
  if (location.search) history.replaceState(null, "", location.pathname);
  setUp();
  if (matchMedia("(max-width: 700px)").matches) byId("fold").open = false;
  const now = await attempt(() => get(`state?tab=${here.tab}`));
  if (!now) return;
  takeState(now);
  await filters.ask();
  byId("grid").focus();
  if (!now.classes.length) byId("naming").showModal();
  setInterval(keepUp, 5000);
  document.documentElement.dataset.ready = "yes";
}

begin();
