"use strict";
// Everything around the map: legend, the card beside the pointer, controls.
(() => {
  const { data, views, state, captions } = atlas;
  const byId = (id) => document.getElementById(id);

  function drawLegend() {
    const keys = { modality: [["image", atlas.imageColour()], ["text", data.textColour, true]],
      outcome: [[captions ? "nearest caption is its own" : "prediction right", atlas.imageColour()],
        [captions ? "nearest caption is another's" : "prediction wrong", data.wrongColour],
        ["text", atlas.UNKNOWN, true]] }[state.colour];
    const named = keys || data.groupNames.map((name, g) => [name, atlas.groupColour(g)])
      .filter((_, g) => !state.hidden.has(g));
    const legend = byId("legend");
    legend.replaceChildren();
    if (!keys && named.length > data.palette.length) {
      legend.textContent = "Colours repeat; point at a mark, or choose classes, to tell them apart.";
      return;
    }
    for (const [name, colour, triangle] of named) {
      const key = document.createElement("span");
      key.className = triangle ? "key triangle" : "key";
      key.style.setProperty("--key", colour);
      key.textContent = name;
      legend.append(key);
    }
  }

  // The card beside the pointer.
  const sheets = data.sheets.map((sheet) => {
    const image = new Image();
    image.src = `data:image/webp;base64,${sheet.data}`;
    return { ...sheet, image };
  });

  function showPicture(row) {
    const canvas = byId("picture");
    const sheet = sheets[Math.floor(row / data.perSheet)];
    canvas.hidden = !sheet;
    if (!sheet) return;
    const k = row % data.perSheet;
    const paint = () => {
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = sheet.tile > 32;
      context.drawImage(sheet.image, (k % sheet.columns) * sheet.tile,
        Math.floor(k / sheet.columns) * sheet.tile, sheet.tile, sheet.tile, 0, 0, 128, 128);
    };
    if (sheet.image.complete) paint();
    else sheet.image.addEventListener("load", paint, { once: true });
  }

  function showTip(event) {
    const point = event.points[0];
    const view = state.side ? views[Math.floor(point.curveNumber / 3)] : atlas.current();
    const lines = [];
    if (point.data.meta === "images") {
      const row = atlas.imageRow(point.pointNumber);
      showPicture(row);
      const said = view.predicted[row];
      lines.push(["is", data.strings[data.labels[row]] ?? "not labelled"]);
      lines.push([captions ? "nearest caption" : "said", data.strings[said] ?? "no prediction"]);
      lines.push(["", data.ids[row]]);
      byId("tip").dataset.row = row;
    } else {
      byId("picture").hidden = true;
      lines.push(["text", data.texts[atlas.textRow(point.pointNumber)]]);
    }
    byId("words").replaceChildren(...lines.map(([what, text]) => {
      const line = document.createElement("div");
      line.textContent = what ? `${what}: ${text}` : text;
      return line;
    }));
    placeTip(event.event);
  }

  function placeTip(pointer) {
    const tip = byId("tip");
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = pointer.clientX + 18 + box.width > innerWidth
      ? pointer.clientX - 18 - box.width : pointer.clientX + 18;
    const top = Math.min(pointer.clientY + 12, innerHeight - box.height - 8);
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  }

  // Controls.
  function addChoice(parent, type, name, text, checked, onChange) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type, name, checked });
    input.addEventListener("change", () => onChange(input.checked));
    label.append(input, ` ${text}`);
    parent.append(label);
    return input;
  }

  function setTime(time) {
    state.time = time;
    byId("time").value = time;
    document.getElementsByName("view").forEach((input, v) => {
      input.checked = !state.side && v === time;
    });
    if (state.side) byId("together").checked = true;
  }

  function leaveSide() {
    if (state.side) state.ranges = null;
    state.side = false;
  }

  function play() {
    const end = views.length - 1;
    leaveSide();
    setTime(0);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      setTime(end);
      return atlas.draw();
    }
    let began = null; // of the first frame: a frame's time may lie before the click's
    const step = (now) => {
      began ??= now;
      const time = Math.min(end, ((now - began) / 1800) * end);
      setTime(time);
      if (time < end) {
        atlas.move();
        requestAnimationFrame(step);
      } else atlas.draw();
    };
    return atlas.draw().then(() => requestAnimationFrame(step));
  }

  function buildViews() {
    if (views.length < 2) return;
    byId("viewing").hidden = false;
    byId("time").max = views.length - 1;
    const list = byId("views");
    views.forEach((view, v) => addChoice(list, "radio", "view", view.name, v === 0, () => {
      leaveSide();
      setTime(v);
      atlas.draw();
    }));
    addChoice(list, "radio", "view", "side by side", false, () => {
      state.side = true;
      state.ranges = null;
      atlas.draw();
    }).id = "together";
    byId("play").addEventListener("click", play);
    byId("time").addEventListener("input", (event) => {
      leaveSide();
      setTime(Number(event.target.value));
      atlas.draw();
    });
  }

  function buildClasses() {
    const list = byId("classes");
    if (captions) {
      byId("filter-title").textContent = "Captions";
      byId("filtering").querySelector(".row").hidden = true;
      list.hidden = true;
    }
    const boxes = data.groupNames.map((name, g) => addChoice(list, "checkbox", "class", name, true,
      (on) => {
        if (on) state.hidden.delete(g);
        else state.hidden.add(g);
        atlas.draw();
      }));
    const setAll = (on) => {
      boxes.forEach((box, g) => {
        if (box.parentElement.hidden) return;
        box.checked = on;
        if (on) state.hidden.delete(g);
        else state.hidden.add(g);
      });
      atlas.draw();
    };
    byId("all").addEventListener("click", () => setAll(true));
    byId("none").addEventListener("click", () => setAll(false));
    byId("search").addEventListener("input", (event) => {
      state.query = event.target.value;
      boxes.forEach((box, g) => {
        box.parentElement.hidden =
          !data.groupNames[g].toLowerCase().includes(state.query.toLowerCase());
      });
      if (captions) atlas.draw();
    });
  }

  atlas.COLOURINGS.forEach((what) => addChoice(byId("colouring"), "radio", "colour",
    what === "outcome" ? "right or wrong" : what, what === state.colour, () => {
      state.colour = what;
      atlas.draw();
    }).value = what);
  for (const what of ["links", "names"]) {
    byId(what).checked = state[what];
    byId(what).addEventListener("change", (event) => {
      state[what] = event.target.checked;
      atlas.draw();
    });
  }
  byId("outcome").addEventListener("change", (event) => {
    state.outcome = event.target.value;
    atlas.draw();
  });
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    atlas.draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => atlas.draw());
  buildViews();
  buildClasses();
  atlas.shown.push(drawLegend);
  atlas.draw().then(() => {
    byId("plot").on("plotly_hover", showTip);
    byId("plot").on("plotly_relayout", atlas.remember);
    byId("plot").on("plotly_doubleclick", atlas.showWhole);
    byId("plot").on("plotly_unhover", () => { byId("tip").hidden = true; });
    document.documentElement.dataset.ready = "true";
  });
})();
