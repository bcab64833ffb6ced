// The bar at the page's foot: which trial is lit, which are chosen, how many are filtered out. And the front's controls.

const bar = document.getElementById("chosen");
const picksField = document.getElementById("picks");

function addBar() {
  document.getElementById("copy-picks").addEventListener("click", copyPicks);
  document.getElementById("clear-picks").addEventListener("click", () => change({ picked: new Set() }));
  document.getElementById("clear-filters").addEventListener("click", () => change({ filters: new Map() }));
  views.push(showBar);
}

function showBar(told) {
  if (told.has("lit")) document.getElementById("lit-trial").textContent = state.lit === null ? "" : inWords(state.lit);
  if (told.has("picked")) {
    picksField.value = state.picked.size ? `--picks ${[...state.picked].map((index) => study.numbers[index]).join(",")}` : "";
    document.getElementById("picks-said").textContent = "";
  }
  if (told.has("filters")) {
    const kept = study.numbers.length - dimmed.size;
    document.getElementById("kept").textContent = state.filters.size ? `${kept} of ${study.numbers.length} trials kept` : "";
  }
  bar.classList.toggle("filtered", state.filters.size > 0);
  bar.classList.toggle("picks", state.picked.size > 0);
}

// A trial as its row of the table says it.
function inWords(index) {
  const headings = [...trialsTable.tHead.rows[0].cells].map((heading) => heading.textContent);
  const cells = [...rowOf(index).cells].map((cell) => cell.textContent);
  const words = cells.map((text, column) => (headings[column] === "configuration" ? text : `${headings[column]} ${text}`));
  return words.filter((_, column) => cells[column] !== "").join(", ");
}

// Where the clipboard can't be written, the text is selected, for the reader to copy.
async function copyPicks() {
  const said = document.getElementById("picks-said");
  const select = () => {
    picksField.focus();
    picksField.select();
    said.textContent = "selected: copy it with Ctrl+C";
  };
  if (!navigator.clipboard) return select();
  const copied = () => (said.textContent = "copied");
  return navigator.clipboard.writeText(picksField.value).then(copied, select);
}

function addFrontControls() {
  for (const name of ["across", "up"]) {
    const choice = document.getElementById(`axis-${name}`);
    choice.addEventListener("change", () => chooseAxis(name, choice.value));
  }
  const slider = document.getElementById("budget");
  slider.addEventListener("input", () => change({ budget: Number(slider.value) }));
  views.push(showFrontControls);
}

// Of two axes one can't be the other: they change places.
function chooseAxis(name, value) {
  const other = name === "across" ? "up" : "across";
  change(value === state[other] ? { [other]: state[name], [name]: value } : { [name]: value });
}

function showFrontControls() {
  document.getElementById("axis-across").value = state.across;
  document.getElementById("axis-up").value = state.up;
  const slider = document.getElementById("budget");
  slider.value = state.budget;
  const epochs = study.budgets[state.budget];
  const words = state.budget === lastBudget ? "all epochs" : `${epochs} ${epochs === 1 ? "epoch" : "epochs"}`;
  slider.setAttribute("aria-valuetext", words);
  document.getElementById("budget-said").textContent = words;
}
