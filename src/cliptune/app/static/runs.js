// Runs in time, two of them side by side, and the locked test, which only a person opens.

import { attempt, byId, get, here, make, percent, post } from "./api.js";

export class Runs {
  constructor({ onImages, takeState, onShown }) {
    this.onImages = onImages;
    this.takeState = takeState;
    this.onShown = onShown;
    byId("compare").addEventListener("submit", (event) => this.compare(event));
    byId("changed-images").addEventListener("click", () => this.onImages(this.changed,
      "that one of both gets right"));
  }

  async load(shown) {
    const runs = await attempt(() => get("runs"));
    if (!runs) return;
    byId("entries").replaceChildren(...runs.map((run) => this.row(run, shown)));
    if (!runs.length) {
      const cell = make("td", { colSpan: 7 }, "No run yet: label images of two classes, then re-fit.");
      byId("entries").append(make("tr", {}, cell));
    }
    for (const [id, place] of [["first", -2], ["second", -1]]) {
      const value = byId(id).value;
      byId(id).replaceChildren(...runs.map((run) => make("option", { value: run.run }, run.run)));
      byId(id).value = runs.some((run) => run.run === value) ? value : runs.at(place)?.run ?? "";
    }
    byId("compare").hidden = runs.length < 2;
  }

  row(run, shown) {
    const show = make("button", { type: "button", disabled: run.run === shown },
      run.run === shown ? "Shown" : "Show");
    show.addEventListener("click", async () => {
      const state = await attempt(() => post("runs/show", { run: run.run, tab: here.tab }));
      if (state) { this.takeState(state); this.onShown(); this.load(run.run); }
    });
    const open = make("button", { type: "button" }, "Open the test");
    open.addEventListener("click", () => this.ask(run, shown));
    const line = make("tr", {}, make("th", { scope: "row" }, run.run), make("td", {}, String(run.n_labels)),
      make("td", {}, run.method), make("td", {}, score(run.held_out)),
      make("td", {}, run.test ? score(run.test) : "locked"), make("td", {}, String(run.opened)),
      make("td", { className: "toolbar" }, show, open));
    line.dataset.run = run.run;
    return line;
  }

  ask(run, shown) {
    const dialog = byId("opening");
    byId("opening-text").textContent = `${run.run} is scored on the images that are kept for the test. `
      + "Every look is counted: what is chosen after it is chosen with it in mind.";
    dialog.returnValue = "no";
    dialog.addEventListener("close", async () => {
      if (dialog.returnValue !== "yes") return;
      const found = await attempt(() => post("test", { run: run.run, tab: here.tab }));
      if (!found) return;
      await this.load(shown);
      document.querySelector(`#entries tr[data-run="${CSS.escape(run.run)}"] button:last-child`)?.focus();
      verdict(found.sentence, "");
      this.onShown();
    }, { once: true });
    dialog.showModal();
  }

  async compare(event) {
    event.preventDefault();
    const [first, second] = [byId("first").value, byId("second").value];
    const found = await attempt(() => post("compare", { first, second }));
    if (!found) return;
    verdict(found.sentence, found.verdict);
    this.changed = found.changed.map((one) => one.content);
    byId("changed-images").hidden = !this.changed.length;
    byId("changed-images").textContent = `Show the ${this.changed.length} images that changed`;
  }
}

function verdict(sentence, kind) {
  byId("verdict").textContent = sentence;
  byId("verdict").className = `verdict ${kind}`;
}

function score(one) {
  if (!one) return "–";
  return `${percent(one.value)} (${(100 * one.low).toFixed(1)} to ${(100 * one.high).toFixed(1)}), `
    + `n = ${one.n}`;
}
