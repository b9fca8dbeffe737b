// All about one image, in a dialog. Answers by key work there too.

import { attempt, byId, get, make, percent } from "./api.js";
import { labelOf } from "./grid.js";

export class DetailView {
  constructor({ onLike, onLabelKey }) {
    this.dialog = byId("detail");
    this.onLike = onLike;
    this.dialog.addEventListener("keydown", (event) => {
      if (!/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && /^([0-9]|-)$/.test(event.key)
          && onLabelKey(event)) {
        event.preventDefault();
        this.dialog.close();
      }
    });
  }

  async open(content) {
    const facts = await attempt(() => get(`images/${content}`));
    if (!facts) return;
    const { tile } = facts;
    this.dialog.replaceChildren(
      make("h2", { id: "detail-name" }, tile.id),
      make("img", { className: "large", src: `/api/thumbs/${content}?pixels=900`, alt: tile.id }),
      make("p", {}, this.words(facts)),
      ...(facts.conflict ? [make("p", { className: "verdict" }, facts.conflict)] : []),
      list("Most probable", facts.top.map((one) => `${one.label}: ${percent(one.probability)}`)),
      list("History", facts.history.map((one) => `${one.when.slice(0, 16).replace("T", " ")} ${one.who}: `
        + `${one.answer}${one.undone ? " (undone)" : ""}`)),
      make("h3", {}, "Most like it"),
      this.near(facts.neighbours),
      this.buttons(content),
    );
    this.dialog.showModal();
  }

  words({ tile, data_label: given, path }) {
    const parts = [labelOf(tile) ? `Label: ${labelOf(tile)}` : "No label"];
    if (given !== null && given !== tile.label) parts.push(`the data say ${given}`);
    if (tile.test) parts.push("kept for the locked test");
    return `${parts.join("; ")}. ${path}`;
  }

  near(tiles) {
    const place = make("div", { className: "near" });
    for (const one of tiles) {
      const button = make("button", { type: "button", title: one.id },
        make("img", { src: `/api/thumbs/${one.content}?pixels=160`, alt: one.id }),
        labelOf(one) || one.predicted || "–");
      button.addEventListener("click", () => this.open(one.content));
      place.append(button);
    }
    return place;
  }

  buttons(content) {
    const like = make("button", { type: "button" }, "More like this");
    like.addEventListener("click", () => { this.dialog.close(); this.onLike(content); });
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", () => this.dialog.close());
    return make("p", { className: "toolbar" }, like, close);
  }
}

function list(title, lines) {
  if (!lines.length) return "";
  return make("div", {}, make("h3", {}, title),
    make("ul", {}, ...lines.map((line) => make("li", {}, line))));
}
