// A grid of any length: only the tiles in sight are elements, the rest is a height.
// It shows a view of the server and knows which tiles are chosen; what is done with them is not its own.

import { byId, get, make, percent } from "./api.js";

const PAGE = 100;

export class Grid {
  constructor({ onLabelKey, onOpen }) {
    this.box = byId("grid");
    this.canvas = byId("canvas");
    this.onLabelKey = onLabelKey;
    this.onOpen = onOpen;
    this.view = "";
    this.total = 0;
    this.here = 0;
    this.chosen = new Set();
    this.anchor = 0;
    this.pages = new Map();
    this.shown = new Map();
    this.spare = [];
    this.box.addEventListener("scroll", () => this.plan());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("click", (event) => this.click(event));
    this.box.addEventListener("dblclick", () => this.open());
    new ResizeObserver(() => this.layout()).observe(this.box);
  }

  show(view, total) {
    this.view = view;
    this.total = total;
    this.pages.clear();
    this.chosen.clear();
    this.here = 0;
    this.anchor = 0;
    this.box.scrollTop = 0;
    this.layout();
  }

  layout() {
    const style = getComputedStyle(document.documentElement);
    this.width = parseInt(style.getPropertyValue("--tile"), 10) + 6;
    this.height = this.width + 36;
    this.columns = Math.max(1, Math.floor(this.box.clientWidth / this.width));
    this.canvas.style.height = `${Math.ceil(this.total / this.columns) * this.height}px`;
    for (const [index, tile] of this.shown) this.drop(index, tile);
    this.draw();
  }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => { this.planned = false; this.draw(); });
  }

  range() {
    const top = Math.floor(this.box.scrollTop / this.height) - 1;
    const rows = Math.ceil(this.box.clientHeight / this.height) + 3;
    const first = Math.max(0, top * this.columns);
    return [first, Math.min(this.total, first + rows * this.columns)];
  }

  draw() {
    const [first, last] = this.range();
    for (const [index, tile] of this.shown) {
      if (index < first || index >= last) this.drop(index, tile);
    }
    for (let index = first; index < last; index += 1) {
      if (!this.shown.has(index)) this.place(index);
      this.fill(index);
    }
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) this.fetch(page);
    this.mark();
  }

  drop(index, tile) {
    this.shown.delete(index);
    tile.remove();
    if (this.spare.length < 200) this.spare.push(tile);
  }

  place(index) {
    const tile = this.spare.pop() || this.build();
    tile.id = `tile-${index}`;
    tile.dataset.index = index;
    tile.setAttribute("aria-posinset", index + 1);
    tile.setAttribute("aria-setsize", this.total);
    const x = (index % this.columns) * this.width;
    const y = Math.floor(index / this.columns) * this.height;
    tile.style.transform = `translate(${x}px, ${y}px)`;
    tile.dataset.content = "";
    this.canvas.append(tile);
    this.shown.set(index, tile);
  }

  build() {
    const tile = make("div", { className: "tile" });
    tile.setAttribute("role", "option");
    tile.append(make("img", { alt: "", draggable: false, decoding: "async" }),
      make("span", { className: "said" }), make("span", { className: "thought" }));
    return tile;
  }

  fill(index) {
    const tile = this.shown.get(index);
    const facts = this.facts(index);
    const [picture, said, thought] = tile.children;
    if (!facts) {
      picture.removeAttribute("src");
      said.textContent = "…";
      thought.textContent = "";
      tile.setAttribute("aria-label", "not loaded yet");
      return;
    }
    if (tile.dataset.content !== facts.content) {
      tile.dataset.content = facts.content;
      picture.src = `/api/thumbs/${facts.content}?pixels=160`;
    }
    const word = labelOf(facts);
    const belief = facts.predicted === null ? "" : `${facts.predicted} ${percent(facts.probability)}`;
    const differs = facts.label !== null && facts.predicted !== null
      && facts.label !== facts.predicted;
    said.textContent = word;
    thought.textContent = facts.why || (belief ? `${differs ? "≠ " : ""}${belief}` : "");
    tile.title = `${facts.id}${facts.why ? `\n${facts.why}` : ""}${belief ? `\n${belief}` : ""}`;
    tile.classList.toggle("differs", differs);
    tile.classList.toggle("conflict", facts.conflict);
    tile.classList.toggle("test", facts.test);
    tile.setAttribute("aria-label", [`${word} ${thought.textContent}`.trim() || "no label", facts.id,
      facts.test ? "kept for the test" : "", facts.conflict ? "people disagree" : ""]
      .filter(Boolean).join(", "));
  }

  mark() {
    for (const [index, tile] of this.shown) {
      tile.setAttribute("aria-selected", this.chosen.has(index) ? "true" : "false");
      tile.classList.toggle("here", index === this.here);
    }
    if (this.shown.has(this.here)) this.box.setAttribute("aria-activedescendant", `tile-${this.here}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  facts(index) {
    const page = this.pages.get(Math.floor(index / PAGE));
    return page?.tiles?.[index % PAGE];
  }

  fetch(page) {
    if (this.pages.has(page)) return;
    this.pages.set(page, {});
    this.load(page);
  }

  async load(page) {
    const view = this.view;
    try {
      const found = await get(`views/${view}?offset=${page * PAGE}&limit=${PAGE}`);
      if (view !== this.view) return;
      this.pages.set(page, found);
    } catch {
      if (view === this.view && !this.pages.get(page)?.tiles) this.pages.delete(page);
      return;
    }
    this.plan();
  }

  // What the server says of images after an act, or after a new run.
  take(tiles) {
    const news = new Map(tiles.map((tile) => [tile.content, tile]));
    for (const page of this.pages.values()) {
      page.tiles?.forEach((tile, place) => {
        const fresh = news.get(tile.content);
        if (fresh) page.tiles[place] = { ...fresh, why: tile.why };
      });
    }
    this.plan();
  }

  // Asks again for what is in sight and forgets the rest; until the answer comes the old stands.
  again() {
    const [first, last] = this.range();
    for (const page of [...this.pages.keys()]) {
      if (page * PAGE < last && (page + 1) * PAGE > first) this.load(page);
      else this.pages.delete(page);
    }
  }

  // The tiles that an answer is for: those that are chosen, or the one that has the focus.
  aimed() {
    const rows = this.chosen.size ? [...this.chosen].sort((a, b) => a - b) : [this.here];
    return rows.map((index) => this.facts(index)).filter(Boolean);
  }

  go(index, { choose = false } = {}) {
    this.here = Math.min(Math.max(0, index), Math.max(0, this.total - 1));
    if (choose) {
      const [low, high] = [Math.min(this.anchor, this.here), Math.max(this.anchor, this.here)];
      this.chosen = new Set(Array.from({ length: high - low + 1 }, (_, place) => low + place));
    } else {
      this.anchor = this.here;
    }
    const top = Math.floor(this.here / this.columns) * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.height > this.box.scrollTop + this.box.clientHeight) {
      this.box.scrollTop = top + this.height - this.box.clientHeight;
    }
    this.draw();
  }

  advance() {
    const many = this.chosen.size > 1;
    this.chosen.clear();
    if (many) this.mark();
    else this.go(this.here + 1);
  }

  open() {
    const facts = this.facts(this.here);
    if (facts) this.onOpen(facts.content);
  }

  toggle(index) {
    if (this.chosen.has(index)) this.chosen.delete(index);
    else this.chosen.add(index);
    this.mark();
  }

  click(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const index = Number(tile.dataset.index);
    this.box.focus({ preventScroll: true });
    if (event.shiftKey) this.go(index, { choose: true });
    else if (event.ctrlKey || event.metaKey) { this.here = index; this.toggle(index); }
    else { this.chosen.clear(); this.go(index); }
  }

  key(event) {
    const page = this.columns * Math.max(1, Math.floor(this.box.clientHeight / this.height));
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns,
      PageDown: page, PageUp: -page, Home: -this.here, End: this.total };
    const command = event.ctrlKey || event.metaKey;
    if (event.key in steps) this.go(this.here + steps[event.key], { choose: event.shiftKey });
    else if (event.key === " ") this.toggle(this.here);
    else if (event.key === "Enter") this.open();
    else if (event.key === "Escape") { this.chosen.clear(); this.mark(); }
    else if (command && event.key === "a") {
      this.chosen = new Set(Array.from({ length: Math.min(this.total, 5000) }, (_, place) => place));
      this.mark();
    } else if (!this.onLabelKey(event)) return;
    event.preventDefault();
  }
}

export function labelOf(facts) {
  if (facts.label !== null) return facts.label;
  return { none: "none of these", skip: "skipped" }[facts.mark] || "";
}
