// What the page does by itself: theme, sorting, one class alone, the image behind a point.
(() => {
  const root = document.documentElement;

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("reparam-theme", root.dataset.theme); } catch (e) { /* private mode */ }
  });

  // Explanations go with Escape; on paper nothing is folded.
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.activeElement.blur();
  });
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });

  // The section in view, in the navigation.
  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const watch = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      const link = links.get(target.id);
      if (!isIntersecting) {
        link.removeAttribute("aria-current");
        continue;
      }
      link.setAttribute("aria-current", "true");
      const list = link.closest("ul");
      list.scrollLeft = link.offsetLeft - list.offsetLeft - 40;
    }
  }, { rootMargin: "-25% 0px -70% 0px" });
  for (const section of document.querySelectorAll("section[id]")) watch.observe(section);

  // Sorting: the best first, the other way round on the second click, absent values always last.
  for (const table of document.querySelectorAll("table.scores")) {
    const heads = [...table.querySelectorAll("thead th[aria-sort]")];
    heads.forEach((head, index) => head.firstElementChild.addEventListener("click", () => {
      const lowerFirst = head.textContent.includes("↓");
      const now = head.getAttribute("aria-sort");
      const up = now === "none" ? lowerFirst : now === "descending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[index + 1];
        return "key" in cell.dataset ? Number(cell.dataset.key) : NaN;
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
        return up ? x - y : y - x;
      });
      table.tBodies[0].append(...rows);
    }));
  }

  // One class alone, in all maps at once.
  const buttons = [...document.querySelectorAll(".classes button")];
  const maps = [...document.querySelectorAll("svg.scatter")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const chosen = button.getAttribute("aria-pressed") === "true" ? null : button.dataset.class;
      for (const b of buttons) b.setAttribute("aria-pressed", String(b.dataset.class === chosen));
      for (const part of document.querySelectorAll("svg.scatter [data-class]")) {
        part.classList.toggle("away", chosen !== null && part.dataset.class !== chosen);
      }
    });
  }

  // The image behind the nearest point.
  const thumb = document.getElementById("thumb");
  if (thumb) {
    const columns = Number(thumb.dataset.columns), tall = Number(thumb.dataset.tall);
    const side = 96, width = tall > 1 ? side / tall : side, height = width * tall;
    thumb.style.width = `${width}px`;
    thumb.style.height = `${height}px`;
    thumb.style.backgroundSize = `${width * columns}px auto`;
    const read = (map) => [...map.querySelectorAll("path.dots")].flatMap((path) => {
      const rows = path.dataset.rows.split(" ");
      return path.getAttribute("d").slice(1).split("M").map((dot, i) => {
        const [x, y] = dot.replace("h0", "").split(" ").map(Number);
        return { x, y, row: Number(rows[i]), path };
      });
    });
    const hide = () => { thumb.hidden = true; };
    for (const map of maps) {
      let points = null;
      const show = (event) => {
        points = points || read(map);
        const box = map.getBoundingClientRect();
        const scale = map.viewBox.baseVal.width / box.width;
        const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
        let best = null, least = 20 ** 2;
        for (const point of points) {
          const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
          if (distance < least && !point.path.classList.contains("away")) [best, least] = [point, distance];
        }
        if (!best) return hide();
        thumb.hidden = false;
        thumb.style.backgroundPosition =
          `${-(best.row % columns) * width}px ${-Math.floor(best.row / columns) * height}px`;
        thumb.style.borderColor = getComputedStyle(best.path).stroke;
        const left = Math.min(event.clientX + 16, innerWidth - width - 12);
        const above = event.clientY - height - 20;
        thumb.style.left = `${left}px`;
        thumb.style.top = `${above < 8 ? event.clientY + 20 : above}px`;
      };
      map.addEventListener("pointermove", show);
      map.addEventListener("pointerdown", show);
      map.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    }
    addEventListener("scroll", hide, { passive: true });
  }
})();
