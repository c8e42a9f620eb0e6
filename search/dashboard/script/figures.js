// Figures come ready-made; here they are dressed, zoomed, selected in, and saved.
const systemDark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 700px), (pointer: coarse)");
const remembered = (() => { try { return localStorage.getItem("posefront-theme"); } catch { return null; } })();
let theme = remembered || (systemDark.matches ? "dark" : "light");
const template = () => {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--ink-2"),
    tickcolor: colour("--ink-2"), automargin: true, title: { font: { size: 13 } } };
  return { layout: {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), family: "system-ui, 'Segoe UI', 'Liberation Sans', sans-serif", size: 13 },
    xaxis: axis, yaxis: axis, hoverlabel: { align: "left", bgcolor: colour("--panel"), bordercolor: colour("--line"),
      font: { color: colour("--ink") } },
    title: { font: { size: 15 }, x: 0, xanchor: "left", subtitle: { font: { size: 12, color: colour("--ink-2") } } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--ink-2"), activecolor: colour("--ink") },
    newselection: { line: { color: colour("--accent"), width: 1.5 } },
    annotationdefaults: { bgcolor: "rgba(0,0,0,0)" },
  }, data: { parcoords: [{ labelfont: { color: colour("--ink") }, tickfont: { color: colour("--ink") } }] } };
};

// Nothing here may offer to leave the machine: plotly's "share" is off, its "download" makes the file in the browser.
const saved = (format) => ({
  name: `${format} file`, title: `Save as ${format.toUpperCase()}, at print size`, icon: Plotly.Icons.camera,
  click: (figure) => Plotly.downloadImage(figure, { format, filename: `${here().study}-${figure.block.id}`, width: figure.offsetWidth, height: figure.offsetHeight, scale: format === "png" ? 3 : 1 }),
});
// plotly's own "reset axes" leads to where the axes were when it last drew from nothing, which may be zoomed.
const release = (figure) => {
  const zoom = zoomOf(figure.block.id);
  for (const name of Object.keys(zoom)) delete zoom[name];
  figure.released = (figure.released || 0) + 1;
  remember();
  draw(figure, figure.block);
};
let buttons = null;
// The buttons are the same objects at each update: with others plotly takes it for another figure, draws it from nothing and
// forgets where "reset axes" leads to.
const config = (block) => ({
  displaylogo: false, responsive: true, scrollZoom: false, plotlyServerURL: "", showLink: false, showSendToCloud: false,
  displayModeBar: narrow.matches ? false : "hover", modeBarButtonsToRemove: ["toImage", "resetScale2d"],
  modeBarButtonsToAdd: [...(block.selects ? ["lasso2d", "select2d"] : []),
    ...(buttons ||= [{ name: "reset", title: "Reset axes", icon: Plotly.Icons.home, click: release }, saved("svg"), saved("png")])],
});
const dress = () => {
  document.documentElement.dataset.theme = theme;
  for (const figure of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.react(figure, figure.data, { ...figure.layout, template: template() }, config(figure.block));
  }
};
systemDark.addEventListener("change", (event) => {
  if (!remembered) { theme = event.matches ? "dark" : "light"; dress(); }
});
element("theme").addEventListener("click", () => {
  theme = theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("posefront-theme", theme); } catch { /* a private window keeps nothing */ }
  dress();
});

// Typed arrays come as base64 ({dtype, bdata, shape}); plotly decodes them itself, customdata alone is read here.
const WIDTH = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array, i1: Int8Array, u4: Uint32Array,
  u2: Uint16Array, u1: Uint8Array };
const first = (data) => (Array.isArray(data) || ArrayBuffer.isView(data) ? data[0] : data);
const decoded = (data) => {
  if (!data.bdata) return data;
  const bytes = Uint8Array.from(atob(data.bdata), (letter) => letter.charCodeAt(0));
  return new WIDTH[data.dtype](bytes.buffer);
};
const numbers = (trace) => {
  const data = trace.customdata;
  if (!data) return null;
  if (!data.bdata) return Array.from(data, first);
  const flat = decoded(data);
  const columns = data.shape ? Number(String(data.shape).split(",")[1] || 1) : 1;
  return Array.from({ length: flat.length / columns }, (_, row) => flat[row * columns]);
};

// Parallel coordinates: which trials a brush leaves, and the lines of a selection that another figure made.
const picked = (trace, brush) => {
  const columns = trace.dimensions.filter(({ name }) => brush[name]).map(({ name, values }) => [brush[name], decoded(values)]);
  return numbers(trace).filter((_, row) => columns.every(([parts, values]) => parts.some(([low, high]) => values[row] >= low && values[row] <= high)));
};
const brushed = (trace) => {
  const { study } = here();
  const [brush, set] = [state.brush.get(study), state.chosen.get(study)];
  if (brush) {
    const dimensions = trace.dimensions.map((each) => ({ ...each, constraintrange: brush[each.name] || null }));
    return { ...trace, dimensions };
  }
  if (!set || !trace.customdata) return trace;
  const keep = numbers(trace).flatMap((number, row) => (set.has(number) ? [row] : []));
  const kept = (data) => { const all = decoded(data); return keep.map((row) => all[row]); };
  return { ...trace, customdata: kept(trace.customdata), line: { ...trace.line, color: kept(trace.line.color) },
    dimensions: trace.dimensions.map((each) => ({ ...each, values: kept(each.values), constraintrange: null })) };
};
const brushes = (holder) => {
  const brush = {};
  for (const { name, constraintrange: range } of holder.data[0].dimensions || []) {
    if (range && range.length) brush[name] = Array.isArray(range[0]) ? range.map((part) => [...part]) : [[...range]];
  }
  const some = Object.keys(brush).length > 0;
  choose(some ? new Set(picked(holder.block.figure.data[0], brush)) : null, some ? brush : null);
};
const marked = (figure, block) => {
  const set = state.chosen.get(here().study);
  return figure.data.map((trace) => {
    if (trace.type === "parcoords") return brushed(trace);
    if (!block.selects && !(boot.offline && set)) return trace;
    const of = trace.mode === "lines" ? null : numbers(trace);
    if (!of) return trace;
    const selectedpoints = set ? of.flatMap((number, index) => (set.has(number) ? [index] : [])) : null;
    return { ...trace, selectedpoints };
  });
};
// The small line below a title is broken for half a page of 1,280 pixels, and anew for a phone.
const LETTER = 6.4; // pixels of a letter of 12, in the mean
const wrapped = (layout, width) => {
  const text = layout.title && layout.title.subtitle && layout.title.subtitle.text;
  const margin = layout.margin || {};
  const most = Math.floor((width - Math.max(margin.l || 64, 100)) / LETTER);
  if (!text || text.split("<br>").every((line) => line.length <= most)) return layout;
  const lines = [""];
  for (const word of text.split(/ |<br>/)) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= most) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  const more = 15 * (lines.length - text.split("<br>").length);
  return { ...layout, title: { ...layout.title, subtitle: { ...layout.title.subtitle, text: lines.join("<br>") } },
    margin: { ...margin, t: (margin.t || 64) + more }, height: layout.height + more };
};
let cleared = 0; // plotly keeps its own selection until this changes
// plotly takes a second to be compiled, and some figures a second to be drawn: texts and tables do not wait for them, nor
// one figure for those below it.
const painted = () => new Promise((next) => { if (document.hidden) setTimeout(next); else requestAnimationFrame(() => setTimeout(next)); });
let turn = window.Plotly ? Promise.resolve() : new Promise((done) => element("plotly").addEventListener("load", done));
const draw = (holder, block) => {
  if (holder.classList.contains("js-plotly-plot")) { redraw(holder, block); return; }
  if (!holder.waits) {
    turn = turn.then(painted).then(() => {
      const wanted = holder.waits;
      holder.waits = null;
      holder.style.minHeight = "";
      if (holder.isConnected) redraw(holder, wanted);
    }).catch(reportError);
  }
  holder.waits = block;
  holder.style.minHeight = `${block.figure.layout.height || block.height}px`;
};
const redraw = (holder, block) => {
  if (holder._dragging) { changed = true; return; } // drawn anew it would lose the lasso; the next update draws it
  const given = { ...block.figure.layout, template: template() };
  given.height = given.height || block.height;
  const layout = narrow.matches ? wrapped(given, holder.clientWidth || innerWidth) : given;
  layout.uirevision = `${layout.uirevision} ${holder.released || 0}`;
  if (block.brushes) layout.uirevision += ` ${cleared}`; // plotly keeps a brush that was let go of, too
  if (block.selects) {
    layout.dragmode = narrow.matches ? false : (holder.layout && holder.layout.dragmode) || "lasso";
    // Which points are selected is ours to say: an outline that stays would light up points that come later.
    layout.selections = [];
    layout.selectionrevision = cleared;
  } else if (narrow.matches) layout.dragmode = false;
  // plotly's own uirevision gives a zoom up as soon as the figure comes with another range, as it does with new points.
  const axes = Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name) && layout[name].range);
  holder.given ||= new Set();
  for (const name of axes) holder.given.add(JSON.stringify([name, layout[name].range]));
  const zoom = zoomOf(block.id);
  for (const [name, range] of Object.entries(zoom)) {
    if (layout[name]) layout[name] = { ...layout[name], range: [...range], autorange: false };
  }
  const fresh = !holder.classList.contains("js-plotly-plot");
  holder.block = block;
  // Where an outline goes, plotly says of itself that nothing is selected; that is no choice of the visitor's.
  holder.drawing = (holder.drawing || 0) + 1;
  Promise.resolve(Plotly.react(holder, marked(block.figure, block), layout, config(block))).finally(() => { holder.drawing -= 1; });
  if (!fresh) return;
  holder.on("plotly_relayout", (change) => {
    const kept = zoomOf(holder.block.id);
    let reset = false;
    for (const name of new Set(Object.keys(change).map((key) => key.split(".")[0]).filter((key) => /^[xy]axis\d*$/.test(key)))) {
      const axis = holder.layout[name];
      if (axis.autorange || holder.given.has(JSON.stringify([name, axis.range]))) {
        reset ||= name in kept;
        delete kept[name];
      } else kept[name] = [...axis.range];
    }
    remember();
    if (reset) draw(holder, holder.block);
  });
  holder.on("plotly_doubleclick", () => release(holder));
  holder.on("plotly_click", (event) => {
    const data = event.points[0] && event.points[0].customdata;
    const number = first(data);
    if (typeof number === "string" && Array.isArray(data)) location.hash = address(number, "trial", data[1]); // another study's
    else if (!Number.isInteger(number)) return;
    else if (event.event && event.event.shiftKey && !boot.offline) tick(number);
    else location.hash = address(here().study, "trial", number);
  });
  if (block.brushes) holder.on("plotly_restyle", ([change]) => { if (Object.keys(change).some((key) => key.includes("constraintrange"))) brushes(holder); });
  if (!block.selects) return;
  holder.on("plotly_selected", (event) => {
    if (holder.drawing || !event || !event.points) return;
    const picked = event.points.map((point) => first(point.customdata)).filter(Number.isInteger);
    choose(picked.length ? new Set(picked) : null);
  });
  holder.on("plotly_deselect", () => { if (!holder.drawing) choose(null); });
};
const choose = (set, brush = null) => {
  const { study } = here();
  if (set) state.chosen.set(study, set); else state.chosen.delete(study);
  if (brush) state.brush.set(study, brush); else state.brush.delete(study);
  cleared += 1;
  show(true);
};
