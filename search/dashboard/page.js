"use strict";
// The page of the dashboard. All figures, tables and drawings come ready-made from the server, or from the report's
// own text; this script places them, keeps zoom and selection, and asks again when something has changed.
(() => {
  const boot = JSON.parse(document.getElementById("boot").textContent);
  const element = (id) => document.getElementById(id);
  const main = element("main");
  const make = (tag, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };

  // ---- where we are: #/study/page/trial --------------------------------------------------------------------------
  const here = () => {
    let parts;
    try { parts = location.hash.split("/").map(decodeURIComponent); } catch { parts = []; }
    const [, study, page, trial] = parts;
    const known = boot.pages.some(([key]) => key === page) || (page === "trial" && /^\d{1,9}$/.test(trial));
    return {
      study: boot.studies.some(({ key }) => key === study) ? study : boot.studies[0].key,
      page: known ? page : boot.pages[0][0],
      trial: known && page === "trial" ? Number(trial) : null,
    };
  };
  const address = (study, page, trial) =>
    `#/${encodeURIComponent(study)}/${page}${trial === undefined || trial === null ? "" : `/${trial}`}`;

  // ---- what the visitor has chosen; it outlives updates and pages ------------------------------------------------
  const chosen = new Map(); // study -> Set of trial numbers
  const choices = {}; // page -> { name: value }
  const sorting = new Map(); // table -> { column, down, start }

  // ---- light and dark ---------------------------------------------------------------------------------------------
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
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
      newselection: { line: { color: colour("--accent"), width: 1.5 } },
      annotationdefaults: { bgcolor: "rgba(0,0,0,0)" },
    }, data: { parcoords: [{ labelfont: { color: colour("--ink") }, tickfont: { color: colour("--ink") } }] } };
  };
  const dress = () => {
    document.documentElement.dataset.theme = theme;
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      Plotly.react(figure, figure.data, { ...figure.layout, template: template() }, config);
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

  // ---- figures ------------------------------------------------------------------------------------------------------
  const config = { displaylogo: false, responsive: true, scrollZoom: false, plotlyServerURL: "", showLink: false,
    modeBarButtonsToRemove: ["toImage"] };
  // Typed arrays come as base64 ({dtype, bdata, shape}); plotly decodes them itself, customdata alone is read here.
  const WIDTH = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array, i1: Int8Array, u4: Uint32Array,
    u2: Uint16Array, u1: Uint8Array };
  const first = (data) => (Array.isArray(data) || ArrayBuffer.isView(data) ? data[0] : data);
  const numbers = (trace) => {
    const data = trace.customdata;
    if (!data) return null;
    if (!data.bdata) return Array.from(data, first);
    const bytes = Uint8Array.from(atob(data.bdata), (letter) => letter.charCodeAt(0));
    const flat = new WIDTH[data.dtype](bytes.buffer);
    const columns = data.shape ? Number(String(data.shape).split(",")[1] || 1) : 1;
    return Array.from({ length: flat.length / columns }, (_, row) => flat[row * columns]);
  };
  const marked = (figure, block) => {
    const set = chosen.get(here().study);
    return figure.data.map((trace) => {
      if (!block.selects && !(boot.offline && set)) return trace;
      const of = trace.mode === "lines" ? null : numbers(trace);
      if (!of) return trace;
      const selectedpoints = set ? of.flatMap((number, index) => (set.has(number) ? [index] : [])) : null;
      return { ...trace, selectedpoints };
    });
  };
  const draw = (holder, block) => {
    const layout = { ...block.figure.layout, template: template() };
    layout.height = layout.height || block.height;
    if (block.selects) layout.dragmode = (holder.layout && holder.layout.dragmode) || "lasso";
    if (block.selects && chosen.has(here().study) && holder.layout) layout.selections = holder.layout.selections;
    // plotly's own uirevision gives a zoom up as soon as the figure comes with another range, as it does with new points.
    const axes = Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name) && layout[name].range);
    holder.given ||= new Set();
    for (const name of axes) holder.given.add(JSON.stringify([name, layout[name].range]));
    for (const [name, range] of Object.entries(holder.zoom || {})) {
      layout[name] = { ...layout[name], range: [...range], autorange: false };
    }
    const fresh = !holder.classList.contains("js-plotly-plot");
    const shown = { ...config, modeBarButtonsToAdd: block.selects ? ["lasso2d", "select2d"] : [] };
    Plotly.react(holder, marked(block.figure, block), layout, shown);
    holder.block = block;
    if (!fresh) return;
    holder.on("plotly_relayout", (change) => {
      const zoom = (holder.zoom ||= {});
      let reset = false;
      for (const name of new Set(Object.keys(change).map((key) => key.split(".")[0]).filter((key) => /^[xy]axis\d*$/.test(key)))) {
        const axis = holder.layout[name];
        if (axis.autorange || holder.given.has(JSON.stringify([name, axis.range]))) {
          reset ||= name in zoom;
          delete zoom[name];
        } else zoom[name] = [...axis.range];
      }
      if (reset) draw(holder, holder.block);
    });
    holder.on("plotly_click", (event) => {
      const number = first(event.points[0] && event.points[0].customdata);
      if (Number.isInteger(number)) location.hash = address(here().study, "trial", number);
    });
    if (!block.selects) return;
    holder.on("plotly_selected", (event) => {
      if (!event || !event.points) return;
      const picked = event.points.map((point) => first(point.customdata)).filter(Number.isInteger);
      choose(picked.length ? new Set(picked) : null);
    });
    holder.on("plotly_deselect", () => choose(null));
  };
  const choose = (set) => {
    if (set) chosen.set(here().study, set); else chosen.delete(here().study);
    for (const holder of document.querySelectorAll(".js-plotly-plot")) if (!set) holder.layout.selections = [];
    show(true);
  };
  element("clear").addEventListener("click", () => choose(null));

  // ---- tables ---------------------------------------------------------------------------------------------------------
  const PAGE = 25;
  const fill = (holder, block) => {
    const kept = sorting.get(block.id) || { column: null, down: false, start: 0 };
    sorting.set(block.id, kept);
    const set = chosen.get(here().study);
    let rows = boot.offline && set ? block.rows.filter((row) => set.has(row[0])) : block.rows;
    if (kept.column !== null && kept.column < block.columns.length) {
      const value = (row) => first(row[kept.column]); // a number comes with its spelling: [value, text]
      rows = [...rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return kept.down ? -order : order;
      });
    }
    kept.start = Math.min(kept.start, Math.max(0, Math.floor((rows.length - 1) / PAGE) * PAGE));
    const head = make("tr");
    block.columns.forEach((column, index) => {
      const cell = make("th", { textContent: column.title, className: column.right ? "right" : "", scope: "col", tabIndex: 0 });
      if (kept.column === index) cell.setAttribute("aria-sort", kept.down ? "descending" : "ascending");
      const turn = () => {
        kept.down = kept.column === index ? !kept.down : false;
        kept.column = index;
        kept.start = 0;
        fill(holder, block);
      };
      cell.addEventListener("click", turn);
      cell.addEventListener("keydown", (event) => { if (event.key === "Enter") turn(); });
      head.append(cell);
    });
    const body = make("tbody");
    for (const row of rows.slice(kept.start, kept.start + PAGE)) {
      const line = make("tr");
      row.forEach((value, index) => {
        const column = block.columns[index];
        const cell = make("td", { className: column.right ? "right" : "" });
        if (column.progress && value !== null) cell.append(make("progress", { max: 1, value }), ` ${Math.round(100 * value)} %`);
        else cell.textContent = Array.isArray(value) ? value[1] : value === null ? "" : value;
        line.append(cell);
      });
      line.dataset.trial = row[0];
      line.tabIndex = 0;
      const open = () => { location.hash = address(here().study, "trial", row[0]); };
      line.addEventListener("click", open);
      line.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
      body.append(line);
    }
    const pager = make("div", { className: "pager" });
    const step = (text, to, enabled) => {
      const button = make("button", { type: "button", textContent: text, disabled: !enabled });
      button.addEventListener("click", () => { kept.start = to; fill(holder, block); });
      return button;
    };
    if (rows.length > PAGE) {
      pager.append(step("previous", kept.start - PAGE, kept.start > 0), step("next", kept.start + PAGE, kept.start + PAGE < rows.length));
    }
    const end = Math.min(rows.length, kept.start + PAGE);
    pager.append(rows.length ? `${kept.start + 1} to ${end} of ${rows.length}${block.more ? `, ${block.more}` : ""}` : block.none);
    holder.replaceChildren(make("div", { className: "scroll" }, make("table", {}, make("thead", {}, head), body)), pager);
  };

  // ---- a page: its blocks, made once and then brought up to date in place ---------------------------------------------
  let shown = ""; // which page stands in <main>
  let revision = null;
  let pending = 0;
  const place = (answer, where) => {
    if (shown !== where) {
      for (const figure of main.querySelectorAll(".js-plotly-plot")) Plotly.purge(figure);
      main.replaceChildren();
      shown = where;
      scrollTo(0, 0);
    }
    if (answer.sentence) {
      main.replaceChildren(make("p", { className: "sentence", textContent: answer.sentence }));
      return;
    }
    const old = main.querySelector(".sentence");
    if (old) old.remove();
    const keep = new Set();
    let before = null;
    for (const block of [...(answer.choices && !boot.offline ? [{ kind: "choices", id: "choices", choices: answer.choices }] : []), ...answer.blocks]) {
      const id = `block-${block.id}`;
      keep.add(id);
      let holder = element(id);
      if (!holder) {
        holder = make("section", { id, className: block.kind === "choices" ? "choices" : `block ${block.width || ""}` });
        if (block.title) holder.append(make("h2", { textContent: block.title }));
        holder.append(make("div", { className: block.kind }));
        if (block.height) holder.lastChild.style.minHeight = `${block.height}px`;
        if (before) before.after(holder); else main.prepend(holder);
      }
      before = holder;
      const inner = holder.lastChild;
      if (block.kind === "figure") draw(inner, block);
      else if (block.kind === "table") fill(inner, block);
      else if (block.kind === "html") { if (inner.source !== block.html) { inner.innerHTML = block.html; inner.source = block.html; } }
      else if (block.kind === "later") fetchOnce(inner, block);
      else if (block.kind === "choices") offer(inner, block.choices);
    }
    for (const holder of [...main.children]) if (!keep.has(holder.id)) holder.remove();
  };
  // What takes long (torch is imported, a network built, a forest grown) comes in its own time; once for each path
  // and selection.
  const fetchOnce = (holder, block) => {
    const set = chosen.get(here().study);
    const source = `${block.path} ${set ? [...set].join() : ""}`;
    if (holder.source === source) return;
    const empty = holder.source === undefined || holder.source === null;
    holder.source = source;
    if (empty) holder.textContent = "\u2026";
    ask(block.path, { chosen: set ? [...set] : null }).then((answer) => {
      if (holder.source !== source) return;
      if (answer.figure) {
        if (empty) holder.replaceChildren();
        holder.style.minHeight = "";
        draw(holder, { ...block, figure: answer.figure });
      } else holder.innerHTML = answer.html;
    }).catch(() => {
      holder.source = null;
      holder.textContent = "The dashboard did not answer; this page asks again by itself.";
      setTimeout(() => { if (holder.isConnected && !holder.source) fetchOnce(holder, block); }, 5000);
    });
  };
  const offer = (holder, offered) => {
    const source = JSON.stringify(offered);
    if (holder.source === source) return;
    holder.source = source;
    holder.replaceChildren(...offered.map((choice) => {
      const list = make("select", { name: choice.name });
      for (const [value, text] of choice.options) list.append(make("option", { value, textContent: text, selected: value === choice.value }));
      list.addEventListener("change", () => {
        (choices[here().page] ||= {})[choice.name] = list.value;
        show(true);
      });
      return make("label", {}, choice.label, list);
    }));
    holder.className = "choices";
  };

  const frame = (facts) => {
    const { study, page, trial } = here();
    const tabs = boot.pages.map(([key, title]) => {
      const link = make("a", { href: address(study, key), textContent: title });
      if (key === page) link.setAttribute("aria-current", "page");
      return link;
    });
    if (page === "trial") {
      const link = make("a", { href: address(study, "trial", trial), textContent: `Trial ${trial}` });
      link.setAttribute("aria-current", "page");
      tabs.push(link);
    }
    element("tabs").replaceChildren(...tabs);
    const set = chosen.get(study);
    element("chosen").hidden = !set;
    element("chosen").firstChild.textContent = set ? `${set.size} trial${set.size === 1 ? "" : "s"} selected; tables and figures show ${set.size === 1 ? "it" : "them"} alone.` : "";
    if (!facts) return;
    element("facts").replaceChildren(...facts.map(({ name, value, trial: number }) => {
      const inner = make("div", { className: "value" });
      inner.append(number === undefined || number === null ? value : make("a", { href: address(study, "trial", number), textContent: value }));
      return make("div", {}, make("div", { className: "name", textContent: name }), inner);
    }));
  };

  const ask = async (path, body) => {
    if (boot.offline) {
      return boot.offline[path] || { sentence: "This trial is not in the report, which has the best ones alone; posefront dashboard shows all." };
    }
    const reply = await fetch(`view/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (reply.status === 204) return null;
    if (!reply.ok) throw new Error(`the dashboard answered ${reply.status}`);
    return reply.json();
  };

  let took = 0;
  const show = async (fresh) => {
    const { study, page, trial } = here();
    const path = [study, page, ...(page === "trial" ? [trial] : [])].map(encodeURIComponent).join("/");
    const mine = ++pending;
    const began = performance.now();
    frame(null);
    const set = chosen.get(study);
    let answer;
    try {
      answer = await ask(path, { revision: fresh || shown !== path ? null : revision, chosen: set ? [...set] : null, choices: choices[page] || {} });
    } catch (error) {
      if (mine !== pending) return;
      element("trouble").textContent = "The dashboard no longer answers: it was stopped, or is busy. What is shown is as it was; this page asks again by itself.";
      element("trouble").hidden = false;
      element("status").className = "lost";
      return;
    }
    if (mine !== pending) return;
    element("trouble").hidden = true;
    if (answer) {
      revision = answer.revision;
      frame(answer.facts);
      place(answer, path);
      element("status").className = answer.live ? "live" : "";
      element("status").textContent = answer.status || "";
      document.title = answer.title || document.title;
    } else {
      element("status").className = element("status").className === "lost" ? "live" : element("status").className;
    }
    took = performance.now() - began;
    if (answer) document.documentElement.dataset.took = took;
    document.documentElement.dataset.updates = Number(document.documentElement.dataset.updates || 0) + (answer ? 1 : 0);
  };

  const list = element("studies");
  if (boot.studies.length > 1) {
    list.hidden = false;
    for (const { key, name } of boot.studies) list.append(make("option", { value: key, textContent: name }));
    list.addEventListener("change", () => { location.hash = address(list.value, here().page === "trial" ? boot.pages[0][0] : here().page); });
  }
  const go = () => {
    list.value = here().study;
    show(true);
  };
  addEventListener("hashchange", go);
  // A study of 10,000 trials takes most of a second an update: then the page asks less often, yet within 5 s.
  const again = async () => {
    if (!document.hidden && !boot.offline) await show(false);
    setTimeout(again, Math.min(4000, Math.max(boot.poll, 3 * took)));
  };
  document.documentElement.dataset.theme = theme;
  go();
  if (!boot.offline) setTimeout(again, boot.poll);
})();
