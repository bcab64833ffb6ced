// While a search runs the page loads itself again. What the reader chose, and where they read, outlives that in the
// tab's history, which pages of a disk have too.

const stillOn = document.getElementById("refreshes");

function addRefresh() {
  sayAge();
  setInterval(sayAge, 10_000);
  const alone = window.top === window; // a page in a frame, such as MLflow's, can't load itself again
  if (!alone) return;
  restore(history.state && history.state.study === study.study ? history.state : null);
  addEventListener("beforeunload", () => history.replaceState(remembered(), ""));
  if (study.refresh === null) return;
  document.getElementById("refreshing").classList.remove("absent");
  setTimeout(refresh, 1000 * study.refresh);
}

// Not under a pointer that drags, nor where nobody looks: it is tried again a little later.
let pressed = false;
addEventListener("pointerdown", () => (pressed = true));
addEventListener("pointerup", () => (pressed = false));
addEventListener("pointercancel", () => (pressed = false));

function refresh() {
  if (pressed || document.hidden || !stillOn.checked) setTimeout(refresh, 1000);
  else location.reload();
}

function sayAge() {
  const written = new Date(document.getElementById("as-of").dateTime);
  const minutes = Math.floor((Date.now() - written) / 60_000);
  document.getElementById("age").textContent = minutes < 1 ? "just now" : `${elapsed(minutes)} ago`;
}

function elapsed(minutes) {
  if (minutes < 120) return `${minutes} min`;
  return minutes < 2880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} days`;
}

// -- what outlives it -----------------------------------------------------------------------------------------------

function remembered() {
  const { across, up, budget, sorted, falling } = state;
  const focused = document.activeElement;
  return {
    study: study.study,
    picked: [...state.picked].map((index) => study.numbers[index]),
    filters: [...state.filters],
    chosen: { across, up, sorted, falling },
    epochs: budget === lastBudget ? null : study.budgets[budget],
    refreshes: stillOn.checked,
    focus: focused.id || null,
    row: focused.matches("#all-trials tr") ? Number(focused.dataset.trial) : null,
    boxes: scrolledBoxes().map((box) => box.scrollTop),
    place: readingPlace(),
  };
}

function scrolledBoxes() {
  return [...document.querySelectorAll(".tall")];
}

// The section that is read, and how far down in it: what is above may have grown.
function readingPlace() {
  const sections = [...document.querySelectorAll("section")];
  const read = sections.filter((section) => section.getBoundingClientRect().top <= 0).at(-1);
  return read ? { section: read.id, down: -read.getBoundingClientRect().top } : { section: null, down: scrollY };
}

function restore(before) {
  if (!before) return;
  const { chosen } = before;
  const budget = study.budgets.indexOf(before.epochs);
  change({
    picked: new Set(before.picked.map((number) => indexOfNumber.get(number)).filter((index) => index !== undefined)),
    filters: new Map(before.filters.filter(([name]) => study.parallel && study.parallel.names.includes(name))),
    budget: budget < 0 ? lastBudget : budget,
    sorted: chosen.sorted,
    falling: chosen.falling,
  });
  if (axisNamed.has(chosen.across) && axisNamed.has(chosen.up)) change({ across: chosen.across, up: chosen.up });
  stillOn.checked = before.refreshes;
  tell();
  restorePlace(before);
}

function restorePlace({ focus, row, boxes, place }) {
  scrolledBoxes().forEach((box, at) => (box.scrollTop = boxes[at] || 0));
  const index = indexOfNumber.get(row);
  const focused = index === undefined ? document.getElementById(focus) : rowOf(index);
  if (focused) focused.focus({ preventScroll: true });
  const section = document.getElementById(place.section);
  scrollTo(0, place.down + (section ? section.getBoundingClientRect().top + scrollY : 0));
}
