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

  for (const block of all("[data-table]")) {
    const table = block.querySelector("table");
    const tools = block.querySelector("[data-tools]");
    const caption = table.caption.textContent;
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
  const makeHover = (plot) => {
    const points = all(".pt", plot).map((point) => {
      const title = point.querySelector("title");
      const text = title.textContent;
      title.remove();
      return { point, text };
    });
    if (points.length === 0) {
      plot.removeAttribute("tabindex");
      return;
    }
    const tip = make("div", { className: "tip", hidden: true });
    plot.append(tip);
    let current = -1;
    const visible = () => points.filter(({ point }) => point.getClientRects().length > 0);
    const hide = () => {
      if (current >= 0) shown[current]?.point.classList.remove("asked");
      current = -1;
      tip.hidden = true;
    };
    let shown = [];
    const show = (index) => {
      hide();
      current = index;
      const { point, text } = shown[index];
      point.classList.add("asked");
      tip.textContent = text;
      tip.hidden = false;
      const [frame, box] = [plot.getBoundingClientRect(), point.getBoundingClientRect()];
      const middle = box.left + box.width / 2 - frame.left - tip.offsetWidth / 2;
      const above = box.top - frame.top - tip.offsetHeight - 6;
      tip.style.left = `${Math.max(0, Math.min(middle, frame.width - tip.offsetWidth))}px`;
      tip.style.top = `${above < -20 ? box.bottom - frame.top + 6 : above}px`;
    };
    const nearest = (event) => {
      let best = -1;
      let least = REACH;
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
      const index = nearest(event);
      if (index < 0) hide();
      else if (index !== current || tip.hidden) show(index);
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      shown = visible();
      if (shown.length === 0) return;
      show(current < 0 ? (step > 0 ? 0 : shown.length - 1) : (current + step + shown.length) % shown.length);
      live.textContent = tip.textContent;
    });
  };
  for (const plot of all("[data-plot]")) makeHover(plot);

  /* ---- the summary inside ---- */

  for (const place of all("[data-download]")) {
    const data = document.getElementById("summary-data");
    place.append(
      button("Download the summary (JSON)", () => {
        const text = JSON.stringify(JSON.parse(data.textContent), null, 2);
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
