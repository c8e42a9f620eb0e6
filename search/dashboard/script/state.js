// What the visitor has chosen. All of it stands in the address, so that a link shows what its sender saw:
//   #/STUDY/PAGE/TRIAL?filter=...&trials=0-4,9&brush={"AXIS":[[LOW,HIGH]]}&compare=17,3&sort.TABLE=-score@25&hide.TABLE=...&zoom.FIGURE=...&NAME=CHOICE
const boot = JSON.parse(document.getElementById("boot").textContent);
const element = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};

const state = {
  filter: new Map(), // study -> filter line
  chosen: new Map(), // study -> Set of trial numbers
  brush: new Map(), // study -> { axis: [[low, high], ...] }, what made the selection in the parallel coordinates
  ticked: new Map(), // study -> Set of trial numbers to compare, in the order of ticking
  choices: {}, // page -> { name: value }
  sorting: new Map(), // table -> { column, down, start }
  hidden: new Map(), // table -> Set of columns' titles
  zoom: new Map(), // study/page/figure -> { axis: [low, high] }
};

const split = () => {
  const [path, query = ""] = location.hash.split("?");
  let parts;
  try { parts = path.split("/").map(decodeURIComponent); } catch { parts = []; }
  return { parts, query };
};
const here = () => {
  const [, study, page, trial] = split().parts;
  const known = boot.pages.some(([key]) => key === page) || (page === "trial" && /^\d{1,9}$/.test(trial));
  const found = boot.studies.some(({ key }) => key === study);
  return {
    study: found || !boot.studies.length ? study : study ? null : boot.studies[0].key,
    asked: study,
    page: known ? page : boot.pages[0][0],
    trial: known && page === "trial" ? Number(trial) : null,
  };
};
const address = (study, page, trial) =>
  `#/${encodeURIComponent(study)}/${page}${trial === undefined || trial === null ? "" : `/${trial}`}`;

const ranges = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const parts = [];
  for (let i = 0; i < sorted.length;) {
    let j = i;
    while (j + 1 < sorted.length && sorted[j + 1] === sorted[j] + 1) j += 1;
    parts.push(i === j ? `${sorted[i]}` : `${sorted[i]}-${sorted[j]}`);
    i = j + 1;
  }
  return parts.join(",");
};
const unranged = (text) => {
  const numbers = new Set();
  for (const part of text.split(",")) {
    const [, low, high] = /^(\d{1,7})(?:-(\d{1,7}))?$/.exec(part) || [];
    if (low === undefined) continue;
    for (let number = +low; number <= Math.min(+(high || low), +low + 200000); number += 1) numbers.add(number);
  }
  return numbers;
};

// Trials that are ticked, to be compared.
const COMPARED = 4;
const ticks = (study) => state.ticked.get(study) || new Set();

// The address of what is on the screen, written without a step in the browser's history.
const remember = () => {
  const { study, page, trial } = here();
  if (!study) return;
  const query = new URLSearchParams();
  if (state.filter.get(study)) query.set("filter", state.filter.get(study));
  if (state.chosen.has(study)) query.set("trials", ranges(state.chosen.get(study)));
  if (state.brush.has(study)) query.set("brush", JSON.stringify(state.brush.get(study), (_, value) => (typeof value === "number" ? +value.toPrecision(6) : value)));
  if (ticks(study).size) query.set("compare", [...ticks(study)].join(","));
  for (const [name, value] of Object.entries(state.choices[page] || {})) query.set(name, value);
  for (const holder of document.querySelectorAll("main .table[data-table]")) {
    const table = holder.dataset.table;
    const kept = state.sorting.get(table);
    if (kept && (kept.column || kept.start)) query.set(`sort.${table}`, `${kept.down ? "-" : ""}${kept.column || ""}${kept.start ? `@${kept.start}` : ""}`);
    const hidden = state.hidden.get(table);
    if (hidden && hidden.size) query.set(`hide.${table}`, [...hidden].join("|"));
  }
  for (const [key, axes] of state.zoom) {
    const [of, at, figure] = key.split("\n");
    if (of !== study || at !== page || !Object.keys(axes).length) continue;
    query.set(`zoom.${figure}`, Object.entries(axes).map(([axis, range]) => `${axis}:${range.map((end) => (typeof end === "number" ? +end.toPrecision(6) : end)).join(":")}`).join("|"));
  }
  const text = query.toString();
  const wanted = address(study, page, trial) + (text ? `?${text}` : "");
  if (location.hash !== wanted) history.replaceState(history.state, "", wanted);
};

const brushOf = (text) => {
  try {
    const entries = Object.entries(JSON.parse(text)).filter(([, parts]) => Array.isArray(parts) && parts.length && parts.every((part) => Array.isArray(part) && part.length === 2 && part.every(Number.isFinite)));
    return entries.length ? Object.fromEntries(entries) : null;
  } catch { return null; }
};

// Take over what an address says; one without a question mark, as tabs and links have, says nothing and changes nothing.
const adopt = () => {
  const { study, page } = here();
  const { query } = split();
  if (!study || !query) return;
  const said = new URLSearchParams(query);
  state.filter.delete(study);
  state.chosen.delete(study);
  state.brush.delete(study);
  state.ticked.delete(study);
  for (const [name, value] of said) {
    const [kind, ...rest] = name.split(".");
    const of = rest.join(".");
    if (name === "filter") state.filter.set(study, value);
    else if (name === "compare") state.ticked.set(study, new Set([...unranged(value)].slice(0, COMPARED)));
    else if (name === "trials") state.chosen.set(study, unranged(value));
    else if (name === "brush") {
      const brush = brushOf(value);
      if (brush) state.brush.set(study, brush);
    } else if (kind === "sort" && of) {
      const [, down, column, start] = /^(-?)(.*?)(?:@(\d{1,7}))?$/.exec(value);
      state.sorting.set(of, { column, down: down === "-", start: Number(start || 0) });
    } else if (kind === "hide" && of) state.hidden.set(of, new Set(value.split("|")));
    else if (kind === "zoom" && of) {
      const axes = {};
      for (const part of value.split("|")) {
        const [axis, low, high] = part.split(":");
        const end = (text) => (text === "" || Number.isNaN(Number(text)) ? text : Number(text));
        if (/^[xy]axis\d*$/.test(axis) && high !== undefined) axes[axis] = [end(low), end(high)];
      }
      state.zoom.set([study, page, of].join("\n"), axes);
    } else if (!of) (state.choices[page] ||= {})[name] = value;
  }
};
const zoomOf = (figure) => {
  const { study, page } = here();
  const key = [study, page, figure].join("\n");
  if (!state.zoom.has(key)) state.zoom.set(key, {});
  return state.zoom.get(key);
};
