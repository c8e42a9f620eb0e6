// The page of the dashboard. All figures, tables and drawings come ready-made from the server, or from the report's
// own text; this places them, and asks again when something has changed.
const main = element("main");
let shown = ""; // which page stands in <main>
let revision = null;
let pending = 0; // the last question's number
let waiting = 0; // questions that have no answer yet
let scrolled = null; // where to scroll once the page that one goes back to stands

const WIDE = new Set(["importance", "slices", "parallel"]); // many panels or axes, which a phone scrolls

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
  const lists = (above) => {
    const choices = (answer.choices || []).filter((choice) => choice.above === above && (!boot.offline || answer.varied));
    return choices.length ? [{ kind: "choices", id: `choices${above && `-${above}`}`, choices }] : [];
  };
  for (const block of [...lists(""), ...answer.blocks.flatMap((each) => [...lists(each.id), each])]) {
    const id = `block-${block.id}`;
    keep.add(id);
    let holder = element(id);
    if (!holder) {
      holder = make("section", { id, className: block.kind === "choices" ? "choices" : `block ${block.width || ""}` });
      if (WIDE.has(block.id)) {
        holder.classList.add("wide");
        if (narrow.matches) Object.assign(holder, { tabIndex: 0, ariaLabel: block.id, role: "region" });
      }
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
    else if (block.kind === "note") noting(inner, block);
    else if (block.kind === "choices") offer(inner, block.choices);
  }
  for (const holder of [...main.children]) if (!keep.has(holder.id)) holder.remove();
};
// What takes long (a network built, a forest grown) comes in its own time; once for each path, selection and filter.
const fetchOnce = (holder, block) => {
  const { study } = here();
  const set = state.chosen.get(study);
  const source = `${block.path} ${state.filter.get(study) || ""} ${set ? ranges(set) : ""}`;
  if (holder.source === source) return;
  const empty = holder.source === undefined || holder.source === null;
  holder.source = source;
  if (empty) holder.textContent = "\u2026";
  ask(block.path, { chosen: set ? [...set] : null, filter: state.filter.get(study) || "" }).then((answer) => {
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
      (state.choices[here().page] ||= {})[choice.name] = list.value;
      show(true);
    });
    return make("label", {}, choice.label, list);
  }));
  holder.className = "choices";
};

// ---- what stands around a page -------------------------------------------------------------------------------------
const WHOLE = new Set(["now", "trial", "compare"]); // pages that no selection narrows
const frame = (answer) => {
  const { study, page, trial } = here();
  if (!study) return;
  delete document.documentElement.dataset.empty;
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
  if (element("tabs").textContent !== tabs.map((tab) => tab.textContent).join("") || !element("tabs").querySelector(`[aria-current][href="${address(study, page, trial)}"]`)) element("tabs").replaceChildren(...tabs);
  const set = state.chosen.get(study);
  const filtered = state.filter.get(study);
  const whole = WHOLE.has(page) || (boot.offline && page !== "pareto");
  const count = answer && Number.isInteger(answer.shown) ? answer.shown : set ? set.size : null;
  element("chosen").hidden = !set && !filtered;
  element("clear").previousElementSibling.textContent = whole
    ? "This page shows all trials; others show the selected ones alone. "
    : `${count === null ? "\u2026" : count} trial${count === 1 ? "" : "s"} selected; tables and figures show ${count === 1 ? "it" : "them"} alone. `;
  element("beside").hidden = !set || set.size < 2 || set.size > COMPARED || boot.offline;
  const ticked = ticks(study);
  element("ticked").hidden = !ticked.size;
  element("ticked").firstElementChild.textContent = `${ticked.size === COMPARED ? "Four trials, as many as can be compared," : ticked.size === 1 ? "1 trial" : `${ticked.size} trials`} ticked: ${[...ticked].join(", ")}. `;
  element("compare").href = address(study, "compare");
  element("compare").hidden = page === "compare";
  const line = element("filter");
  if (document.activeElement !== line) line.value = filtered || "";
  line.setAttribute("aria-invalid", String(Boolean(answer && answer.wrong)));
  element("wrong").textContent = (answer && answer.wrong) || "";
  element("wrong").hidden = !(answer && answer.wrong);
  element("optuna") && answer && answer.optuna && element("optuna").setAttribute("href", answer.optuna);
  if (!answer || !answer.facts) return;
  const source = JSON.stringify([study, answer.facts, [...ticked]]);
  if (element("facts").source === source) return;
  element("facts").source = source;
  element("facts").replaceChildren(...answer.facts.map(({ name, value, trial: number, filter }) => {
    const inner = make("div", { className: "value" });
    if (number !== undefined && number !== null) inner.append(make("a", { href: address(study, "trial", number), textContent: value }));
    else if (filter && !boot.offline) {
      const kept = ticked.size ? `&compare=${[...ticked].join(",")}` : "";
      const link = make("a", { href: `${address(study, "pareto")}?filter=${encodeURIComponent(filter)}${kept}`, textContent: value, title: `show ${filter} alone` });
      inner.append(link);
    } else inner.append(value);
    return make("div", {}, make("div", { className: "name", textContent: name }), inner);
  }));
};
const narrowTo = (line) => {
  const { study } = here();
  if (line) state.filter.set(study, line); else state.filter.delete(study);
  show(true);
};
element("beside").addEventListener("click", () => {
  const { study } = here();
  state.ticked.set(study, new Set(state.chosen.get(study)));
  location.hash = address(study, "compare");
});
element("untick").addEventListener("click", () => {
  state.ticked.delete(here().study);
  showTicks();
  show(true);
});
element("clear").addEventListener("click", () => { state.filter.delete(here().study); choose(null); });
element("filter").addEventListener("change", () => narrowTo(element("filter").value.trim()));
element("filter").addEventListener("search", () => narrowTo(element("filter").value.trim()));

// ---- asking ----------------------------------------------------------------------------------------------------------
// A report has its pages once, and for other values of their lists what then differs.
const changedBy = (base, difference) => {
  if (!difference) return base;
  if ("=" in difference) return difference["="];
  const copy = Array.isArray(base) ? base.slice(0, difference.n) : { ...base };
  for (const [key, each] of Object.entries(difference["~"])) copy[key] = changedBy(base[key], each);
  return copy;
};
const varied = (page) => {
  if (!page || !page.variants) return page;
  const wanted = Object.entries(state.choices[here().page] || {});
  const fits = ({ values }) => wanted.every(([name, value]) => !(name in values) || values[name] === value);
  const first = Object.fromEntries(page.choices.map(({ name, value }) => [name, value]));
  const variant = fits({ values: first }) ? null : page.variants.find(fits);
  return { ...(variant ? changedBy(page, variant.difference) : page), varied: true };
};
const ask = async (path, body) => {
  if (boot.offline) {
    return varied(boot.offline[path]) || { sentence: "This trial is not in the report, which has the best ones alone; posefront dashboard shows all." };
  }
  const reply = await fetch(`view/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (reply.status === 204) return null;
  if (!reply.ok) throw new Error(`the dashboard answered ${reply.status}`);
  return reply.json();
};
const path = () => {
  const { study, page, trial } = here();
  return [study, page, ...(page === "trial" ? [trial] : [])].map(encodeURIComponent).join("/");
};
const asked = (orders, fresh = true) => {
  const { study, page } = here();
  const set = state.chosen.get(study);
  return ask(path(), { revision: fresh ? null : revision, chosen: set ? [...set] : null, filter: state.filter.get(study) || "",
    choices: state.choices[page] || {}, ticked: page === "compare" ? [...ticks(study)] : [], orders: { ...Object.fromEntries(state.sorting), ...orders } });
};

let took = 0;
let changed = false; // something else is wanted than what stands, and has not come yet
const say = (sentence) => {
  for (const figure of main.querySelectorAll(".js-plotly-plot")) Plotly.purge(figure);
  shown = "";
  element("tabs").replaceChildren();
  element("facts").replaceChildren();
  element("facts").source = null;
  main.removeAttribute("aria-busy");
  document.documentElement.dataset.empty = "";
  main.replaceChildren(make("p", { className: "sentence", textContent: sentence }));
};
const show = async (fresh) => {
  await studies();
  const { study, asked: wanted } = here();
  if (!boot.studies.length) { say("There is no search here yet; this page shows the first one as soon as it begins."); return; }
  if (!study) { say(`There is no study ${wanted} here; there ${boot.studies.length === 1 ? "is" : "are"} ${boot.studies.map(({ name }) => name).join(", ")}.`); return; }
  const where = path();
  const mine = ++pending;
  const began = performance.now();
  changed ||= fresh; // an answer that a later question overtakes is dropped, and the later one must not ask for news alone
  if (fresh) { frame(null); remember(); }
  let answer;
  if (shown !== where) main.setAttribute("aria-busy", "true"); // another page stands there still
  waiting += 1;
  try {
    answer = await asked({}, changed || shown !== where).finally(() => { waiting -= 1; });
  } catch (error) {
    if (mine !== pending) return;
    element("trouble").textContent = "The dashboard no longer answers: it was stopped, or is busy. What is shown is as it was; this page asks again by itself.";
    element("trouble").hidden = false;
    element("status").className = "lost";
    return;
  }
  if (mine !== pending) return;
  main.removeAttribute("aria-busy");
  element("trouble").hidden = true;
  if (answer) {
    changed = false;
    revision = answer.revision;
    frame(answer);
    place(answer, where);
    element("status").className = answer.live ? "live" : "";
    element("status").textContent = answer.status || "";
    document.title = answer.title || document.title;
    if (scrolled !== null) { scrollTo(0, scrolled); scrolled = null; }
  } else {
    element("status").className = element("status").className === "lost" ? "live" : element("status").className;
  }
  took = performance.now() - began;
  if (answer) document.documentElement.dataset.took = took;
  document.documentElement.dataset.updates = Number(document.documentElement.dataset.updates || 0) + (answer ? 1 : 0);
};

// ---- studies, which may begin while this is open -----------------------------------------------------------------------
const list = element("studies");
const listed = () => {
  list.hidden = boot.studies.length < 2;
  list.replaceChildren(...boot.studies.map(({ key, name }) => make("option", { value: key, textContent: name })));
  list.value = here().study;
};
list.addEventListener("change", () => { location.hash = address(list.value, here().page === "trial" ? boot.pages[0][0] : here().page); });
let looked = performance.now();
const studies = async () => {
  if (boot.offline || (boot.studies.length && performance.now() - looked < 10000)) return;
  looked = performance.now();
  try {
    const reply = await fetch("studies");
    const found = reply.ok ? await reply.json() : boot.studies;
    if (JSON.stringify(found) === JSON.stringify(boot.studies)) return;
    boot.studies = found;
    listed();
  } catch { /* whoever asks for the page says so */ }
};

// ---- going there and back ------------------------------------------------------------------------------------------
const go = () => {
  adopt();
  list.value = here().study;
  show(true);
};
addEventListener("hashchange", go);
addEventListener("popstate", (event) => { scrolled = event.state && event.state.y !== undefined ? event.state.y : null; });
let settling = 0;
addEventListener("scroll", () => {
  clearTimeout(settling);
  settling = setTimeout(() => history.replaceState({ y: scrollY }, ""), 150);
}, { passive: true });
// A study of 10,000 trials takes most of a second an update: then the page asks less often, yet within 5 s.
const again = async () => {
  if (!document.hidden && !boot.offline && !waiting) await show(false);
  setTimeout(again, Math.min(4000, Math.max(boot.poll, 3 * took)));
};
document.documentElement.dataset.theme = theme;
history.scrollRestoration = "manual";
listed();
go();
if (!boot.offline) setTimeout(again, boot.poll);
