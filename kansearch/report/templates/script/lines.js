// Parallel coordinates and learning curves: lines of trials, of which the lit and the chosen are drawn again on top.

// `pointsOf(index)` gives a trial's line; one that the plot has already is taken from there.
function addLines(svg, pointsOf) {
  const drawn = new Map([...svg.querySelectorAll("path[data-trial]")].map((line) => [indexOf(line), line]));
  const pathOf = (index) => (drawn.has(index) ? drawn.get(index).getAttribute("d") : pathThrough(pointsOf(index)));
  addOverlay(svg, (index) => offsetLine(pathOf(index)));
  const lines = new Map([...drawn.keys()].map((index) => [index, pointsOf(index)]));
  answerPointer(svg, (x, y) => closest(lines.keys(), (index) => Math.abs(heightAt(lines.get(index), x) - y), 9));
}

// The height of a line at `x`; not a number beyond its ends.
function heightAt(points, x) {
  const after = points.findIndex((point) => point[0] >= x);
  if (after < 1) return NaN;
  const [x0, y0] = points[after - 1];
  const [x1, y1] = points[after];
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

function parallelPoints(index) {
  return study.parallel.x.map((x, axis) => [x, study.parallel.y[index][axis]]);
}

// A curve at the budgets of epochs, and at the trial's last one.
function curvePoints(index) {
  const { metric, across, up } = study.curves;
  const axis = axisNamed.get(metric);
  const earlier = axis.earlier[index] || [];
  const measured = [...earlier.map((value, budget) => [study.budgets[budget], value]), [study.epochs[index], axis.values[index]]];
  return measured
    .filter(([epoch, value]) => epoch > 0 && value !== null)
    .map(([epoch, value]) => pointIn(study.curves, shareOf(across, epoch), shareOf(up, value)));
}
