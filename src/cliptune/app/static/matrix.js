// The table of confusions; a cell shows its images.

import { attempt, byId, get, make } from "./api.js";

const MOST = 40;

export async function showMatrix(onCell) {
  const found = await attempt(() => get("confusion"));
  if (!found) return;
  const { class_names: names, cells } = found;
  const used = [...new Set(cells.flatMap(([label, answer]) => [label, answer]))]
    .sort((a, b) => a - b).slice(0, MOST);
  const counts = new Map(cells.map(([label, answer, n]) => [`${label} ${answer}`, n]));
  if (!used.length) {
    byId("matrix").replaceChildren("Nothing to confuse yet: re-fit on labels of two classes.");
    return;
  }
  const head = make("tr", {}, make("td", {}), ...used.map((code) =>
    make("th", { scope: "col" }, names[code])));
  const rows = used.map((label) => make("tr", {}, make("th", { scope: "row" }, names[label]),
    ...used.map((answer) => cell(names[label], names[answer], counts.get(`${label} ${answer}`) || 0,
      onCell))));
  const more = used.length === MOST ? [make("p", {}, `The first ${MOST} classes.`)] : [];
  byId("matrix").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
    ...more);
}

function cell(label, answer, n, onCell) {
  const place = make("td", { className: label === answer ? "right" : "wrong" });
  if (!n) return place;
  const button = make("button", { type: "button" }, String(n));
  button.setAttribute("aria-label", `${n} images labelled ${label}, answered ${answer}`);
  button.addEventListener("click", () => onCell(label, answer));
  place.append(button);
  return place;
}
