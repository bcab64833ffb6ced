// Each part of the page answers, if the page has it.

document.documentElement.classList.add("scripted");
answerMarks();
if (trialsTable) addTable();
addBar();
if (study.front) {
  addFrontControls();
  addFront();
}
if (study.parallel) {
  const svg = document.querySelector("#parallel svg");
  addLines(svg, parallelPoints);
  addBrushes(svg);
}
if (study.curves) addLines(document.querySelector("#curves svg"), curvePoints);
addRefresh();
