// The table of all trials: sorted by a click on a heading; arrow keys go from row to row, Enter chooses.

const trialsTable = document.getElementById("all-trials");

function addTable() {
  const headings = [...trialsTable.tHead.rows[0].cells];
  headings.forEach(addSorting);
  trialsTable.setAttribute("role", "grid");
  trialsTable.setAttribute("aria-multiselectable", "true");
  const rows = [...trialsTable.tBodies[0].rows];
  for (const row of rows) row.tabIndex = -1;
  if (rows.length) rows[0].tabIndex = 0;
  trialsTable.tBodies[0].addEventListener("keydown", answerRowKey);
  trialsTable.tBodies[0].addEventListener("focusin", (event) => focusRow(event.target.closest("tr")));
  views.push(showSorted, showChosenRow);
}

function addSorting(heading) {
  const button = document.createElement("button");
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => {
    const name = button.textContent;
    change({ sorted: name, falling: state.sorted === name ? !state.falling : false });
  });
}

function showSorted(told) {
  if (!told.has("sorted")) return;
  const headings = [...trialsTable.tHead.rows[0].cells];
  const column = headings.findIndex((heading) => heading.textContent === state.sorted);
  if (column < 0) return;
  headings.forEach((heading) => heading.removeAttribute("aria-sort"));
  headings[column].setAttribute("aria-sort", state.falling ? "descending" : "ascending");
  const body = trialsTable.tBodies[0];
  const keyed = [...body.rows].map((row) => ({ row, key: keyOf(row.cells[column]), number: Number(row.dataset.trial) }));
  keyed.sort((a, b) => byKey(a.key, b.key) || a.number - b.number);
  body.append(...keyed.map((each) => each.row));
}

function keyOf(cell) {
  const text = cell.textContent;
  if (!cell.classList.contains("number")) return text;
  return text === "-" ? null : Number(text.replaceAll(",", ""));
}

// What is missing comes last, whichever way the others are sorted.
function byKey(first, second) {
  if (first === null || second === null) return (first === null) - (second === null);
  const order = typeof first === "string" ? first.localeCompare(second) : first - second;
  return state.falling ? -order : order;
}

function answerRowKey(event) {
  const row = event.target.closest("tr");
  const rows = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling };
  if (event.key in rows) {
    if (rows[event.key]) rows[event.key].focus();
  } else if (event.key === "Enter" || event.key === " ") togglePick(indexOf(row));
  else return;
  event.preventDefault();
}

// One row is reached by Tab: the one that had the focus last.
function focusRow(row) {
  for (const other of trialsTable.tBodies[0].querySelectorAll("tr[tabindex='0']")) other.tabIndex = -1;
  row.tabIndex = 0;
  light(indexOf(row));
}

// The row that was chosen last is moved into sight within the table, unless it was chosen there.
function showChosenRow(told) {
  if (!told.has("picked")) return;
  for (const row of trialsTable.tBodies[0].rows) {
    row.setAttribute("aria-selected", state.picked.has(indexOf(row)));
  }
  const box = trialsTable.parentElement;
  const last = [...state.picked].at(-1);
  if (last === undefined || box.matches(":hover") || box.contains(document.activeElement)) return;
  const row = rowOf(last);
  box.scrollTop = row.offsetTop - box.offsetTop - box.clientHeight / 2;
}

function rowOf(index) {
  return elementsOf.get(index).find((element) => trialsTable.contains(element));
}
