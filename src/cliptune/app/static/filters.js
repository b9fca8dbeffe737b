// What is shown: reads the form, asks for a view, and says which list is on.

import { attempt, byId, make, post } from "./api.js";

const FIELDS = ["only", "part", "label", "predicted", "sort", "text", "name", "low", "high"];

export class Filters {
  constructor(grid) {
    this.grid = grid;
    this.more = {};
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("change", () => this.ask());
    byId("show-all").addEventListener("click", () => this.clear());
  }

  names(classes) {
    for (const id of ["label", "predicted"]) {
      const select = byId(id);
      const wanted = classes.map((one) => one.name);
      const there = [...select.options].slice(1).map((one) => one.value);
      if (wanted.join("\n") === there.join("\n")) continue;
      const value = select.value;
      select.replaceChildren(make("option", { value: "" }, "any"),
        ...wanted.map((name) => make("option", { value: name }, name)));
      select.value = wanted.includes(value) ? value : "";
    }
  }

  query() {
    const value = (id) => byId(id).value;
    const share = (id) => Math.min(100, Math.max(0, Number(value(id)) || 0)) / 100;
    return {
      only: value("only"), part: value("part"), sort: value("sort"),
      label: value("label") || null, predicted: value("predicted") || null,
      text: value("text").trim(), name: value("name").trim(),
      low: share("low"), high: share("high"), ...this.more,
    };
  }

  async ask(more = this.more, chip = this.chip || "") {
    this.more = more;
    this.chip = chip;
    const found = await attempt(() => post("views", this.query()));
    if (found) this.show(found, chip);
    return found;
  }

  show(found, chip) {
    this.grid.show(found.view, found.total);
    byId("chip").textContent = `${found.total.toLocaleString()} images${chip ? `, ${chip}` : ""}`;
  }

  set(values, more = {}, chip = "") {
    for (const id of FIELDS) {
      const element = byId(id);
      element.value = values[id] ?? { low: "0", high: "100", only: "all", part: "all", sort: "data" }[id] ?? "";
    }
    return this.ask(more, chip);
  }

  clear() {
    return this.set({});
  }
}
