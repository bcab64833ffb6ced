// What the reader has chosen. There is one state for all views; a change is told to each of them, once a frame.

const state = {
  lit: null, // index of the trial that is pointed at
  picked: new Set(), // indices of chosen trials, in the order of choosing
  filters: new Map(), // name of a parallel axis -> [lowest, highest] share of it
  across: study.front && study.front.drawn[0],
  up: study.front && study.front.drawn[1],
  budget: lastBudget,
  sorted: null, // heading of a column of the table
  falling: false,
};
const views = []; // functions of the set of names that changed
let news = new Set();

function change(values) {
  if (news.size === 0) requestAnimationFrame(tell);
  for (const [name, value] of Object.entries(values)) {
    state[name] = value;
    news.add(name);
  }
}

function tell() {
  const told = news;
  news = new Set();
  for (const view of views) view(told);
}

function light(index) {
  if (index !== state.lit) change({ lit: index });
}

function togglePick(index) {
  const picked = new Set(state.picked);
  if (!picked.delete(index)) picked.add(index);
  change({ picked });
}

function setFilter(name, range) {
  const filters = new Map(state.filters);
  if (range) filters.set(name, range);
  else filters.delete(name);
  change({ filters });
}

function isKept(index) {
  return !dimmed.has(index);
}

// -- marks, lines and rows show the state by their classes -----------------------------------------------------------

const dimmed = new Set();
let litBefore = null;
let pickedBefore = new Set();

function mark(index, name, on) {
  for (const element of elementsOf.get(index) || []) element.classList.toggle(name, on);
}

function showLit(told) {
  if (!told.has("lit") || litBefore === state.lit) return;
  mark(litBefore, "lit", false);
  mark(state.lit, "lit", true);
  litBefore = state.lit;
}

function showPicked(told) {
  if (!told.has("picked")) return;
  for (const index of pickedBefore) if (!state.picked.has(index)) mark(index, "picked", false);
  for (const index of state.picked) if (!pickedBefore.has(index)) mark(index, "picked", true);
  pickedBefore = state.picked;
}

function showFilters(told) {
  if (!told.has("filters")) return;
  study.numbers.forEach((_, index) => {
    const out = !passes(index);
    if (out === dimmed.has(index)) return;
    if (out) dimmed.add(index);
    else dimmed.delete(index);
    mark(index, "out", out);
  });
}

// Whether a trial's line goes through every range that was brushed.
function passes(index) {
  const { names, top, bottom, y } = study.parallel || { names: [] };
  return names.every((name, axis) => {
    const range = state.filters.get(name);
    if (!range) return true;
    const share = (bottom - y[index][axis]) / (bottom - top);
    return range[0] <= share && share <= range[1];
  });
}

views.push(showLit, showPicked, showFilters);
