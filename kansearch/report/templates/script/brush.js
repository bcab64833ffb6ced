// Brushes on the axes of the parallel coordinates: by a pointer's drag, or by arrow keys on an axis that has the focus.

const BRUSH_WIDTH = 22;
const KEY_STEP = 0.05;

function addBrushes(svg) {
  study.parallel.names.forEach((name, axis) => addBrush(svg, name, study.parallel.x[axis]));
}

function addBrush(svg, name, x) {
  const { top, bottom } = study.parallel;
  const range = svgElement("rect", { class: "brushed", x: x - BRUSH_WIDTH / 4, width: BRUSH_WIDTH / 2 });
  const handle = svgElement("rect", {
    class: "brush", x: x - BRUSH_WIDTH / 2, y: top - 6, width: BRUSH_WIDTH, height: bottom - top + 12,
    tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-label": `filter by ${name}`,
    "aria-valuemin": 0, "aria-valuemax": 100, "data-axis": name,
  });
  svg.append(range, handle);
  views.push((told) => {
    if (told.has("filters")) showRange(range, handle, state.filters.get(name));
  });
  showRange(range, handle, state.filters.get(name));
  answerDrag(svg, handle, name);
  handle.addEventListener("keydown", (event) => answerBrushKey(event, name));
}

function showRange(range, handle, shares) {
  const { top, bottom } = study.parallel;
  const [low, high] = shares || [0, 0];
  range.setAttribute("y", bottom - high * (bottom - top));
  range.setAttribute("height", (high - low) * (bottom - top));
  handle.setAttribute("aria-valuenow", Math.round(100 * low));
  handle.setAttribute("aria-valuetext", shares ? `from ${percent(low)} to ${percent(high)} of the axis` : "all");
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function answerDrag(svg, handle, name) {
  const { top, bottom } = study.parallel;
  const shareAt = (event) => Math.min(Math.max((bottom - placeOf(svg, event)[1]) / (bottom - top), 0), 1);
  let from = null;
  handle.addEventListener("pointerdown", (event) => {
    from = shareAt(event);
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = shareAt(event);
    setFilter(name, [Math.min(from, to), Math.max(from, to)]);
  });
  handle.addEventListener("pointerup", (event) => {
    if (from !== null && Math.abs(shareAt(event) - from) < 0.01) setFilter(name, null); // a click clears
    from = null;
  });
  handle.addEventListener("pointercancel", () => (from = null));
  handle.addEventListener("click", (event) => event.stopPropagation());
}

// Up raises the lower end, down lowers the upper end; with Shift the other end. Escape takes the filter away.
function answerBrushKey(event, name) {
  const [low, high] = state.filters.get(name) || [0, 1];
  const steps = {
    ArrowUp: event.shiftKey ? [low, high + KEY_STEP] : [low + KEY_STEP, high],
    ArrowDown: event.shiftKey ? [low - KEY_STEP, high] : [low, high - KEY_STEP],
    Escape: null, Delete: null, Backspace: null,
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const range = steps[event.key] && steps[event.key].map((share) => Math.min(Math.max(share, 0), 1));
  if (range && range[0] >= range[1]) return;
  setFilter(name, range && (range[0] > 0 || range[1] < 1) ? range : null);
}
