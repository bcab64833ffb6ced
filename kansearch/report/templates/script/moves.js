// Draws the front's plot for the axes and the budget of the state. Its marks, line and axes are those of the page, moved.

const MOST_LABELS = 12;

function addFront() {
  for (const mark of frontSvg.querySelectorAll("use[data-trial]")) frontMarks.set(indexOf(mark), mark);
  const labels = frontSvg.querySelector("g.labels");
  const parts = {
    line: frontSvg.querySelector("path.front"),
    ghost: svgElement("path", { class: "line front ghost" }),
    labels,
    ownLabels: [...labels.childNodes],
  };
  parts.line.before(parts.ghost);
  views.push((told) => {
    if (["across", "up", "budget"].some((name) => told.has(name))) moveFront(parts);
  });
  addOverlay(frontSvg, ringOf, ["across", "up", "budget"]);
  answerPointer(frontSvg, nearestOnFront);
  answerFrontKeys(frontFigure.querySelector(".plot"));
}

function moveFront(parts) {
  frontPlaces.clear();
  const now = frontNow();
  moveAxes();
  moveMarks(parts, now);
  moveReferences();
  parts.line.setAttribute("d", pathThrough(now.corners.map((corner) => frontPoint(...corner))));
  const final = state.budget < lastBudget ? frontNow(lastBudget).corners : [];
  parts.ghost.setAttribute("d", pathThrough(final.map((corner) => frontPoint(...corner))));
  const own = isAsWritten();
  parts.labels.replaceChildren(...(own ? parts.ownLabels : frontLabels(now.best)));
  document.getElementById("front-said").textContent = own ? "" : frontInWords(now);
}

// Whether the plot is the one that the page was written with.
function isAsWritten() {
  const [across, up] = study.front.drawn;
  return state.across === across && state.up === up && state.budget === lastBudget;
}

function frontInWords({ competing, best }) {
  const names = judged(state.across, state.up).map((name) => name.replaceAll("_", " "));
  const early = state.budget < lastBudget;
  const epochs = early ? ` as of epoch ${study.budgets[state.budget]}; dashed is the front after all epochs` : "";
  return `${best.length} of ${competing.length} trials are on the front of ${names.join(" and ")}${epochs}.`;
}

function moveMarks(parts, { competing, best }) {
  const onFront = new Set(best);
  const behind = new Set(competing.filter((index) => !onFront.has(index)));
  const crowded = behind.size > study.front.crowd;
  for (const [index, mark] of frontMarks) {
    const role = onFront.has(index) ? "best" : behind.has(index) ? "rest" : "stopped";
    moveTo(mark, frontPlace(index));
    setRole(parts, mark, role, role === "stopped" || (role === "rest" && crowded));
  }
}

function moveTo(element, place, above = 0) {
  element.classList.toggle("absent", place === null);
  if (place === null) return;
  element.setAttribute("x", place[0].toFixed(1));
  element.setAttribute("y", (place[1] - above).toFixed(1));
}

// The best are drawn above all others.
function setRole(parts, mark, role, small) {
  mark.setAttribute("href", mark.getAttribute("href").replace(/^#[st]-/, small ? "#t-" : "#s-"));
  if (mark.classList.contains(role)) return;
  mark.classList.remove("best", "rest", "stopped");
  mark.classList.add(role);
  if (role === "best") parts.labels.before(mark);
  else parts.line.after(mark);
}

function moveReferences() {
  for (const element of frontSvg.querySelectorAll("[data-reference]")) {
    const values = study.front.references[Number(element.dataset.reference)];
    const [x, y] = [values[state.across], values[state.up]];
    const place = x === undefined || y === undefined ? null : frontPoint(x, y);
    moveTo(element, place, element.tagName === "text" ? 8 : 0);
  }
}

// Numbers of trials on the front, as far as there is room.
function frontLabels(best) {
  const every = Math.max(1, (best.length - 1) / (MOST_LABELS - 1));
  const taken = [];
  for (let at = 0; at < best.length; at += every) {
    const index = best[Math.round(at)];
    const [x, y] = frontPlace(index);
    if (taken.every((other) => Math.abs(other.x - x) > 24 || Math.abs(other.y - y) > 14)) taken.push({ index, x, y });
  }
  return taken.map(({ index, x, y }) => numberAt([x, y], index));
}

// -- axes ---------------------------------------------------------------------------------------------------------

function moveAxes() {
  const axes = frontSvg.querySelector("g.axes");
  const [across, up] = [state.across, state.up].map((name) => axisNamed.get(name));
  const [x, y] = [scaleOf(across, state.budget).across, scaleOf(up, state.budget).up];
  axes.querySelector("path.grid").setAttribute("d", gridPath(x, y));
  for (const tick of axes.querySelectorAll("text.tick")) tick.remove();
  axes.append(...x.map(tickAcross), ...y.map(tickUp));
  const names = axes.querySelectorAll("text.name");
  names[0].textContent = across.label;
  names[1].textContent = up.label;
  frontSvg.querySelector("title").textContent = `The front: ${up.label} against ${across.label}`;
  frontSvg.setAttribute("aria-label", frontSvg.querySelector("title").textContent);
}

function gridPath(x, y) {
  const { left, right, top, bottom } = study.front;
  const rows = y.map(([share]) => `M${left} ${pointIn(study.front, 0, share)[1].toFixed(1)}H${right}`);
  const columns = x.map(([share]) => `M${pointIn(study.front, share, 0)[0].toFixed(1)} ${bottom}V${top}`);
  return [...rows, ...columns].join("");
}

function tickAcross([share, label]) {
  const { right, bottom } = study.front;
  const x = Math.min(pointIn(study.front, share, 0)[0], right + 14 - 3.15 * label.length);
  return svgElement("text", { class: "tick", x, y: bottom + 16, "text-anchor": "middle" }, label);
}

function tickUp([share, label]) {
  const [x, y] = pointIn(study.front, 0, share);
  return svgElement("text", { class: "tick", x: x - 6, y: y + 4, "text-anchor": "end" }, label);
}

// -- keys ---------------------------------------------------------------------------------------------------------

// Left and right step through the front, Enter chooses.
function answerFrontKeys(plot) {
  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", "Trials of the front: left and right step through them, Enter chooses");
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (event.key in steps) light(nextOnFront(steps[event.key]));
    else if (event.key === "Enter" && state.lit !== null) togglePick(state.lit);
    else return;
    event.preventDefault();
  });
}

function nextOnFront(step) {
  const best = frontNow().best.filter(isKept).sort((a, b) => frontPlace(a)[0] - frontPlace(b)[0]);
  const at = best.indexOf(state.lit);
  const next = at < 0 ? (step > 0 ? 0 : best.length - 1) : at + step;
  return best[Math.min(Math.max(next, 0), best.length - 1)] ?? null;
}
