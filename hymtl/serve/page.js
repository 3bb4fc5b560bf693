"use strict";
const at = id => document.getElementById(id);
const percent = value => (100 * value).toFixed(1) + " %";
let shown = 0;

function fail(message) {
  at("said").hidden = true;
  at("error").textContent = message;
  at("error").hidden = false;
}

function show(answer, url) {
  at("label").textContent = `${answer.label}, ${percent(answer.confidence)}` + (answer.unsure ? ": unsure" : "");
  const rows = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 10).map(([name, value]) => {
    const row = document.createElement("tr"), meter = document.createElement("meter");
    meter.value = value;
    for (const content of [name, meter, percent(value)]) row.insertCell().append(content);
    return row;
  });
  at("classes").replaceChildren(...rows);
  at("given").src = url;
  at("why").hidden = !answer.explanation;
  if (answer.explanation) at("heat").src = answer.explanation;
  at("how").textContent = "what spoke for it" + (answer.of_float_twin ? ", by the float network of the same weights" : "");
  at("time").textContent = `${Math.round(1000 * answer.seconds)} ms to read and classify it`;
  at("error").hidden = true;
  at("said").hidden = false;
}

async function ask(file) {
  if (!file) return;
  const turn = ++shown;
  at("drop").querySelector("span").textContent = `Looking at ${file.name} …`;
  try {
    const response = await fetch("predict?explain=1", { method: "POST", body: file });
    const answer = await response.json();
    if (turn !== shown) return;  // another picture was dropped meanwhile
    response.ok ? show(answer, URL.createObjectURL(file)) : fail(answer.error);
  } catch (error) {
    if (turn === shown) fail(`The server did not answer: ${error.message}`);
  }
  if (turn === shown) at("drop").querySelector("span").textContent = "Drop a picture here, or click to choose one";
}

at("file").addEventListener("change", event => { ask(event.target.files[0]); });
for (const kind of ["dragenter", "dragover"])
  addEventListener(kind, event => { event.preventDefault(); at("drop").classList.add("over"); });
addEventListener("dragleave", () => at("drop").classList.remove("over"));
addEventListener("drop", event => {
  event.preventDefault();
  at("drop").classList.remove("over");
  ask(event.dataTransfer.files[0]);
});
fetch("version").then(response => response.json()).then(who => {
  at("who").textContent = `${who.backbone}, ${who.strategy}; classes: ${who.classes.join(", ")}`;
});
