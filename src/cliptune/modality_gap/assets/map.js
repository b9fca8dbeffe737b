"use strict";
// The map: decodes the data, selects and places points, draws them.
const atlas = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const floats = (text) => new Float32Array(bytes(text).buffer);
  const views = data.views.map((v) => ({
    ...v,
    images: floats(v.images),
    texts: floats(v.texts),
    links: floats(v.links),
    correct: new Int8Array(bytes(v.correct).buffer),
  }));
  const imageGroups = new Int32Array(bytes(data.imageGroups).buffer);
  const textGroups = new Int32Array(bytes(data.textGroups).buffer);
  const linkGroups = new Int32Array(bytes(data.linkGroups).buffer);
  const nImages = imageGroups.length;
  const captions = data.kind === "captions";
  const UNKNOWN = "#9a9a9a";
  const COLOURINGS = captions ? ["modality", "outcome"] : ["modality", "class", "outcome"];
  const state = {
    colour: "modality",
    time: 0,
    side: false,
    ranges: null,  // where the reader has moved to, or the whole map
    links: data.linkGroups.length > 0 && linkGroups.length <= 300,
    names: textGroups.length <= 30,
    outcome: "all",
    hidden: new Set(),
    query: "",
  };
  const shown = [];  // called whenever the selection or the colouring may have changed
  let imageRows = [];
  let textRows = [];

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const current = () => views[Math.min(views.length - 1, Math.round(state.time))];
  const imageColour = () => data.imageColours[Number(style("--dark"))];
  const groupColour = (g) => (g < 0 ? UNKNOWN : data.palette[data.groupColours[g]]);

  // Which points pass the filters.
  function select() {
    const query = state.query.toLowerCase();
    const found = (text) => !captions || !query || text.toLowerCase().includes(query);
    const groups = new Set();
    textRows = [];
    textGroups.forEach((g, t) => {
      if (state.hidden.has(g) || !found(data.texts[t])) return;
      textRows.push(t);
      groups.add(g);
    });
    const { correct } = current();
    const wanted = { all: null, right: 1, wrong: 0 }[state.outcome];
    imageRows = [];
    for (let i = 0; i < nImages; i++) {
      const g = imageGroups[i];
      if (state.hidden.has(g) || (captions && query && !groups.has(g))) continue;
      if (wanted === null || correct[i] === wanted) imageRows.push(i);
    }
    if (captions && wanted !== null) {
      const kept = new Set(imageRows.map((i) => imageGroups[i]));
      textRows = textRows.filter((t) => kept.has(textGroups[t]));
    }
    byId("count").textContent =
      `${imageRows.length.toLocaleString("en")} of ${nImages.toLocaleString("en")} images shown`;
  }

  // Where points are at the present time: between two views they move on straight lines.
  function places(kind, rows, view) {
    const x = new Float32Array(rows.length);
    const y = new Float32Array(rows.length);
    const low = view === null ? Math.floor(state.time) : view;
    const share = view === null ? state.time - low : 0;
    const a = views[low][kind];
    const b = share > 0 ? views[low + 1][kind] : a;
    rows.forEach((row, k) => {
      x[k] = a[2 * row] + share * (b[2 * row] - a[2 * row]);
      y[k] = a[2 * row + 1] + share * (b[2 * row + 1] - a[2 * row + 1]);
    });
    return { x, y };
  }

  function linkPlaces(view) {
    if (!state.links) return { x: [], y: [] };
    const shown = new Set(textRows.map((t) => textGroups[t]));
    const rows = [];
    linkGroups.forEach((g, l) => { if (shown.has(g)) rows.push(2 * l, 2 * l + 1); });
    const ends = places("links", rows, view);
    const x = [], y = [];
    for (let k = 0; k < rows.length; k += 2) {
      x.push(ends.x[k], ends.x[k + 1], null);
      y.push(ends.y[k], ends.y[k + 1], null);
    }
    return { x, y };
  }

  function imageColours(correct) {
    if (state.colour === "modality") return imageColour();
    if (state.colour === "class") return imageRows.map((i) => groupColour(imageGroups[i]));
    return imageRows.map((i) => [UNKNOWN, data.wrongColour, imageColour()][correct[i] + 1]);
  }

  function panelTraces(view, number) {
    const axes = number ? { xaxis: `x${number + 1}`, yaxis: `y${number + 1}` } : {};
    const { correct } = view === null ? current() : views[view];
    const textColour =
      state.colour === "class" ? textRows.map((t) => groupColour(textGroups[t]))
        : state.colour === "modality" ? data.textColour : UNKNOWN;
    const named = state.names && textRows.length <= 400;
    const textPlaces = places("texts", textRows, view);
    return [
      { ...axes, ...linkPlaces(view), type: "scattergl", mode: "lines", hoverinfo: "skip",
        line: { color: style("--faint"), width: 0.6 }, opacity: 0.45 },
      { ...axes, ...places("images", imageRows, view), type: "scattergl", mode: "markers",
        hoverinfo: "none", meta: "images",
        marker: { color: imageColours(correct), size: nImages > 5000 ? 4 : 6, opacity: 0.6 } },
      { ...axes, ...textPlaces, meta: "texts", hoverinfo: "none",
        type: textRows.length > 400 ? "scattergl" : "scatter",
        mode: named ? "markers+text" : "markers",
        text: named ? textRows.map((t) => plain(shorten(data.texts[t], 28))) : undefined,
        textposition: Array.from(textPlaces.x, besideInside),
        textfont: { size: 11, color: style("--ink") },
        marker: { symbol: "triangle-up", color: textColour, size: textRows.length > 400 ? 5 : 9,
          line: { width: 0.5, color: style("--ground") } } },
    ];
  }

  // Names at the right edge stand to the left of their mark, or the edge would cut them.
  const [left, right] = data.ranges[0];
  const besideInside = (x) => (x > left + 0.75 * (right - left) ? "middle left" : "middle right");

  const shorten = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);

  function layout() {
    const panels = state.side ? views.length : 1;
    const axis = (title, more) => ({
      title: { text: plain(title), font: { size: 12 } }, gridcolor: style("--grid"),
      zeroline: false, linecolor: style("--line"), tickfont: { size: 10 }, ...more,
    });
    const result = {
      showlegend: false, hovermode: "closest", hoverdistance: 12, dragmode: "pan",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: style("--ink") },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: style("--faint"), activecolor: style("--ink") },
      margin: { l: 55, r: 15, t: 30, b: 45 }, annotations: [],
    };
    const width = 1 / panels;
    for (let p = 0; p < panels; p++) {
      const suffix = p ? p + 1 : "";
      const view = state.side ? views[p] : current();
      const domain = [p * width + (p ? 0.035 : 0), (p + 1) * width - (p + 1 < panels ? 0.01 : 0)];
      // Copied, because the library writes into what it is given.
      const ranges = state.ranges ?? data.ranges;
      const tied = p ? { matches: "x" } : { range: [...ranges[0]] };
      const tiedY = p ? { matches: "y" } : { range: [...ranges[1]], scaleanchor: "x" };
      result[`xaxis${suffix}`] = axis(view.axes[0], { domain, anchor: `y${suffix}`, ...tied });
      result[`yaxis${suffix}`] = axis(view.axes[1], { anchor: `x${suffix}`, ...tiedY });
      const between = !state.side && state.time % 1 !== 0;
      result.annotations.push({ text: between ? "between the views" : plain(view.name),
        xref: "paper", yref: "paper", x: domain[0], y: 1, xanchor: "left", yanchor: "bottom",
        showarrow: false, font: { size: 13 } });
    }
    return result;
  }

  function showWhole() {
    state.ranges = null;
    return draw();
  }

  // The same unit on both axes widens one of the ranges, so the library's own memory of a zoom,
  // and its way back, would both miss: they are kept here.
  function remember(event) {
    if (!Object.keys(event).some((key) => /^[xy]axis/.test(key))) return;
    const { xaxis, yaxis } = byId("plot")._fullLayout;
    state.ranges = [[...xaxis.range], [...yaxis.range]];
  }

  const config = { displaylogo: false, responsive: true, scrollZoom: true, doubleClick: false,
    // An explicit list: the library's own has a button that sends the figure away.
    modeBarButtons: [["toImage", "pan2d", "zoom2d", "zoomIn2d", "zoomOut2d",
      { name: "whole", title: "Show the whole map", icon: Plotly.Icons.home, click: showWhole }]] };

  function draw() {
    select();
    const traces = state.side
      ? views.flatMap((_, v) => panelTraces(v, v))
      : panelTraces(null, 0);
    shown.forEach((listener) => listener());
    return Plotly.react("plot", traces, layout(), config);
  }

  // A frame of the animation moves points and touches nothing else.
  function move() {
    const parts = [linkPlaces(null), places("images", imageRows, null),
      places("texts", textRows, null)];
    Plotly.restyle("plot", { x: parts.map((p) => p.x), y: parts.map((p) => p.y) }, [0, 1, 2]);
  }

  return {
    data, views, state, captions, UNKNOWN, COLOURINGS,
    current, groupColour, imageColour, shown, draw, move, remember, showWhole,
    imageRow: (point) => imageRows[point],
    textRow: (point) => textRows[point],
  };
})();
