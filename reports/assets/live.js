"use strict";
// Asks once a second; nothing that comes from servers is put in as markup.
const at = (id) => document.getElementById(id);
const seconds = (x) => (x === null ? "–" : x < 1 ? `${(x * 1000).toPrecision(3)} ms` : `${x.toPrecision(3)} s`);
const speed = (x) => (x === null ? "–" : `${x.toPrecision(3)} tok/s`);

function row(c) {
  const tr = document.createElement("tr");
  for (const text of [c.case, c.requests, c.failed || "", seconds(c.ttft_p50_s), speed(c.decode_tok_per_s)]) {
    tr.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  return tr;
}

function dots(recent) {
  const top = Math.max(1e-9, ...recent.map((r) => r.ttft_s || 0));
  const marks = recent.map((r, i) => {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    dot.setAttribute("cx", (i + 0.5) * (1000 / Math.max(recent.length, 50)));
    dot.setAttribute("cy", r.ttft_s === null ? 196 : 196 - (190 * r.ttft_s) / top);
    dot.setAttribute("r", 3);
    dot.setAttribute("class", r.ok ? "ok" : "failed");
    return dot;
  });
  at("dots").replaceChildren(...marks);
  at("scale").textContent = recent.length ? `Top of the picture: ${seconds(top)}. Failed requests are red.` : "";
}

async function ask() {
  try {
    const state = await (await fetch("state")).json();
    document.title = `${state.done} of ${state.blocks} blocks – ollama-bench`;
    at("name").textContent = state.name || "Running";
    at("state").textContent = state.text;
    at("blocks").max = state.blocks || 1;
    at("blocks").value = state.done;
    at("cases").replaceChildren(...state.cases.map(row));
    dots(state.recent);
    if (state.report) {
      location.replace("report");
      return;
    }
  } catch (error) {
    at("state").textContent = "The run has ended, or was stopped.";
    return;
  }
  setTimeout(ask, 1000);
}
ask();
