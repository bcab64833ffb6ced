"use strict";

// The study as the page embeds it. A trial is known by its index: its place in every list.

const study = JSON.parse(document.getElementById("study-data").textContent);
const indexOfNumber = new Map(study.numbers.map((number, index) => [number, index]));
const axisNamed = new Map(study.axes.map((axis) => [axis.name, axis]));
const lastBudget = Math.max(study.budgets.length - 1, 0);

// Every mark, line and row on the page, by the index of its trial.
const elementsOf = new Map();
for (const element of document.querySelectorAll("[data-trial]")) {
  const index = indexOf(element);
  if (!elementsOf.has(index)) elementsOf.set(index, []);
  elementsOf.get(index).push(element);
}

function indexOf(element) {
  return indexOfNumber.get(Number(element.dataset.trial));
}

// A trial's value as of a budget of epochs; null where it was not measured.
function valueOf(axis, index, budget) {
  const earlier = axis.earlier[index];
  return earlier && budget < earlier.length ? earlier[budget] : axis.values[index];
}

function scaleOf(axis, budget) {
  return axis.scales[Math.min(budget, axis.scales.length - 1)];
}

// The share of an axis at which a value lies; what lies outside is put on the nearer end.
function shareOf(scale, value) {
  const { low, high } = scale;
  const share = scale.log
    ? Math.log(Math.max(value, low) / low) / Math.log(high / low)
    : (value - low) / (high - low);
  return Math.min(Math.max(share, 0), 1);
}

function pointIn(box, across, up) {
  return [box.left + across * (box.right - box.left), box.bottom - up * (box.bottom - box.top)];
}
