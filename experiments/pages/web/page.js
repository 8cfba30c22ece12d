// Sorting, filters, light and dark, and pictures that are drawn when they come into sight.
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Light and dark: as the system has it until the reader says otherwise.
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const kept = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
                 set: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* not kept */ } } };
  if (kept.get()) root.dataset.theme = kept.get();
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; kept.set(root.dataset.theme); redraw(); });
  system.addEventListener("change", () => redraw());

  // Colours of pictures, told apart by people who see few, too; each with contrast on its own ground.
  function look(width) {
    const night = dark(), narrow = width < 560;
    const ink = night ? "#e7e9ec" : "#1b1e23", soft = night ? "#a5adb8" : "#555d68", rule = night ? "#2d343e" : "#e2ddd2";
    const category = night
      ? ["#ff9d5c", "#6db9f2", "#5fd0a0", "#c3a5ff", "#e6c65c", "#ff8fb8", "#9fb0c3", "#7fe0dc", "#c98f6a", "#f3f0e6"]
      : ["#b8460b", "#1f66a8", "#167a54", "#7340c4", "#8a6a00", "#b3266a", "#55657a", "#0a7d85", "#7a4a2b", "#1b1e23"];
    const font = getComputedStyle(document.body).fontFamily;
    return {
      background: "transparent", font, view: { stroke: null },
      axis: { labelColor: ink, titleColor: soft, gridColor: rule, domainColor: rule, tickColor: rule, titleFontWeight: 400, labelFontSize: 11, titleFontSize: 12, titleLimit: Math.max(width - 40, 200) },
      axisX: narrow ? { titleAnchor: "end" } : {},
      axisY: { labelLimit: narrow ? 0.42 * width : 240 },
      legend: { labelColor: ink, titleColor: soft, labelFontSize: 12, titleFontWeight: 400, columns: narrow ? 1 : 3, labelLimit: Math.max(width - 40, 200) },
      title: { color: ink, fontSize: 13, fontWeight: 600 },
      range: {
        category,
        diverging: night ? ["#c8642a", "#7a4426", "#262b33", "#285680", "#2f7fbf"] : ["#a4430b", "#eda873", "#f5f3ee", "#86b6dc", "#0f559c"],
        heatmap: { scheme: "viridis" }, ramp: { scheme: "viridis" },
      },
      rule: { color: soft }, line: { strokeWidth: 2 }, point: { strokeWidth: 0 },
      style: {
        on_strong: { color: "#ffffff", fontSize: 11 }, on_weak: { color: ink, fontSize: 11 },
        chance: { color: soft, strokeDash: [2, 3], strokeWidth: 1 },
        shade: { color: category[1], fillOpacity: 0.1 }, tick: { color: soft, thickness: 1.5 },
        front: { color: soft, strokeWidth: 1.2 }, branch: { color: soft, strokeWidth: 1.2 },
        named: { color: ink, fontSize: 11 },
      },
    };
  }

  // Vega's expressions are interpreted (ast), so that nothing is ever evaluated as code.
  async function draw(plot) {
    const spec = JSON.parse(plot.nextElementSibling.textContent);
    plot.dataset.state = "drawing";
    const made = await vegaEmbed(plot, spec, {
      ast: true, renderer: "svg", actions: false, config: look(plot.clientWidth || 800), tooltip: { theme: dark() ? "dark" : "light" },
    });
    plot.view = made.view;
    plot.classList.add("drawn");
    plot.dataset.state = "drawn";
  }
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting || entry.target.dataset.state) continue;
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "300px" });
  const plots = all(".plot");
  plots.forEach((plot) => seen.observe(plot));
  function redraw() {
    for (const plot of plots) {
      if (plot.dataset.state !== "drawn") continue;
      plot.view.finalize();
      draw(plot);
    }
  }
  addEventListener("beforeprint", () => plots.filter((plot) => !plot.dataset.state && plot.offsetParent).forEach(draw));

  // Sorting: a body is a row, with what was published of it beneath; what is missing comes last.
  for (const table of all("table")) {
    const heads = all("thead th", table);
    const bodies = () => (table.tBodies.length > 1 ? [...table.tBodies] : [...table.tBodies[0].rows]);
    heads.forEach((head, place) => {
      const press = document.createElement("button");
      press.type = "button";
      press.append(...head.childNodes);
      head.append(press);
      press.addEventListener("click", () => {
        const rows = bodies().map((body) => [body, value((body.rows ? body.rows[0] : body).cells[place])]);
        const numbers = rows.some(([, found]) => typeof found === "number");
        const before = head.getAttribute("aria-sort");
        const down = before ? before === "ascending" : numbers;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        rows.sort(([, a], [, b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
          return down ? -order : order;
        });
        rows.forEach(([body]) => body.parentNode.append(body));
      });
    });
  }
  function value(cell) {
    const text = cell.textContent.trim();
    if (!text || text.startsWith("—") || text.startsWith("n/a")) return null;
    const number = text.replaceAll(",", "").match(/^(?:< )?([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?=$|[\s%;[])/);
    return number ? Number(number[1]) - (text.startsWith("<") ? 1e-9 : 0) : text;
  }

  // Filters.
  for (const form of all("form.filters")) {
    const section = form.closest("section");
    const [output] = all("output", form);
    const apply = () => {
      const chosen = Object.fromEntries(new FormData(form));
      const scale = Object.entries(chosen).find(([name]) => name.startsWith("scale-"))[1];
      const sought = chosen.method.trim().toLowerCase();
      let shown = 0, known = 0;
      for (const article of all(".experiment", section)) {
        article.hidden = Boolean(scale) && article.dataset.scale !== scale;
        const [table] = all("table.headline", article);
        const groups = new Set(all("thead [data-group]", table).map((head) => head.dataset.group));
        const by = groups.has(chosen.columns) || !chosen.columns ? chosen.columns : "main";
        all("[data-group]", table).forEach((cell) => {
          cell.hidden = by !== "" && !(by === "main" ? "main" in cell.dataset : cell.dataset.group === by);
        });
        all("tbody", table).forEach((body) => {
          const fits = (!chosen.access || body.dataset.access === chosen.access)
            && body.rows[0].cells[0].textContent.toLowerCase().includes(sought);
          body.hidden = !fits;
          if (article.tagName === "ARTICLE" && !article.hidden) { known += 1; shown += fits; }
        });
        all("tr.published", table).forEach((row) => {
          row.hidden = !("published" in chosen) || !all("td[data-group]:not([hidden]):not(.none)", row).length;
        });
      }
      output.textContent = `${shown} of ${known} rows`;
    };
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }

  // A link into what is folded or filtered away shows it first.
  function open() {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let part = target; part; part = part.parentElement) {
      if (part.tagName === "DETAILS") part.open = true;
      if (part.hidden && part.dataset.scale) {
        const everything = part.closest("section").querySelector("form.filters input[type=radio][value='']");
        everything.checked = true;
        everything.form.dispatchEvent(new Event("input"));
      }
    }
    target.scrollIntoView();
  }
  addEventListener("hashchange", open);
  open();

  // Which section the reader is in.
  const links = new Map(all("nav a[href^='#']").map((link) => [link.hash.slice(1), link]));
  const where = new IntersectionObserver((entries) => entries.forEach((entry) => {
    const link = links.get(entry.target.id);
    if (entry.isIntersecting) { links.forEach((other) => other.removeAttribute("aria-current")); link.setAttribute("aria-current", "true"); }
  }), { rootMargin: "-30% 0px -65% 0px" });
  all("main > section").forEach((section) => links.has(section.id) && where.observe(section));
})();
