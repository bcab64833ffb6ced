// What is drawn above a plot: the lit and the chosen trials. And the plot's answers to a pointer.

function svgElement(name, attributes, content = "") {
  const made = document.createElementNS(document.querySelector("svg").namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = content;
  return made;
}

// `draw(index)` gives the elements of a trial. They are drawn again when one of `reasons` changes. The overlay is an
// image of its own, so that a browser need not paint the plot again below it.
function addOverlay(svg, draw, reasons = []) {
  const overlay = svgElement("svg", { class: "overlay", viewBox: svg.getAttribute("viewBox"), "aria-hidden": "true" });
  const picked = svgElement("g", { class: "picked" });
  const lit = svgElement("g", { class: "lit" });
  overlay.append(picked, lit);
  svg.after(overlay);
  views.push((told) => {
    const moved = reasons.some((reason) => told.has(reason));
    if (moved || told.has("picked")) picked.replaceChildren(...[...state.picked].flatMap(draw));
    if (moved || told.has("lit")) lit.replaceChildren(...(state.lit === null ? [] : draw(state.lit)));
  });
}

// A line twice: a wide one in the colour of the paper below it sets it off from the others.
function offsetLine(path) {
  return ["casing", "core"].map((part) => svgElement("path", { class: `line ${part}`, d: path }));
}

function pathThrough(points) {
  return points.length ? `M${points.map((point) => point.map((each) => each.toFixed(1)).join(" ")).join("L")}` : "";
}

// Where a pointer is, in the units of the drawing.
function placeOf(svg, event) {
  const box = svg.getBoundingClientRect();
  const view = svg.viewBox.baseVal;
  return [((event.clientX - box.left) * view.width) / box.width, ((event.clientY - box.top) * view.height) / box.height];
}

// `nearest(x, y)` gives the index of the trial that is meant, or null.
function answerPointer(svg, nearest) {
  svg.classList.add("answers");
  svg.addEventListener("pointermove", (event) => light(event.buttons ? null : nearest(...placeOf(svg, event))));
  svg.addEventListener("pointerleave", () => light(null));
  svg.addEventListener("click", (event) => {
    const index = nearest(...placeOf(svg, event));
    if (index !== null) togglePick(index);
  });
}

// The index with the least distance that is below `most`; null where none is.
function closest(indices, distance, most) {
  let best = null;
  for (const index of indices) {
    const length = isKept(index) ? distance(index) : Infinity;
    if (length < most) [best, most] = [index, length];
  }
  return best;
}

// Marks of plots that don't look for the nearest one.
function answerMarks() {
  const meant = (event) => {
    const element = event.target.closest("[data-trial]");
    return element && !element.closest("svg.answers") ? indexOf(element) : null;
  };
  document.addEventListener("pointerover", (event) => {
    if (!event.target.closest("svg.answers")) light(meant(event));
  });
  document.addEventListener("click", (event) => {
    const index = meant(event);
    if (index !== null && getSelection().isCollapsed) togglePick(index);
  });
}
