"use strict";
// Sorting, the legend, and the charts. Text from the data goes through textContent and setAttribute alone.

const tables = JSON.parse(document.getElementById("data").textContent);
const colour = (row) => `var(--c${row % 10})`;

// ---- tables -------------------------------------------------------------------------------------------------------

function sortBy(table, column, descending) {
  const value = (line) => line.children[column].dataset.value;
  const lines = [...table.tBodies[0].rows];
  const numeric = lines.every((line) => value(line) === "" || !isNaN(value(line)));
  lines.sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === "" || right === "") return (left === "") - (right === ""); // the unknown last, either way
    const order = numeric ? left - right : left.localeCompare(right, undefined, { numeric: true });
    return descending ? -order : order;
  });
  table.tBodies[0].append(...lines);
  [...table.tHead.rows[0].cells].forEach((cell, i) =>
    cell.setAttribute("aria-sort", i !== column ? "none" : descending ? "descending" : "ascending"));
}

for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const cells = [...table.tBodies[0].rows].map((line) => line.children[column]);
    const numeric = cells.some((cell) => cell.classList.contains("number"));
    heading.classList.toggle("number", numeric);
    if (cells.some((cell) => cell.textContent.length > 60)) cells.forEach((cell) => cell.classList.add("wide"));
    heading.querySelector("button").addEventListener("click", () => {
      // Numbers start with the largest, words with the first.
      const now = heading.getAttribute("aria-sort");
      sortBy(table, column, now === "none" ? numeric : now === "ascending");
    });
  });
}

// A table that is wider than the screen says so, as phones show no bars to scroll with.
const wide = new ResizeObserver((boxes) => boxes.forEach(({ target }) => {
  target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth + 1;
}));
for (const box of document.querySelectorAll(".scroll")) wide.observe(box);

// ---- charts -------------------------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 46, right: 12, top: 8, bottom: 36 };
const HEIGHT = 260;
const MANY = 10; // rows, of which not all curves are shown at first

function draw(parent, name, attributes = {}, text) {
  const node = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function ticks(low, high, { log = false, least = 0 } = {}) {
  if (log) {
    const [first, last] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))]; // range() ends at powers of ten
    return Array.from({ length: last - first + 1 }, (_, i) => Number(`1e${first + i}`));
  }
  const rough = Math.max((high - low) / 5 || 1, least);
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= rough);
  const marks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) marks.push(i * step);
  return marks;
}

function range(values, log, pad) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) [low, high] = [0, 1]; // no value at all: every run diverged in its first epoch
  if (log) return [10 ** Math.floor(Math.log10(low) + 1e-9), 10 ** Math.ceil(Math.log10(high) - 1e-9)];
  const room = (high - low || Math.abs(high) || 1) * pad;
  return [low - room, high + room];
}

const words = (number) => String(Number(number.toPrecision(3)));

// Axes for the values xs and ys; returns the scales and the svg to draw into.
function axes(host, { xs, ys, xLabel, yLabel, logX = false, leastX = 0, pad = 0.06 }) {
  const width = Math.max(240, host.clientWidth);
  const [right, bottom] = [width - MARGIN.right, HEIGHT - MARGIN.bottom];
  const svg = draw(host, "svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": `${yLabel} against ${xLabel}`,
  });
  const [xLow, xHigh] = range(xs, logX, pad);
  const [yLow, yHigh] = range(ys, false, 0.06);
  const place = logX ? Math.log10 : (value) => value;
  const along = (value) => (place(value) - place(xLow)) / (place(xHigh) - place(xLow));
  const x = (value) => MARGIN.left + along(value) * (right - MARGIN.left);
  const y = (value) => bottom - ((value - yLow) / (yHigh - yLow)) * (bottom - MARGIN.top);
  for (const tick of ticks(yLow, yHigh)) {
    draw(svg, "line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(tick), y2: y(tick) });
    draw(svg, "text", { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, words(tick));
  }
  for (const tick of ticks(xLow, xHigh, { log: logX, least: leastX })) {
    draw(svg, "line", { class: "grid", x1: x(tick), x2: x(tick), y1: MARGIN.top, y2: bottom });
    draw(svg, "text", { x: x(tick), y: bottom + 15, "text-anchor": "middle" }, words(tick));
  }
  draw(svg, "text", { x: (MARGIN.left + right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, xLabel);
  return { svg, x, y };
}

const group = (svg, row, name) => {
  const node = draw(svg, "g", { stroke: colour(row), fill: colour(row) });
  draw(node, "title", {}, name);
  return node;
};

// A curve is a list of [epoch, value].
const curve = ([epochs, values]) => epochs.map((epoch, i) => [epoch, values[i]]);

function meanOf(series) {
  const byEpoch = new Map();
  for (const [epoch, value] of series.flat()) byEpoch.set(epoch, [...(byEpoch.get(epoch) ?? []), value]);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return [...byEpoch].sort(([a], [b]) => a - b).map(([epoch, values]) => [epoch, mean(values)]);
}

const path = (points, x, y) =>
  points.map(([epoch, value], i) => `${i ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join("");

function curves(host, rows, metric, yLabel) {
  const of = (row, stage) => row.curves.map((run) => run[`${stage}/${metric}`]).filter((known) => known?.[0].length).map(curve);
  const all = rows.flatMap((row) => ["train", "val"].flatMap((stage) => of(row, stage))).flat();
  const { svg, x, y } = axes(host, {
    xs: [0, all.reduce((last, [epoch]) => Math.max(last, epoch), 1)], ys: all.map(([, value]) => value), xLabel: "epoch", yLabel,
    leastX: 1, pad: 0, // epochs are whole
  });
  rows.forEach((row, i) => {
    const node = group(svg, i, row.label);
    node.dataset.row = i; // what the legend hides
    for (const stage of ["train", "val"]) {
      const series = of(row, stage);
      if (!series.length) continue;
      // One path for all seeds: hundreds of runs make hundreds of lines.
      const lines = series.map((points) => path(points, x, y)).join("");
      if (series.length > 1) draw(node, "path", { class: `seed ${stage}`, d: lines });
      const mean = meanOf(series);
      draw(node, "path", { class: `mean ${stage}`, d: path(mean, x, y) });
      // A single epoch makes no line: a dot, filled for validation, a ring for training.
      if (mean.length === 1) draw(node, "circle", { class: `epoch ${stage}`, cx: x(mean[0][0]) + 5, cy: y(mean[0][1]), r: 4 });
    }
  });
}

// Those that no other is both cheaper and more accurate than, by cost.
function front(points) {
  let last = { cost: -Infinity, accuracy: -Infinity };
  return [...points].sort((a, b) => a.cost - b.cost || b.accuracy - a.accuracy).filter((point) => {
    if (point.accuracy > last.accuracy) last = point;
    return point.accuracy === last.accuracy && point.cost === last.cost; // equals are on it together
  });
}

// Points of one cost stand side by side: pixels to the right, by point.
function dodge(points, x) {
  const shift = new Map();
  for (const cost of new Set(points.map((point) => Math.round(x(point.cost) / 9)))) {
    const alike = points.filter((point) => Math.round(x(point.cost) / 9) === cost);
    const step = Math.min(10, 80 / alike.length);
    alike.forEach((point, i) => shift.set(point, (i - (alike.length - 1) / 2) * step));
  }
  return shift;
}

const AROUND = [[12, 4, "start"], [-12, 4, "end"], [0, -13, "middle"], [0, 21, "middle"], [12, -10, "start"], [12, 18, "start"]];
const OFF_THE_LINE = [[-6, -10, "end"], [-6, 19, "end"], [-6, -24, "end"], [-6, 33, "end"]]; // of a curve that ends there

// A row's name where there is room for it beside its point; none where there is not, as the legend has it too.
function name(node, label, cx, cy, taken, right, places = AROUND) {
  const text = [...label.replace(/[\w./]+=/g, "")]; // values alone: the legend says of which setting
  const shown = text.length > 24 ? `${text.slice(0, 23).join("")}…` : text.join("");
  const long = 6.4 * [...shown].length;
  for (const [dx, dy, anchor] of places) {
    const left = cx + dx - { start: 0, middle: long / 2, end: long }[anchor];
    const box = { left, right: left + long, top: cy + dy - 11, bottom: cy + dy + 3 };
    const free = taken.every((o) => box.left > o.right || box.right < o.left || box.top > o.bottom || box.bottom < o.top);
    if (!free || box.left < MARGIN.left || box.right > right || box.top < 0) continue;
    taken.push(box);
    draw(node, "text", { class: "name", x: cx + dx, y: cy + dy, "text-anchor": anchor }, shown);
    return;
  }
}

function scatter(host, points, { xLabel, logX = false, pareto = false }) {
  const { svg, x, y } = axes(host, {
    xs: points.flatMap((point) => point.costs), ys: points.flatMap((point) => point.interval),
    xLabel, yLabel: "accuracy", logX, pad: 0.1,
  });
  const best = pareto ? front(points) : [];
  if (best.length > 1) {
    const steps = best.map((point, i) => (i ? `H${x(point.cost)}V` : `M${x(point.cost)} `) + y(point.accuracy));
    draw(svg, "path", { class: "front", d: steps.join("") });
  }
  const shift = points.length > MANY ? new Map() : dodge(points, x);
  const at = (point) => [x(point.cost) + (shift.get(point) ?? 0), y(point.accuracy)];
  const taken = points.map(at).map(([cx, cy]) => ({ left: cx - 8, right: cx + 8, top: cy - 8, bottom: cy + 8 }));
  for (const point of points) {
    const across = (value) => x(value) + (shift.get(point) ?? 0);
    const shown = `${point.label}: ${point.accuracy} (${point.interval.join("–")}), ${xLabel} ${words(point.cost)}`;
    const node = group(svg, point.row, shown);
    if (points.length <= MANY) node.dataset.row = point.row; // of many, the legend is for the curves
    const [cx, cy] = at(point);
    const [left, right] = [Math.min(...point.costs), Math.max(...point.costs)].map(across);
    const [low, high] = point.interval.map(y);
    draw(node, "line", { class: "bar", x1: cx, x2: cx, y1: low, y2: high });
    draw(node, "line", { class: "bar", x1: left, x2: right, y1: cy, y2: cy });
    draw(node, "circle", { cx, cy, r: 5, stroke: "none" });
    if (best.includes(point)) draw(node, "circle", { class: "ring", cx, cy, r: 8 });
    if (points.length <= MANY || best.includes(point)) name(node, point.label, cx, cy, taken, svg.viewBox.baseVal.width);
  }
}

// Accuracy against the number of training pictures: a line for all rows that differ in it alone.
function learning(host, rows, curves) {
  const sizes = curves.flatMap((curve) => curve.pictures);
  const [few, taken, ends] = [curves.length <= MANY, [], []];
  const { svg, x, y } = axes(host, {
    xs: [0, ...sizes], ys: curves.flatMap((curve) => curve.rows.flatMap((row) => rows[row].interval)),
    xLabel: "training pictures", yLabel: "accuracy",
  });
  curves.forEach((curve, number) => {
    const last = curve.rows.at(-1); // with most pictures: its colour is the curve's
    const shift = few ? (number - (curves.length - 1) / 2) * 4 : 0; // so that bars stand side by side
    const at = curve.rows.map((row, i) => [x(curve.pictures[i]) + shift, rows[row]]);
    const node = group(svg, last, curve.label);
    node.dataset.row = last;
    draw(node, "path", { class: "mean", d: at.map(([cx, row], i) => `${i ? "L" : "M"}${cx} ${y(row.accuracy)}`).join("") });
    at.forEach(([cx, row], i) => {
      const point = draw(node, "circle", { cx, cy: y(row.accuracy), r: 4, stroke: "none" });
      draw(point, "title", {}, `${curve.label}, ${words(curve.pictures[i])} pictures: ${row.accuracy} (${row.interval.join("–")})`);
      draw(node, "line", { class: "bar", x1: cx, x2: cx, y1: y(row.interval[0]), y2: y(row.interval[1]) });
      taken.push({ left: cx - 8, right: cx + 8, top: y(row.accuracy) - 8, bottom: y(row.accuracy) + 8 });
    });
    ends.push([node, curve.label, at.at(-1)[0], y(at.at(-1)[1].accuracy)]);
  });
  if (few) for (const end of ends) name(...end, taken, svg.viewBox.baseVal.width, OFF_THE_LINE);
}

const points = (rows, costs) => rows.flatMap((row, i) => {
  const { label, accuracy, interval } = row;
  const values = costs(row, i); // the mean and, where runs differ, the least and the most
  return values ? [{ row: i, label, accuracy, interval, cost: values[0], costs: values }] : [];
});

function chartsOf(table) {
  const { rows, numbers } = table;
  const list = [];
  if (table.learning.length) list.push({
    title: "Accuracy against training pictures", note: "bars: 95 % over photos",
    plot: (host) => learning(host, rows, table.learning),
  });
  if (rows.some((row) => row.curves.length)) {
    const how = "validation solid, training dashed; thin: single runs, thick: their mean";
    list.push({ title: "Loss (cross entropy)", note: how, plot: (host) => curves(host, rows, "loss", "loss") });
    list.push({ title: "Accuracy", note: how, plot: (host) => curves(host, rows, "acc", "accuracy") });
  }
  const bars = "bars: 95 % over photos, range over runs; ringed: the Pareto front, on which no mean is beaten at its cost";
  const against = (title, points, xLabel) => list.push({
    title, note: bars, plot: (host) => scatter(host, points, { xLabel, pareto: true }),
  });
  const timed = points(rows, (row) => row.ms);
  if (timed.length) against("Accuracy against latency", timed, "ms a photo");
  const sized = points(rows, (row) => [row.mb]);
  if (new Set(sized.map((point) => point.cost)).size > 1) against("Accuracy against size", sized, "MB");
  for (const [name, values] of Object.entries(numbers)) {
    const given = values.filter((value) => value !== null);
    const [low, high] = [Math.min(...given), Math.max(...given)];
    const set = points(rows, (_, i) => (values[i] === null ? null : [values[i]]));
    const logX = low > 0 && high / low >= 30;
    list.push({
      title: `Accuracy against ${name}`, note: "bars: 95 % over photos" + (logX ? "; logarithmic axis" : ""),
      plot: (host) => scatter(host, set, { xLabel: name, logX }),
    });
  }
  return list;
}

// ---- each table's section -----------------------------------------------------------------------------------------

function show(section, off) {
  const isOff = (node) => off.has(Number(node.dataset.row));
  for (const node of section.querySelectorAll("svg g[data-row]")) node.classList.toggle("hidden", isOff(node));
  const buttons = section.querySelectorAll(".legend button[data-row]");
  for (const button of buttons) button.setAttribute("aria-pressed", !isOff(button));
}

function legend(section, rows, off) {
  const host = section.querySelector(".legend");
  const button = (text, act, row) => {
    const node = host.appendChild(document.createElement("button"));
    node.type = "button";
    if (row !== undefined) {
      node.dataset.row = row;
      const swatch = node.appendChild(document.createElement("span"));
      swatch.className = "swatch";
      swatch.dataset.row = row;
    }
    node.append(text);
    node.addEventListener("click", () => { act(); show(section, off); });
  };
  if (rows.length > MANY) host.append("curves of ");
  rows.slice(0, 40).forEach((row, i) => button(row.label, () => (off.has(i) ? off.delete(i) : off.add(i)), i));
  if (rows.length > 2) {
    button("all", () => off.clear());
    button("none", () => rows.forEach((_, i) => off.add(i)));
  }
}

tables.forEach((table, number) => {
  const section = document.getElementById(`table-${number}`);
  const off = new Set(table.rows.length > MANY ? [...table.rows.keys()].slice(MANY - 2) : []);
  const host = section.querySelector(".charts");
  const drawn = chartsOf(table).map(({ title, note, plot }) => {
    const box = host.appendChild(document.createElement("div"));
    box.className = "chart";
    box.appendChild(document.createElement("h3")).textContent = title;
    box.appendChild(document.createElement("p")).textContent = note;
    const canvas = box.appendChild(document.createElement("div"));
    return () => { canvas.replaceChildren(); plot(canvas); };
  });
  if (drawn.length) legend(section, table.rows, off);
  for (const mark of section.querySelectorAll(".swatch")) mark.style.background = colour(Number(mark.dataset.row));
  let width = 0;
  // Drawn in real pixels, so that text keeps its size on a narrow screen.
  const redraw = () => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    drawn.forEach((again) => again());
    show(section, off);
  };
  redraw();
  addEventListener("resize", redraw);
});
