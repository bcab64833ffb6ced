// The front over other axes, and as of fewer epochs: the marks that the page has are moved.

const frontFigure = document.getElementById("front-plot");
const frontSvg = frontFigure && frontFigure.querySelector("svg");
const frontMarks = new Map(); // index -> its mark

// Trials that are compared: complete ones, and before the last budget those stopped early that trained so long.
function competes(index, budget) {
  const trained = study.epochs[index] >= study.budgets[budget];
  return study.states[index] === "complete" || (budget < lastBudget && study.states[index] === "pruned" && trained);
}

// Names of what a front is best in: the objectives, unless another axis is drawn.
function judged(across, up) {
  const known = (name) => study.objectives.includes(name) || study.front.drawn.includes(name);
  return known(across) && known(up) ? study.objectives : [up, across];
}

function costOf(axis, index, budget) {
  const value = valueOf(axis, index, budget);
  return axis.maximize ? -value : value;
}

// Indices of trials that no other one beats in all of `names`, the best in the first of them first.
// Sorted by the first, then the second and so on, a trial can be beaten by those before it alone.
function frontOf(indices, names, budget) {
  const axes = names.map((name) => axisNamed.get(name));
  const rows = indices
    .filter((index) => axes.every((axis) => valueOf(axis, index, budget) !== null))
    .map((index) => ({ index, costs: axes.map((axis) => costOf(axis, index, budget)) }));
  rows.sort((a, b) => compare(a.costs, b.costs) || a.index - b.index);
  const kept = [];
  for (const row of rows) {
    if (!kept.some((other) => other.costs.every((cost, place) => cost <= row.costs[place]))) kept.push(row);
  }
  return kept.map((row) => row.index);
}

function compare(first, second) {
  const place = first.findIndex((cost, at) => cost !== second[at]);
  return place < 0 ? 0 : first[place] - second[place];
}

// Everything that the plot shows for the axes and the budget of the state.
function frontNow(budget = state.budget) {
  const { across, up } = state;
  const names = judged(across, up);
  const competing = [...frontMarks.keys()].filter((index) => competes(index, budget));
  const best = frontOf(competing, names, budget);
  const pair = names.includes(across) ? frontOf(competing, [up, across], budget) : [];
  return { competing, best, corners: staircase(pair, across, up, budget) };
}

// Corners of what a front of two reaches; what is reached stays reached to the worse end of the axis.
function staircase(front, across, up, budget) {
  const x = axisNamed.get(across);
  const corners = [];
  const sorted = [...front].sort((a, b) => costOf(x, a, budget) - costOf(x, b, budget));
  for (const index of sorted) {
    const point = [valueOf(x, index, budget), valueOf(axisNamed.get(up), index, budget)];
    if (corners.length) corners.push([point[0], corners.at(-1)[1]]);
    corners.push(point);
  }
  const scale = scaleOf(x, state.budget);
  if (corners.length) corners.push([x.maximize ? scale.low : scale.high, corners.at(-1)[1]]);
  return corners;
}

function frontPoint(x, y) {
  const { across, up, budget } = state;
  const share = (name, value) => shareOf(scaleOf(axisNamed.get(name), budget), value);
  return pointIn(study.front, share(across, x), share(up, y));
}

// Where a trial lies now; null where it has no value. Places are kept until the axes or the budget change.
const frontPlaces = new Map();
function frontPlace(index) {
  if (!frontPlaces.has(index)) frontPlaces.set(index, frontPlaceOf(index));
  return frontPlaces.get(index);
}

function frontPlaceOf(index) {
  const [x, y] = [state.across, state.up].map((name) => valueOf(axisNamed.get(name), index, state.budget));
  return x === null || y === null || !frontMarks.has(index) ? null : frontPoint(x, y);
}

function nearestOnFront(x, y) {
  const distance = (index) => {
    const place = frontPlace(index);
    return place ? Math.hypot(place[0] - x, place[1] - y) : Infinity;
  };
  return closest(frontMarks.keys(), distance, 14);
}

function ringOf(index) {
  const place = frontPlace(index);
  if (!place) return [];
  return [svgElement("circle", { cx: place[0], cy: place[1], r: 8 }), numberAt(place, index)];
}

// The number of a trial above its place, or below it near the upper edge; within the plot.
function numberAt([x, y], index) {
  const { left, right, top } = study.front;
  const number = String(study.numbers[index]);
  const half = 3.4 * number.length;
  const inside = Math.min(Math.max(x, left + half), right - half);
  const height = y - 20 > top ? y - 10 : y + 20;
  return svgElement("text", { x: inside, y: height, class: "label", "text-anchor": "middle" }, number);
}
