// Gives answers to images: by key, by button, by word. Every act is the server's.

import { attempt, byId, here, make, post, say } from "./api.js";

export class Labels {
  constructor(grid, takeState) {
    this.grid = grid;
    this.takeState = takeState;
    this.classes = [];
    this.queue = Promise.resolve();
    byId("undo").addEventListener("click", () => this.turn("undo"));
    byId("redo").addEventListener("click", () => this.turn("redo"));
    byId("none").addEventListener("click", () => this.give("none"));
    byId("skip").addEventListener("click", () => this.give("skip"));
    byId("add").addEventListener("click", () => byId("naming").showModal());
    byId("naming-close").addEventListener("click", () => byId("naming").close());
    byId("naming-form").addEventListener("submit", (event) => this.name(event));
    byId("typed").addEventListener("submit", (event) => {
      event.preventDefault();
      this.word();
    });
    byId("word").addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.leave();
    });
  }

  show(classes) {
    this.classes = classes;
    const place = byId("classes");
    place.replaceChildren(...classes.slice(0, 9).map((one, index) => {
      const button = make("button", { type: "button" }, make("kbd", {}, String(index + 1)), one.name,
        make("span", { className: "n" }, String(one.n)));
      button.addEventListener("click", () => this.give("label", one.name));
      return button;
    }));
    if (!classes.length) place.append("No class has a name yet: ");
    byId("words").replaceChildren(...classes.map((one) => make("option", { value: one.name })));
  }

  // A key that is an answer; true where it was one.
  key(event) {
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key.toLowerCase() === "z") this.turn(event.shiftKey ? "redo" : "undo");
    else if (command && event.key.toLowerCase() === "y") this.turn("redo");
    else if (command || event.altKey) return false;
    else if (/^[1-9]$/.test(event.key) && this.classes[event.key - 1]) {
      this.give("label", this.classes[event.key - 1].name);
    } else if (event.key === "0") this.give("none");
    else if (event.key === "-") this.give("skip");
    else if (event.key === "?") byId("help").showModal();
    else if (/^\p{L}$/u.test(event.key)) {
      byId("word").value = event.key;
      byId("word").focus();
    } else return false;
    return true;
  }

  give(mark, label = "") {
    const aimed = this.grid.aimed();
    if (!aimed.length) return;
    this.grid.advance();
    const images = aimed.map((one) => one.content);
    const before = aimed.map(asBefore);
    this.after(() => post("labels", { images, mark, label, before, tab: here.tab }));
  }

  turn(which) {
    this.after(async () => {
      const done = await post(which, { tab: here.tab });
      if (!done.act) say(`nothing to ${which} on this page`);
      return done;
    });
  }

  // One act after the other, in the order of the keys.
  after(work) {
    this.queue = this.queue.then(() => attempt(async () => {
      const done = await work();
      this.grid.take(done.tiles);
      this.takeState(done.state);
    }));
  }

  word() {
    const word = byId("word").value.trim();
    if (!word) return;
    const known = this.classes.find((one) => one.name.toLowerCase() === word.toLowerCase())
      || this.only(word);
    this.give("label", known ? known.name : word);
    this.leave();
  }

  only(start) {
    const found = this.classes.filter((one) => one.name.toLowerCase().startsWith(start.toLowerCase()));
    return found.length === 1 ? found[0] : undefined;
  }

  leave() {
    byId("word").value = "";
    byId("grid").focus();
  }

  async name(event) {
    event.preventDefault();
    const names = byId("names").value.split(/[,\n]/).map((one) => one.trim()).filter(Boolean);
    if (!names.length) return;
    const state = await attempt(() => post("classes", { names, tab: here.tab }));
    if (!state) return;
    byId("names").value = "";
    byId("naming").close();
    this.takeState(state);
    this.grid.again();
    byId("grid").focus();
  }
}

function asBefore(facts) {
  if (facts.label !== null) return facts.label;
  return facts.mark ? [facts.mark] : null;
}
