// Tables come sorted, a page at a time; a report has all lines and sorts them here. They are brought up to date in place,
// so that scrolling, focus and selected text stay.
const LINES = 25;
const kept = (id) => {
  if (!state.sorting.has(id)) state.sorting.set(id, { column: "", down: false, start: 0 });
  return state.sorting.get(id);
};
const spelt = (value) => (Array.isArray(value) ? value[1] : value === null || value === undefined ? "" : String(value));

const offlineRows = (block) => {
  const set = state.chosen.get(here().study);
  const { column, down } = kept(block.id);
  const at = block.columns.findIndex(({ title }) => title === column);
  let rows = set ? block.rows.filter((row) => set.has(row[0])) : block.rows;
  if (at < 0) return rows;
  const key = (row) => { const value = first(row[at]); return value === "" ? null : value; };
  return [...rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return down ? -order : order;
  });
};

const fill = (holder, block) => {
  const sorted = kept(block.id);
  const hidden = state.hidden.get(block.id) || new Set();
  let { rows, total } = block;
  if (boot.offline) {
    const all = offlineRows(block);
    total = all.length;
    sorted.start = Math.min(sorted.start, Math.max(0, Math.floor((total - 1) / LINES) * LINES));
    rows = all.slice(sorted.start, sorted.start + LINES);
  } else sorted.start = block.start;
  const columns = block.columns.map((column, index) => ({ ...column, index })).filter(({ title, index }) => index === 0 || !hidden.has(title));
  if (!holder.table) {
    holder.dataset.table = block.id;
    holder.table = make("table", {}, make("thead"), make("tbody"));
    holder.pager = make("div", { className: "pager" });
    const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: block.title });
    scroll.append(holder.table);
    holder.replaceChildren(scroll, holder.pager);
  }
  const turn = (change) => {
    Object.assign(sorted, change);
    remember();
    if (boot.offline) fill(holder, block); else show(true);
  };

  const [thead, tbody] = holder.table.children;
  const titles = JSON.stringify(columns.map(({ title }) => title));
  if (holder.titles !== titles) {
    holder.titles = titles;
    tbody.replaceChildren();
    thead.replaceChildren(make("tr", {}, ...columns.map((column) => {
      const button = make("button", { type: "button", textContent: column.title });
      button.addEventListener("click", () => turn({ column: column.title, down: kept(block.id).column === column.title && !kept(block.id).down, start: 0 }));
      return make("th", { className: column.right ? "right" : "", scope: "col" }, button);
    })));
    // Frozen with the trial's number; what a trial is called, where that is the second column.
    holder.table.classList.toggle("ticks", ticking(block));
    holder.table.classList.toggle("named", columns.length > 1 && columns[1].title === "name");
  }
  [...thead.firstChild.children].forEach((cell, place) => {
    if (columns[place].title === sorted.column) cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });

  const focused = document.activeElement;
  const old = new Map([...tbody.children].map((line) => [line.dataset.trial, line]));
  rows.forEach((row, place) => {
    let line = old.get(String(row[0]));
    old.delete(String(row[0]));
    if (!line) {
      line = make("tr", {}, ...columns.map((column, at) => make(at ? "td" : "th", { className: column.right ? "right" : "", ...(at ? {} : { scope: "row" }) })));
      line.dataset.trial = row[0];
      const link = make("a", { href: address(here().study, "trial", row[0]), textContent: row[0] });
      if (ticking(block)) {
        const box = make("input", { type: "checkbox", ariaLabel: `compare trial ${row[0]}` });
        box.addEventListener("change", () => tick(row[0]));
        line.firstChild.append(box);
      }
      line.firstChild.append(link);
      line.addEventListener("click", (event) => {
        if (event.target.closest("a, button, input") || String(getSelection())) return;
        location.hash = address(here().study, "trial", row[0]);
      });
    }
    columns.forEach((column, at) => {
      if (!at) return;
      const cell = line.children[at];
      const text = spelt(row[column.index]);
      if (cell.text === text) return;
      cell.text = text;
      if (column.progress && text !== "") cell.replaceChildren(make("progress", { max: 1, value: Number(text), ariaLabel: column.title }), ` ${Math.round(100 * Number(text))} %`);
      else cell.textContent = text;
      cell.title = text.length > 40 ? text : "";
    });
    if (tbody.children[place] !== line) tbody.insertBefore(line, tbody.children[place] || null);
  });
  for (const line of old.values()) line.remove();
  showTicks();
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  pages(holder, block, rows, total, columns, turn);
};

// Trials to compare are ticked where a study's trials are listed; a report has no answers to compare.
const ticking = (block) => Boolean(block.ticks) && !boot.offline;
const showTicks = () => {
  const set = ticks(here().study);
  for (const box of main.querySelectorAll("tr[data-trial] > th > input")) {
    box.checked = set.has(Number(box.closest("tr").dataset.trial));
    box.disabled = !box.checked && set.size >= COMPARED;
  }
};
const tick = (number) => {
  const { study } = here();
  const set = new Set(ticks(study));
  if (!set.delete(number) && set.size < COMPARED) set.add(number);
  state.ticked.set(study, set);
  showTicks();
  frame(null);
  remember();
};

const pages = (holder, block, rows, total, columns, turn) => {
  const { start } = kept(block.id);
  const text = rows.length ? `${start + 1} to ${start + rows.length} of ${total}` : "";
  const said = [rows.length ? text : block.none, block.note].filter(Boolean).join("; ");
  if (!holder.pager.children.length) {
    const button = (name, label) => make("button", { type: "button", className: name, textContent: label });
    const choice = make("details", { className: "columns" }, make("summary", { textContent: "columns" }), make("div"));
    holder.pager.append(button("before", "previous"), button("after", "next"), make("span"), choice, button("csv", "CSV"));
  }
  const [before, after, words, choice, csv] = holder.pager.children;
  before.hidden = after.hidden = total <= LINES;
  // Not `disabled`, which takes the focus away from whoever presses it again and again.
  before.ariaDisabled = String(start <= 0);
  after.ariaDisabled = String(start + rows.length >= total);
  before.onclick = () => { if (start > 0) turn({ start: Math.max(0, start - LINES) }); };
  after.onclick = () => { if (start + rows.length < total) turn({ start: start + LINES }); };
  if (words.textContent !== said) words.textContent = said;
  choice.hidden = csv.hidden = !rows.length || block.columns.length < 10;
  csv.onclick = () => saveTable(block, columns);
  const names = JSON.stringify(block.columns.map(({ title }) => title));
  if (choice.names !== names) {
    choice.names = names;
    choice.lastChild.replaceChildren(...block.columns.slice(1).map(({ title }) => {
      const box = make("input", { type: "checkbox", checked: !(state.hidden.get(block.id) || new Set()).has(title) });
      box.addEventListener("change", () => {
        const hidden = state.hidden.get(block.id) || new Set();
        if (box.checked) hidden.delete(title); else hidden.add(title);
        state.hidden.set(block.id, hidden);
        remember();
        fill(holder, holder.block);
      });
      return make("label", {}, box, title);
    }));
  }
  holder.block = block;
};

// All lines that filter and selection leave, in the order and with the columns of the screen.
const saveTable = async (block, columns) => {
  let rows = boot.offline ? offlineRows(block) : [];
  if (!boot.offline) {
    const answer = await asked({ [block.id]: { ...kept(block.id), start: 0, lines: 0 } });
    rows = answer.blocks.find(({ id }) => id === block.id).rows;
  }
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const plain = (value) => (Array.isArray(value) && typeof value[0] === "number" && !Number.isNaN(Number(value[1].replaceAll(",", ""))) ? String(value[0]) : spelt(value));
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ index }) => plain(row[index])))];
  const file = new Blob([lines.map((line) => line.map((text) => quoted(text)).join(",")).join("\n"), "\n"], { type: "text/csv" });
  const link = make("a", { href: URL.createObjectURL(file), download: `${here().study}-${block.id}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
