// Labels leave, and pictures that are dropped come in.

import { attempt, byId, make, percent, post, say, send } from "./api.js";

export function setUpShipping({ shown, takeJob }) {
  byId("ship-run").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!shown()) { say("no run to export yet: re-fit first"); return; }
    const job = await attempt(() => post("ship", { run: shown(), form: byId("graph").value }));
    if (job) takeJob(job);
  });
  byId("export").addEventListener("submit", async (event) => {
    event.preventDefault();
    byId("exported").textContent = "writing …";
    const done = await attempt(() => post("export", { form: byId("form").value }));
    byId("exported").textContent = done
      ? [`${done.n} images as ${done.form}: ${done.folder}`, ...done.notes].join(". ") : "";
  });
}

export function showForms(forms) {
  const select = byId("form");
  if (select.options.length === forms.length) return;
  select.replaceChildren(...forms.map((form) => make("option", { value: form }, form)));
  select.value = forms.includes("csv") ? "csv" : forms[0];
}

// The commands that take the run that is shown, to be copied into a terminal.
export function showCommands({ run_path: run, data }) {
  const quote = (text) => (/^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const lines = run ? [`cliptune predict IMAGES --run ${quote(run)}`,
    `cliptune serve ${quote(run)}`, `cliptune label-next ${quote(data)} --run ${quote(run)}`] : [];
  byId("commands").replaceChildren(...(lines.length ? [make("p", {}, "The run that is shown, in a terminal:")] : []),
    ...lines.map((line) => make("p", {}, make("code", {}, line))));
}

export function setUpDropping(onKept) {
  const place = byId("drop");
  const files = byId("files");
  document.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
  document.addEventListener("dragleave", () => place.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    take([...event.dataTransfer.files], onKept);
  });
  files.addEventListener("change", () => { take([...files.files], onKept); files.value = ""; });
}

async function take(files, onKept) {
  const pictures = files.filter((file) => file.type.startsWith("image/"));
  if (!pictures.length) { say("no image came"); return; }
  const form = new FormData();
  for (const file of pictures) form.append("files", file, file.name);
  const keep = byId("keep").checked;
  say(`looking at ${pictures.length} images …`, true);
  byId("drop-fold").open = true;
  const answers = await attempt(() => send(`drop?keep=${keep}`, form));
  if (!answers) return;
  say("");
  byId("dropped").replaceChildren(...answers.map((one) => make("p", {}, `${one.name}: ${one.error
    || one.top.map((top) => `${top.label} ${percent(top.probability)}`).join(", ")
    || "no class has a name yet"}`)));
  if (keep) onKept();
}
