"use strict";
/* The page is complete without this script. It adds: theme, sorting, filtering, copying, hiding of
   models, values under the pointer or by arrow keys, and the download of the summary. */
(() => {
  const root = document.documentElement;
  const make = (tag, properties = {}, text = "") => {
    const element = Object.assign(document.createElement(tag), properties);
    element.textContent = text;
    return element;
  };
  const button = (text, action, properties = {}) => {
    const element = make("button", { type: "button", ...properties }, text);
    element.addEventListener("click", action);
    return element;
  };
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const live = make("p", { className: "hidden" });
  live.setAttribute("role", "status");
  document.body.append(live);
  root.classList.add("js");

  /* ---- theme: what the system says, unless the reader says otherwise ---- */

  const THEME = "ollama-bench-theme";
  const remembered = () => {
    try {
      return localStorage.getItem(THEME);
    } catch {
      return null;
    }
  };
  const remember = (theme) => {
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      /* A page from file:// may have no storage: the choice lasts as long as the page. */
    }
  };
  const themeSwitch = document.querySelector("[data-theme-switch]");
  const setTheme = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const b of all("button", themeSwitch)) {
      b.setAttribute("aria-pressed", String(b.dataset.choice === theme));
    }
  };
  if (themeSwitch) {
    themeSwitch.setAttribute("role", "group");
    themeSwitch.setAttribute("aria-label", "Colours");
    for (const [theme, name] of [["system", "System"], ["light", "Light"], ["dark", "Dark"]]) {
      const b = button(name, () => {
        setTheme(theme);
        remember(theme);
      });
      b.dataset.choice = theme;
      themeSwitch.append(b);
    }
    const theme = remembered();
    setTheme(["light", "dark"].includes(theme) ? theme : "system");
  }

  /* ---- tables: sort, filter, copy ---- */

  const valueOf = (cell) => {
    const data = cell.querySelector("data");
    return data ? Number(data.value) : null;
  };
  const textOf = (cell) => cell.textContent.replace(/\s+/g, " ").trim();
  const isAbsent = (cell) => cell.querySelector(".absent") !== null || ["", "\u2014"].includes(textOf(cell));

  const compareCells = (a, b) => {
    const [x, y] = [valueOf(a), valueOf(b)];
    if (x !== null && y !== null) return x - y;
    return textOf(a).localeCompare(textOf(b), undefined, { numeric: true });
  };

  const sortRows = (table, column, direction) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => Number(a.dataset.place) - Number(b.dataset.place));
    if (direction !== "none") {
      const sign = direction === "ascending" ? 1 : -1;
      rows.sort((a, b) => {
        const [x, y] = [a.cells[column], b.cells[column]];
        const missing = Number(isAbsent(x)) - Number(isAbsent(y));
        return missing || sign * compareCells(x, y);
      });
    }
    body.append(...rows);
  };

  const makeSortable = (table) => {
    [...table.tBodies[0].rows].forEach((row, place) => (row.dataset.place = place));
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const inside = make("button", { type: "button", title: head.title });
      inside.append(...head.childNodes);
      inside.addEventListener("click", () => {
        const first = head.classList.contains("num") ? "descending" : "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        const now = head.getAttribute("aria-sort");
        const next = now === first ? second : now === second ? "none" : first;
        for (const other of heads) other.removeAttribute("aria-sort");
        if (next !== "none") head.setAttribute("aria-sort", next);
        sortRows(table, column, next);
        live.textContent = next === "none" ? "Original order" : `Sorted ${next}`;
      });
      head.append(inside);
    });
  };

  const headOf = (head) => {
    const unit = head.querySelector(".unit");
    const title = textOf(head);
    return unit ? `${title.slice(0, -textOf(unit).length).trim()} (${textOf(unit)})` : title;
  };
  const grid = (table, cellText) => {
    const heads = [...table.tHead.rows[0].cells].map(headOf);
    const rows = [...table.tBodies[0].rows].filter((row) => row.getClientRects().length > 0);
    return [heads, ...rows.map((row) => [...row.cells].map((cell, i) => cellText(cell, i)))];
  };
  const markdownOf = (table) => {
    const safe = (text) => text.replace(/([\\`*_[\]<>|#~])/g, "\\$1");
    const [heads, ...rows] = grid(table, textOf).map((row) => row.map(safe));
    const rules = [...table.tHead.rows[0].cells].map((h) => (h.classList.contains("num") ? "---:" : "---"));
    return [heads, rules, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n") + "\n";
  };
  const csvOf = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const quoted = (text) => {
      const harmless = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
      return /[",\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
    };
    const exact = (cell, i) => {
      const value = valueOf(cell);
      return value === null ? textOf(cell) : String(Number((value * Number(heads[i].dataset.factor || 1)).toPrecision(10)));
    };
    return grid(table, exact).map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  };

  const copy = async (text, b) => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { className: "hidden", value: text });
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      b.focus();
    }
    const name = b.dataset.name;
    b.textContent = done ? "Copied" : "Not allowed here";
    live.textContent = b.textContent;
    setTimeout(() => (b.textContent = name), 1600);
  };
  const copyButton = (name, of, table, caption) => {
    const b = button(name, () => copy(of(table), b));
    b.dataset.name = name;
    b.setAttribute("aria-label", `${name}: ${caption}`);
    return b;
  };

  const makeFilter = (table, caption) => {
    const input = make("input", { type: "search", placeholder: "Filter rows" });
    input.setAttribute("aria-label", `Filter rows: ${caption}`);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = textOf(row).toLowerCase();
        const fits = words.every((word) => text.includes(word));
        row.classList.toggle("filtered", !fits);
        shown += Number(fits);
      }
      live.textContent = `${shown} rows`;
    });
    return input;
  };

  /* The ratios to every baseline were computed with their intervals; this only shows others. */
  const makeBaselines = (table, caption) => {
    const rows = [...table.tBodies[0].rows];
    const columns = [...table.tHead.rows[0].cells]
      .map((head, at) => ({ head, at, offered: JSON.parse(head.dataset.baselines || "[]") }))
      .filter(({ offered }) => offered.length > 0)
      .map((column) => ({ ...column, title: column.head.textContent, cells: rows.map((r) => [...r.cells[column.at].childNodes]) }));
    const choose = make("select");
    choose.setAttribute("aria-label", `Ratios to: ${caption}`);
    const names = [...new Set(columns.flatMap(({ offered }) => offered.map(([name]) => name)))];
    for (const name of ["", ...names]) choose.append(make("option", { value: name }, `Ratios to ${name || "the best"}`));
    const shown = ([value, text, interval]) => {
      if (value === null) return [text];
      return [make("data", { value: String(value) }, text), " ", make("small", {}, interval || "no interval")];
    };
    choose.addEventListener("change", () => {
      for (const { head, at, offered, title, cells } of columns) {
        const found = offered.find(([name]) => name === choose.value);
        rows.forEach((row, i) => row.cells[at].replaceChildren(...(found ? shown(found[1][i]) : cells[i])));
        const inside = head.querySelector("button") || head;
        inside.textContent = found ? title.replace(/best$/, "chosen") : title;
      }
      live.textContent = choose.selectedOptions[0].textContent;
    });
    return choose;
  };

  for (const block of all("[data-table]")) {
    const table = block.querySelector("table");
    const tools = block.querySelector("[data-tools]");
    const caption = table.caption.textContent;
    if (table.querySelector("[data-baselines]")) tools.append(makeBaselines(table, caption));
    if (table.tBodies[0].rows.length > 1) makeSortable(table);
    if (tools.hasAttribute("data-filterable")) tools.append(makeFilter(table, caption));
    tools.append(
      copyButton("Copy as Markdown", markdownOf, table, caption),
      copyButton("Copy as CSV", csvOf, table, caption),
    );
  }

  /* ---- models: hide and show everywhere ---- */

  const models = document.querySelector("[data-models]");
  if (models) {
    models.setAttribute("role", "group");
    models.setAttribute("aria-label", "Show models");
    for (const [series, model] of JSON.parse(models.dataset.models).entries()) {
      const b = button("", () => {
        const show = b.getAttribute("aria-pressed") !== "true";
        b.setAttribute("aria-pressed", String(show));
        for (const element of all("[data-model]")) {
          if (element.dataset.model === model) element.classList.toggle("gone", !show);
        }
      });
      const swatch = make("span", { className: `swatch b-s${series % 8}` });
      b.append(swatch, make("span", {}, model));
      b.title = model;
      b.setAttribute("aria-pressed", "true");
      models.append(b);
    }
  }

  /* ---- charts: the value of the nearest point, by pointer or arrow keys ---- */

  const REACH = 28;
  const requestData = document.getElementById("request-data");
  const requests = requestData && JSON.parse(requestData.textContent);
  let openRequest = () => {};

  /* Where a point leads: to the row of its request, which a place on the axis of times names. */
  const rowAt = (svg, x, at) => {
    const number = (name) => requests.columns.indexOf(name);
    const [caseAt, timeAt] = [number("Case"), number(svg.dataset.column)];
    const [kind, ...ends] = svg.dataset.axis.split(" ");
    const [left, right, low, high] = ends.map(Number);
    const share = (x - left) / (right - left);
    const value = kind === "log" ? low * (high / low) ** share : low + share * (high - low);
    const own = requests.rows
      .map((row, place) => ({ place, time: row[timeAt], row }))
      .filter(({ row, time }) => row[caseAt] === at && time !== null);
    if (own.length === 0) return null;
    const { place, time, row } = own.reduce((best, r) => (Math.abs(r.time - value) < Math.abs(best.time - value) ? r : best));
    const whole = requests.rows.length === requests.total;
    const below = (100 * own.filter((r) => r.time <= time).length) / own.length;
    const part = whole ? `\n${below.toPrecision(3)} % take no longer` : "";
    const text = `${requests.cases[at]}\n${svg.dataset.column}: ${time} ms${part}\nrequest ${row[number("Request")]} of block ${row[number("Block")]}`;
    return { text, go: () => openRequest(place) };
  };
  const caseOf = (element) => Number(element.closest("[data-in]").dataset.in.replace("c.", ""));
  const leadOf = (point, text) => {
    const svg = point.ownerSVGElement;
    if (!requests) return null;
    if (svg.dataset.axis) {
      const [frame, box] = [svg.getBoundingClientRect(), point.getBoundingClientRect()];
      const x = ((box.left + box.width / 2 - frame.left) * svg.viewBox.baseVal.width) / frame.width;
      return rowAt(svg, x, caseOf(point))?.go;
    }
    const match = /^measure request (\d+)[\s\S]*block (\d+)/.exec(text);
    if (svg.dataset.case === undefined || !match) return null;
    const wanted = [svg.dataset.case, match[2], match[1]].map(Number);
    const at = ["Case", "Block", "Request"].map((name) => requests.columns.indexOf(name));
    const place = requests.rows.findIndex((row) => at.every((column, i) => row[column] === wanted[i]));
    return place < 0 ? null : () => openRequest(place);
  };

  /* Curves between their points: places along each, made once. */
  const alongCurve = (path) => {
    path.places ??= Array.from({ length: Math.ceil(path.getTotalLength() / 2) }, (_, i) => path.getPointAtLength(2 * i));
    return path.places;
  };
  const onCurve = (plot, event) => {
    const svg = all("svg[data-axis]", plot).find((s) => s.getClientRects().length > 0);
    if (!svg || !requests) return null;
    const frame = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / frame.width;
    const [x, y] = [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
    let [best, least] = [null, REACH * scale];
    for (const path of all("[class^=view-] path", svg)) {
      if (!path.closest("[data-in]") || path.closest("defs, .aside") || path.getClientRects().length === 0) continue;
      for (const place of alongCurve(path)) {
        const distance = Math.hypot(place.x - x, place.y - y);
        if (distance < least) [best, least] = [{ path, place }, distance];
      }
    }
    return best && rowAt(svg, best.place.x, caseOf(best.path));
  };

  const makeHover = (plot) => {
    /* The narrow drawing's points name the place of their text in the wide one. */
    const titles = all(".pt > title", plot);
    const texts = titles.map((title) => title.textContent);
    const points = all(".pt", plot).map((point) => {
      const title = point.querySelector("title");
      return { point, text: title ? title.textContent : texts[point.dataset.at] };
    });
    for (const title of titles) title.remove();
    if (points.length === 0) {
      plot.removeAttribute("tabindex");
      return;
    }
    const tip = make("div", { className: "tip", hidden: true });
    plot.append(tip);
    let current = -1;
    const visible = () => points.filter(({ point }) => point.getClientRects().length > 0 && !point.closest(".aside"));
    let go = null;
    const lead = (where) => {
      go = where || null;
      plot.classList.toggle("leads", go !== null);
    };
    const hide = () => {
      if (current >= 0) shown[current]?.point.classList.remove("asked");
      current = -1;
      tip.hidden = true;
      lead(null);
    };
    let shown = [];
    const say = (text, box) => {
      tip.textContent = text;
      tip.hidden = false;
      const frame = plot.getBoundingClientRect();
      const middle = box.left + box.width / 2 - frame.left - tip.offsetWidth / 2;
      const above = box.top - frame.top - tip.offsetHeight - 6;
      tip.style.left = `${Math.max(0, Math.min(middle, frame.width - tip.offsetWidth))}px`;
      tip.style.top = `${above < -20 ? box.bottom - frame.top + 6 : above}px`;
    };
    const show = (index) => {
      hide();
      current = index;
      const { point, text } = shown[index];
      point.classList.add("asked");
      say(text, point.getBoundingClientRect());
      lead(leadOf(point, text));
    };
    const nearest = (event, reach) => {
      let best = -1;
      let least = reach;
      shown.forEach(({ point }, index) => {
        const box = point.getBoundingClientRect();
        const dx = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
        const dy = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
        const distance = Math.hypot(dx, dy);
        if (distance < least) [best, least] = [index, distance];
      });
      return best;
    };
    plot.addEventListener("pointermove", (event) => {
      shown = visible();
      const near = nearest(event, REACH / 3);
      const found = near < 0 ? onCurve(plot, event) : null;
      const index = found ? -1 : nearest(event, REACH);
      if (index >= 0) {
        if (index !== current || tip.hidden) show(index);
        return;
      }
      hide();
      if (!found) return;
      say(found.text, new DOMRect(event.clientX, event.clientY));
      lead(found.go);
    });
    plot.addEventListener("click", (event) => event.target.closest("button") || go?.());
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (event.key === "Enter" && event.target === plot) go?.();
      if (!step) return;
      event.preventDefault();
      shown = visible();
      if (shown.length === 0) return;
      show(current < 0 ? (step > 0 ? 0 : shown.length - 1) : (current + step + shown.length) % shown.length);
      live.textContent = tip.textContent;
    });
  };
  for (const plot of all("[data-plot]")) makeHover(plot);

  /* ---- legends: one entry alone, in every chart of the page ---- */

  let alone = "";
  const isolate = (tags, name) => {
    alone = tags === alone ? "" : tags;
    const [kind, wanted] = [`${alone.split(".")[0]}.`, alone.split(" ")];
    for (const drawn of all("[data-in]")) {
      const own = drawn.dataset.in.split(" ").filter((tag) => tag.startsWith(kind));
      drawn.classList.toggle("aside", alone !== "" && own.length > 0 && !own.some((tag) => wanted.includes(tag)));
    }
    for (const b of all("button.entry")) b.setAttribute("aria-pressed", String(b.dataset.tags === alone));
    live.textContent = alone ? `Only ${name}` : "All";
  };
  for (const svg of all(".plot svg")) {
    const entries = all("[data-entry]", svg);
    if (entries.length < 2) continue;
    const { width, height } = svg.viewBox.baseVal;
    for (const entry of entries) {
      const [x, y, wide, ...rest] = entry.dataset.entry.split(" ");
      const [tags, name] = [entry.dataset.in, rest.join(" ") || entry.textContent];
      const b = button("", () => isolate(tags, name), { className: "entry", title: `Only ${name}` });
      b.dataset.tags = tags;
      b.setAttribute("aria-pressed", "false");
      const box = { left: x / width, top: y / height, width: wide / width, height: 19 / height };
      for (const [side, share] of Object.entries(box)) b.style[side] = `${100 * share}%`;
      svg.parentElement.append(b);
    }
  }
  addEventListener("keydown", (event) => event.key === "Escape" && alone && isolate(alone));

  /* ---- single requests: sort, filter, and what is known of each ---- */

  const showRequests = (place, { columns, cases, outcomes, rows, details, total }) => {
    const number = (name) => columns.indexOf(name);
    const [caseAt, outcomeAt, wholeAt] = ["Case", "Outcome", "Whole answer"].map(number);
    const parts = ["Queue", "Load", "Prefill", "Decode", "Overhead"];
    const state = { by: wholeAt, down: true, wanted: "", phase: "", failed: false, most: 8, only: null };
    const texts = (row) =>
      row.map((x, i) => {
        if (i === caseAt) return cases[x];
        if (i === outcomeAt) return outcomes[x];
        return x === null ? "\u2014" : x.toLocaleString("en");
      });
    const choose = make("select", {});
    choose.setAttribute("aria-label", "Requests of which case");
    choose.append(make("option", { value: "" }, "All cases"));
    cases.forEach((name, i) => choose.append(make("option", { value: String(i) }, name)));
    const longest = (row) => {
      const spent = parts.filter((p) => row[number(p)]);
      return spent.reduce((a, b) => (row[number(b)] > row[number(a)] ? b : a), spent[0]);
    };
    const phase = make("select", {});
    phase.setAttribute("aria-label", "Requests that spent most of their time in");
    phase.append(make("option", { value: "" }, "Any phase"));
    for (const part of parts) phase.append(make("option", { value: part }, `Most time in ${part.toLowerCase()}`));
    phase.addEventListener("change", () => {
      state.phase = phase.value;
      Object.assign(state, { by: phase.value ? number(phase.value) : wholeAt, down: true });
      draw();
    });
    const failed = button("Failed only", () => {
      state.failed = !state.failed;
      failed.setAttribute("aria-pressed", String(state.failed));
      draw();
    });
    failed.setAttribute("aria-pressed", "false");
    const more = button("Show 100 more", () => {
      state.most += 100;
      draw();
    });
    const all = button("All requests", () => {
      Object.assign(state, { only: null, wanted: "", phase: "", failed: false });
      choose.value = phase.value = "";
      failed.setAttribute("aria-pressed", "false");
      draw();
    });
    choose.addEventListener("change", () => {
      state.wanted = choose.value;
      draw();
    });
    const scroll = make("div", { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", "Single requests");
    const table = make("table");
    const head = table.createTHead().insertRow();
    columns.forEach((name, i) => {
      const cell = make("th", { scope: "col", className: i === caseAt || i === outcomeAt ? "" : "num" });
      cell.append(
        button(name, () => {
          state.down = state.by === i ? !state.down : true;
          state.by = i;
          draw();
        }),
      );
      head.append(cell);
    });
    const body = table.createTBody();
    const counts = make("p", { className: "note" });
    const split = (row) => {
      const said = parts.filter((p) => row[number(p)]).map((p) => `${p.toLowerCase()} ${row[number(p)]} ms`);
      return said.length ? `Where the time went: ${said.join(", ")}.` : "The server gave no durations.";
    };
    const detail = (at) => {
      const box = make("td", { colSpan: columns.length });
      box.append(make("p", {}, split(rows[at])));
      const { status, error, gaps } = details[at] || {};
      if (error) box.append(make("p", {}, `${status ? `Status ${status}: ` : ""}${error}`));
      if (gaps?.length) {
        const most = Math.max(...gaps);
        box.append(make("p", {}, `Gaps between chunks, ms (longest ${most}): ${gaps.join(" ")}`));
      }
      const line = make("tr", { className: "detail" });
      line.append(box);
      return line;
    };
    const draw = () => {
      const seen = rows
        .map((row, at) => ({ row, at }))
        .filter(({ row }) => state.wanted === "" || row[caseAt] === Number(state.wanted))
        .filter(({ row }) => state.phase === "" || longest(row) === state.phase)
        .filter(({ row }) => !state.failed || outcomes[row[outcomeAt]] !== "ok")
        .filter(({ at }) => state.only === null || state.only === at);
      const rank = ({ row }) => row[state.by];
      seen.sort((a, b) => {
        const [x, y] = [rank(a), rank(b)];
        return Number(x === null) - Number(y === null) || (state.down ? y - x : x - y);
      });
      [...head.cells].forEach((cell, i) => {
        if (i === state.by) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        else cell.removeAttribute("aria-sort");
      });
      body.replaceChildren();
      for (const { row, at } of seen.slice(0, state.most)) {
        const line = body.insertRow();
        texts(row).forEach((text, i) => {
          const cell = make(i === 0 ? "th" : "td", { className: head.cells[i].className });
          if (i === 0) {
            cell.scope = "row";
            const open = button(text, () => {
              if (line.nextSibling?.className === "detail") line.nextSibling.remove();
              else line.after(detail(at));
              open.setAttribute("aria-expanded", String(line.nextSibling?.className === "detail"));
            });
            open.setAttribute("aria-expanded", "false");
            cell.append(open);
          } else cell.textContent = text;
          line.append(cell);
        });
        if (state.only === at) line.after(detail(at));
      }
      more.hidden = seen.length <= state.most;
      const some = rows.length < total ? ` ${rows.length.toLocaleString("en")} of ${total.toLocaleString("en")} requests are in this page: failed ones, the slowest, and an even sample of the others.` : "";
      counts.textContent = `${Math.min(seen.length, state.most)} of ${seen.length.toLocaleString("en")} rows. Times in milliseconds; sent in seconds since the start of the run.${some}`;
      live.textContent = `${seen.length} requests`;
    };
    scroll.append(table);
    const tools = make("div", { className: "table-tools" });
    tools.append(choose, phase, failed, all);
    place.replaceChildren(tools, scroll, counts, more);
    draw();
    return (at) => {
      Object.assign(state, { only: at, wanted: "", phase: "", failed: false });
      draw();
      place.scrollIntoView();
    };
  };
  if (requests) openRequest = showRequests(document.querySelector("[data-requests]"), requests);

  /* ---- the short form, to be pasted ---- */

  const short = document.getElementById("summary-markdown");
  for (const place of all("[data-copy-summary]")) {
    const b = button("Copy summary", () => copy(JSON.parse(short.textContent), b));
    b.dataset.name = "Copy summary";
    place.append(b);
  }

  /* ---- the summary inside ---- */

  for (const place of all("[data-download]")) {
    const data = document.getElementById("summary-data");
    place.append(
      button("Download the summary (JSON)", async (event) => {
        if (!("DecompressionStream" in window)) {
          event.target.textContent = "This browser cannot unpack it: ollama-bench report RUN_DIR --format json";
          return;
        }
        const bytes = Uint8Array.from(atob(data.textContent), (c) => c.charCodeAt(0));
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
        const text = JSON.stringify(JSON.parse(await new Response(stream).text()), null, 2);
        const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
        const link = make("a", { href: url, download: data.dataset.name });
        document.body.append(link);
        link.click();
        link.remove();
        setTimeout(() => URL.revokeObjectURL(url), 1000);
      }),
    );
  }

  /* ---- links to what is folded ---- */

  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();

  const links = new Map(all(".contents a").map((a) => [a.hash.slice(1), a]));
  if ("IntersectionObserver" in window) {
    const seen = new Set();
    const watcher = new IntersectionObserver(
      (entries) => {
        for (const e of entries) seen[e.isIntersecting ? "add" : "delete"](e.target.id);
        const first = [...links.keys()].find((id) => seen.has(id));
        for (const [id, a] of links) {
          if (id === first) a.setAttribute("aria-current", "true");
          else a.removeAttribute("aria-current");
        }
      },
      { rootMargin: "-80px 0px -60% 0px" },
    );
    for (const id of links.keys()) {
      const section = document.getElementById(id);
      if (section) watcher.observe(section);
    }
  }
})();
